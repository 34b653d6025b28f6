import type { Fields } from "../fields.ts";
import type { Result } from "../result.ts";

/** An operation: from the fields of a request to its result. Throws ArgumentError for what it cannot answer. */
export type Op = (request: Fields) => Result;
