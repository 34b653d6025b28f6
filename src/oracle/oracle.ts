/**
 * The envelope of the protocol: one line in, one line out, whatever the line is.
 *
 * @module
 */
import { ArgumentError, show } from "../math/errors.ts";
import { FormatError } from "../spec/format_error.ts";
import { type ErrorCode, OracleError } from "./error.ts";
import { type Context, isObject, valueOf } from "./fields.ts";
import type { Host } from "./host.ts";
import { type Line, MAX_LINE, readLines } from "./lines.ts";
import { ops } from "./ops/mod.ts";
import { rawId } from "./raw_id.ts";
import { resultJson } from "./result.ts";
import { ScheduleCache } from "./schedule_cache.ts";

/** Version of the protocol. */
export const PROTOCOL = 1;
/** Name that `hello` reports. */
export const NAME = "@ddpm/ddpm";

/** Answers requests from the reference. */
export interface Oracle {
  /** The answer to one line: one line of JSON without its line feed. Never throws. */
  readonly answer: (line: string | Line) => string;
}

function success(id: string, result: string): string {
  return `{"id":${id},"ok":true,"result":${result}}`;
}

function failure(id: string, code: ErrorCode, message: string): string {
  return `{"id":${id},"ok":false,"error":${JSON.stringify({ code, message })}}`;
}

function codeOf(error: unknown): ErrorCode {
  if (error instanceof OracleError) return error.code;
  return error instanceof ArgumentError || error instanceof FormatError
    ? "invalid_argument"
    : "internal";
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The JSON text of a request's id, null if it has none. */
function idOf(values: Readonly<Record<string, unknown>>, line: string): string {
  const id = Object.hasOwn(values, "id") ? values.id : null;
  if (id === null || typeof id === "string" || typeof id === "boolean") return JSON.stringify(id);
  return Number.isSafeInteger(id) && !Object.is(id, -0) ? String(id) : rawId(line) ?? "null";
}

/** The result of a request as JSON text. */
function resultOf(values: Readonly<Record<string, unknown>>, context: Context): string {
  const request = { path: "", values, context };
  const op = valueOf(request, "op");
  if (op === undefined) throw new ArgumentError("Expected a string for op but got nothing");
  if (op === "hello") {
    const { version } = context.host;
    return JSON.stringify({ protocol: PROTOCOL, name: NAME, version, ops: Object.keys(ops) });
  }
  if (typeof op !== "string" || !Object.hasOwn(ops, op)) {
    throw new OracleError(
      typeof op === "string" ? "unknown_op" : "invalid_argument",
      `Expected op to be hello, ${Object.keys(ops).join(", ")} but got ${
        Array.isArray(op) ? "a list" : show(op)
      }`,
    );
  }
  return resultJson(ops[op](request));
}

function answerText(line: string, context: Context): string {
  let values: unknown;
  try {
    values = JSON.parse(line);
  } catch (error) {
    return failure(
      "null",
      "invalid_argument",
      `Expected a line of JSON but got: ${messageOf(error)}`,
    );
  }
  if (!isObject(values)) {
    const what = Array.isArray(values) ? "a list" : show(values);
    return failure("null", "invalid_argument", `Expected a JSON object but got ${what}`);
  }
  const id = idOf(values, line);
  try {
    return success(id, resultOf(values, context));
  } catch (error) {
    return failure(id, codeOf(error), messageOf(error));
  }
}

/** An oracle that reaches files through `host`. */
export function createOracle(host: Host): Oracle {
  const context: Context = { host, schedules: new ScheduleCache() };
  const answer = (line: string | Line): string => {
    if (typeof line === "string") return answerText(line, context);
    switch (line.kind) {
      case "text":
        return answerText(line.text, context);
      case "tooLong":
        return failure(
          rawId(line.head) ?? "null",
          "line_too_long",
          `Expected a line of at most ${MAX_LINE} bytes but got a longer one; ` +
            "pass large tensors by their safetensors file",
        );
      case "notUtf8":
        return failure("null", "invalid_argument", "Expected a line of UTF-8 but got other bytes");
    }
  };
  return { answer };
}

/**
 * Answers the lines of `input` in order until it ends, each as soon as it is complete.
 *
 * @param write takes the answers, each without its line feed.
 */
export async function serve(
  oracle: Oracle,
  input: AsyncIterable<Uint8Array>,
  write: (line: string) => void | Promise<void>,
): Promise<void> {
  for await (const line of readLines(input)) await write(oracle.answer(line));
}
