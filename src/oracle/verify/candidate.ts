/**
 * The implementation under test, as the harness sees it: it is asked, and answers or breaks.
 *
 * @module
 */
import { isObject } from "../fields.ts";

/** A candidate that can no longer be asked, or whose answer cannot be read. */
export class BrokenError extends Error {
  /** Name of the class, for messages and serialisation. */
  override readonly name: string = "BrokenError";
}

/** What a candidate answers to one request. */
export type CandidateAnswer =
  | { readonly ok: true; readonly result: unknown }
  | { readonly ok: false; readonly code: string; readonly message: string };

/** An implementation that answers requests of the protocol (`docs/protocol.md`). */
export interface Candidate {
  /** How it calls itself. */
  readonly name: string;
  /** Names of the operations that it has. */
  readonly ops: readonly string[];
  /**
   * The answer to a request, an object with `op` and its fields.
   *
   * @throws {BrokenError} if none comes, or one that is no answer; it is not asked again.
   */
  readonly ask: (request: Readonly<Record<string, unknown>>) => Promise<CandidateAnswer>;
}

/** An operation of a candidate inside the same program: request in, result out. */
export type CandidateOp = (request: Readonly<Record<string, unknown>>) => unknown;

/** Thrown by a {@linkcode CandidateOp} for an option that it does not have. */
export class UnsupportedError extends Error {
  /** Name of the class, for messages and serialisation. */
  override readonly name: string = "UnsupportedError";
}

/** A result with typed arrays as the lists that they would be over a pipe. */
function listed(value: unknown): unknown {
  if (value instanceof Float32Array || value instanceof Float64Array) return Array.from(value);
  if (Array.isArray(value)) return value.map(listed);
  return isObject(value)
    ? Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, listed(entry)]))
    : value;
}

/**
 * A candidate out of functions by operation; each may return a promise. Numbers in results may be
 * typed arrays, as in the tensors of `@ddpm/ddpm`.
 */
export function candidateOf(
  name: string,
  ops: Readonly<Record<string, CandidateOp>>,
): Candidate {
  return {
    name,
    ops: Object.keys(ops),
    ask: async (request) => {
      try {
        return { ok: true, result: listed(await ops[String(request.op)](request)) };
      } catch (error) {
        const code = error instanceof UnsupportedError ? "unsupported" : "internal";
        return { ok: false, code, message: error instanceof Error ? error.message : String(error) };
      }
    },
  };
}

/** The text of an answer with the tokens that JSON lacks, NaN and Infinity, made into strings. */
function withoutBareTokens(line: string): string {
  return line.replace(
    /"(?:[^"\\]|\\.)*"|-?\bInfinity\b|\b-?NaN\b/g,
    (token) => token.startsWith('"') ? token : JSON.stringify(token),
  );
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return JSON.parse(withoutBareTokens(line));
  }
}

/** The beginning of a text that is shown in a message. */
export function beginning(text: string): string {
  return JSON.stringify(text.length > 120 ? `${text.slice(0, 120)}…` : text);
}

/** Reads the line that answers request `id`. @throws {BrokenError} if it is no such answer. */
export function readAnswer(line: string, id: number): CandidateAnswer {
  let answer: unknown;
  try {
    answer = parsed(line);
  } catch {
    throw new BrokenError(`Expected a line of JSON but got ${beginning(line)}`);
  }
  if (!isObject(answer)) {
    throw new BrokenError(`Expected a JSON object but got ${beginning(line)}`);
  }
  if (answer.id !== id) {
    throw new BrokenError(
      `Expected the answer with id ${id} but got ${beginning(line)}`,
    );
  }
  if (answer.ok === true) return { ok: true, result: answer.result };
  if (answer.ok !== false || !isObject(answer.error)) {
    throw new BrokenError(`Expected ok true, or false with an error, but got ${beginning(line)}`);
  }
  const { code, message } = answer.error;
  return { ok: false, code: String(code), message: String(message ?? "") };
}
