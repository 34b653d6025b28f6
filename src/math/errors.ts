import { printable } from "./printable.ts";

/**
 * Thrown when a caller's argument is outside what a function accepts. The message is a full
 * sentence with what was expected and what was found, on one line.
 */
export class ArgumentError extends RangeError {
  /** Name of the class, for messages and serialisation. */
  override readonly name: string = "ArgumentError";

  /** An error with this message, {@linkcode printable}. */
  constructor(message: string) {
    super(printable(message));
  }
}

/** Renders a value for an error message: short, and unambiguous for strings, NaN and undefined. */
export function show(value: unknown): string {
  if (typeof value === "string") {
    return JSON.stringify(value.length > 40 ? value.slice(0, 37) + "…" : value);
  }
  if (Array.isArray(value)) {
    const head = value.slice(0, 6).map(show).join(", ");
    return `[${head}${value.length > 6 ? `, … ${value.length} values` : ""}]`;
  }
  if (typeof value === "object" && value !== null) return "an object";
  return String(value);
}

/**
 * The sentence every argument check of the package ends in.
 *
 * @throws {ArgumentError} always: "Expected `what` but got `found`".
 */
export function unexpected(what: string, found: unknown): never {
  throw new ArgumentError(`Expected ${what} but got ${show(found)}`);
}

/**
 * Checks that `value` is an integer in [`min`, `max`].
 *
 * @returns the value, now known to be a number.
 * @throws {ArgumentError} "Expected t in 1..1000 but got 0".
 */
export function checkInteger(name: string, value: unknown, min: number, max: number): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) {
    const top = max >= Number.MAX_SAFE_INTEGER ? "2^53 - 1" : String(max);
    unexpected(`${name} in ${min}..${top}`, value);
  }
  return value;
}

/**
 * Checks that `value` is a finite number.
 *
 * @throws {ArgumentError} otherwise.
 */
export function checkFinite(name: string, value: unknown): number {
  if (typeof value !== "number" || !Number.isFinite(value)) {
    unexpected(`a finite number for ${name}`, value);
  }
  return value;
}
