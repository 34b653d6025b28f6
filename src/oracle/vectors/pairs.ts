/**
 * A file of vectors: an operation's requests, each with its answer.
 *
 * @module
 */
import { FormatError } from "../../spec/format_error.ts";
import { isObject } from "../fields.ts";
import type { Request } from "../verify/draw/parts.ts";
import { parseFile } from "./manifest.ts";

/** A request and the text of the reference's answer to it. */
export interface Pair {
  /** Its number in the file, from 1 on. */
  readonly id: number;
  /** The request without its id. */
  readonly request: Request;
  /** The answer, a line of JSON. */
  readonly response: string;
}

/** A pair's request as it is sent. */
export function lineOf(id: number, request: Request): string {
  return JSON.stringify({ id, ...request });
}

/** The file's text: a pair a line, so that differences between two versions can be read. */
export function pairsText(op: string, bound: string | null, pairs: readonly Pair[]): string {
  const lines = pairs.map(({ id, request, response }) =>
    // Answers stay as they were written: −0 does not survive being parsed and printed.
    `    {"request": ${lineOf(id, request)}, "response": ${response}}`
  );
  return [
    "{",
    `  "op": ${JSON.stringify(op)},`,
    `  "bound": ${JSON.stringify(bound)},`,
    '  "pairs": [',
    lines.join(",\n"),
    "  ]",
    "}",
    "",
  ].join("\n");
}

/** The pairs of a file. @throws {FormatError} for what is no such file, or is of another operation. */
export function readPairs(path: string, op: string, bytes: Uint8Array): Pair[] {
  const file = parseFile(path, bytes);
  if (!isObject(file) || file.op !== op || !Array.isArray(file.pairs) || file.pairs.length === 0) {
    throw new FormatError(`Expected op ${op} and pairs in ${path} but not both are there`);
  }
  return file.pairs.map((pair: unknown, i) => {
    if (isObject(pair) && isObject(pair.request) && isObject(pair.response)) {
      const { id, ...request } = pair.request;
      if (id === i + 1 && request.op === op && pair.response.id === id) {
        return { id, request: { ...request, op }, response: JSON.stringify(pair.response) };
      }
    }
    throw new FormatError(
      `Expected a request of ${op} with id ${i + 1}, and its response, as pairs[${i}] of ${path} ` +
        "but got another value",
    );
  });
}
