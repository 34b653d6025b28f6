/**
 * Lists of classes as flags give them.
 *
 * @module
 */
import { UsageError } from "./terminal.ts";

/** Entries that a list may have: as many as there may be samples. */
const MAX_ENTRIES = 4096;

/**
 * The classes of a text such as "3", "0,1,7" or "0-4,9", in the order in which they are written.
 *
 * @param K how many classes there are, counted from 0.
 * @throws {UsageError} for anything else, and for a class that is not below `K`.
 */
export function parseClasses(text: string, K: number): readonly number[] {
  const classes = text.split(",").flatMap((part) => {
    const found = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(part.trim());
    if (found === null) {
      throw new UsageError(`Expected --class like 3, 0,1,7 or 0-4 but got ${text}`);
    }
    const from = Number(found[1]), to = Number(found[2] ?? from);
    if (to < from) {
      throw new UsageError(`Expected --class with the lower end of ${part} first`);
    }
    if (to >= K) {
      throw new UsageError(`Expected --class in 0..${K - 1}, which the model has, but got ${to}`);
    }
    return Array.from({ length: to - from + 1 }, (_, k) => from + k);
  });
  if (classes.length > MAX_ENTRIES) {
    throw new UsageError(
      `Expected at most ${MAX_ENTRIES} classes after --class but got ${classes.length}`,
    );
  }
  return classes;
}
