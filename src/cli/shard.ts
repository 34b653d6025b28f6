/**
 * Parts of a run that is shared out among machines.
 *
 * @module
 */
import { UsageError } from "./terminal.ts";

/** One of the parts that a run is split into. */
export interface Shard {
  /** Its number, 0..of − 1. */
  readonly index: number;
  /** How many parts there are. */
  readonly of: number;
}

/** Parts that a run may be split into. */
const MAX_PARTS = 4096;

/** A part of a text such as "0/3". @throws {UsageError} for anything else. */
export function parseShard(text: string): Shard {
  const found = /^(\d{1,9})\/(\d{1,9})$/.exec(text);
  const [index, of] = found === null ? [NaN, NaN] : [Number(found[1]), Number(found[2])];
  if (!(index < of && of <= MAX_PARTS)) {
    throw new UsageError(
      `Expected --shard k/n with k in 0..n−1 and n of at most ${MAX_PARTS} but got ${text}`,
    );
  }
  return { index, of };
}

/**
 * The samples of a part: the run's are cut into ranges of ⌊count/n⌋ or one more, in order.
 *
 * @throws {UsageError} if there are fewer samples than parts.
 */
export function shardRange(
  { index, of }: Shard,
  { first, count }: { readonly first: number; readonly count: number },
): { readonly first: number; readonly count: number } {
  if (of > count) {
    throw new UsageError(
      `Expected --shard k/n with n of at most ${count}, the samples, but got ${of}`,
    );
  }
  const start = Math.floor(index * count / of), end = Math.floor((index + 1) * count / of);
  return { first: first + start, count: end - start };
}

/** The name of a part's file: "grid.png" of part 0 of 3 is "grid.0-of-3.png". */
export function shardName(path: string, { index, of }: Shard): string {
  const [, stem, extension] = /^(.*?)(\.[^./\\]*)?$/s.exec(path) as RegExpExecArray;
  return `${stem}.${index}-of-${of}${extension ?? ""}`;
}
