import { UsageError } from "../../src/cli/terminal.ts";

/** The whole number above 0 that a flag gives, or its default. @throws {UsageError} if it is none. */
export function wholeNumber(name: string, given: unknown, otherwise: number): number {
  const value = given === undefined ? otherwise : Number(given);
  if (!Number.isInteger(value) || value < 1) {
    throw new UsageError(`Expected --${name} to be a whole number above 0 but got ${given}`);
  }
  return value;
}
