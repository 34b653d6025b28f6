/**
 * A candidate at the other end of a pipe: a line of JSON per request, a line per answer, in order.
 * Nothing is waited for without end and no line is held beyond a limit.
 *
 * @module
 */
import { MAX_LINE, readLines } from "../lines.ts";
import { isObject } from "../fields.ts";
import { BrokenError, type Candidate, readAnswer } from "./candidate.ts";

/** Seconds that a candidate gets to start, however short its answers may take. */
const LEAST_START = 10;

/** The two ends of a pipe to a running candidate. */
export interface Pipe {
  /** Sends bytes. */
  readonly write: (bytes: Uint8Array) => Promise<void>;
  /** What comes back. */
  readonly output: AsyncIterable<Uint8Array>;
  /** How the candidate ended and what it said last, once its output has ended. */
  readonly ending: () => Promise<string>;
}

/** Passes a stream on until more than a line's limit comes without a line feed. */
async function* withinLimit(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let pending = 0;
  for await (const chunk of stream) {
    const last = chunk.lastIndexOf(10);
    pending = last < 0 ? pending + chunk.length : chunk.length - 1 - last;
    if (pending > MAX_LINE) {
      throw new BrokenError(`Expected a line of at most ${MAX_LINE} bytes but got a longer one`);
    }
    yield chunk;
  }
}

/** Waits at most `seconds` for a promise. @throws {BrokenError} after that. */
async function within<T>(promise: Promise<T>, seconds: number, what: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new BrokenError(`Expected ${what} within ${seconds} s but got none`)),
      seconds * 1000,
    );
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Greets what is at the other end of a pipe.
 *
 * @param seconds the longest that it may take for one answer; the first gets at least 10.
 * @throws {BrokenError} if it does not answer `hello` as the protocol has it.
 */
export async function openCandidate(pipe: Pipe, seconds: number): Promise<Candidate> {
  const lines = readLines(withinLimit(pipe.output));
  const encoder = new TextEncoder();
  let id = 0, terminated = true;

  const answerLine = async (limit: number): Promise<string> => {
    const next = await within(lines.next(), limit, "an answer");
    if (next.done) {
      throw new BrokenError(`Expected an answer but the candidate ended: ${await pipe.ending()}`);
    }
    const line = next.value;
    if (line.kind === "text") return line.text;
    throw new BrokenError(
      line.kind === "notUtf8"
        ? "Expected a line of UTF-8 but got other bytes"
        : `Expected a line of at most ${MAX_LINE} bytes but got a longer one`,
    );
  };
  const ask: Candidate["ask"] = async (request) => {
    if (!terminated) throw new BrokenError("Expected a candidate that still answers but it broke");
    terminated = false;
    const line = `${JSON.stringify({ id: ++id, ...request })}\n`;
    // A candidate that has ended, or reads nothing, shows in its answer.
    const written = pipe.write(encoder.encode(line)).catch(() => {});
    const limit = id === 1 ? Math.max(seconds, LEAST_START) : seconds;
    const answer = readAnswer(await answerLine(limit), id);
    await within(written, limit, "the request to be read");
    terminated = true;
    return answer;
  };

  const hello = await ask({ op: "hello" });
  if (!hello.ok || !isObject(hello.result)) {
    throw new BrokenError("Expected hello to be answered with protocol, name, version and ops");
  }
  const { protocol, name, version, ops } = hello.result;
  if (protocol !== 1) throw new BrokenError(`Expected protocol 1 but got ${String(protocol)}`);
  if (!Array.isArray(ops) || !ops.every((op) => typeof op === "string")) {
    throw new BrokenError("Expected hello to list the names of ops");
  }
  return { name: [name, version].filter((part) => typeof part === "string").join(" "), ops, ask };
}
