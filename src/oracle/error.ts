/** What went wrong with a request, for programs to branch on. */
export type ErrorCode =
  | "invalid_argument"
  | "unknown_op"
  | "unsupported"
  | "line_too_long"
  | "internal";

/** An error with a code of its own; every other error's code follows from its class. */
export class OracleError extends Error {
  /** Name of the class, for messages and serialisation. */
  override readonly name: string = "OracleError";
  /** The code of the answer. */
  readonly code: ErrorCode;

  /** An error that is answered with `code` and the sentence `message`. */
  constructor(code: ErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
