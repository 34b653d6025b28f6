import { printable } from "../math/printable.ts";

/**
 * Thrown when bytes that were read are not what their format says: a file that is cut short, has
 * been altered, or is of another kind. The message is a full sentence with what was expected and
 * what was found, on one line.
 */
export class FormatError extends Error {
  /** Name of the class, for messages and serialisation. */
  override readonly name: string = "FormatError";

  /** An error with this message, {@linkcode printable}. */
  constructor(message: string) {
    super(printable(message));
  }
}
