/**
 * The operators by name.
 *
 * @module
 */
import { EQUATION_OPERATORS } from "./equation_operators.ts";
import { PROGRAM_OPERATORS } from "./program_operators.ts";
import type { Operator } from "./syntax.ts";

/** Every operator by its name. */
export const OPERATORS: Readonly<Record<string, Operator>> = {
  ...EQUATION_OPERATORS,
  ...PROGRAM_OPERATORS,
};
