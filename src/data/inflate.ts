/**
 * Deflated data whose size is known beforehand, inflated without ever holding more than that.
 *
 * @module
 */
import { FormatError } from "../spec/format_error.ts";

/** The most that deflate makes of one byte: 258 values from a length and a distance of 1 bit each. */
const MOST_PER_BYTE = 1032;

/**
 * Checks that `size` bytes can come out of `packed` deflated ones, before anyone makes room for them.
 *
 * @throws {FormatError} if that is beyond what the format can do.
 */
export function checkInflatedSize(size: number, packed: number, what: string): void {
  if (size > MOST_PER_BYTE * packed) {
    throw new FormatError(
      `Expected ${size} bytes of ${what} but its ${packed} compressed ones cannot hold more than ` +
        `${MOST_PER_BYTE * packed}`,
    );
  }
}

/** One of node:zlib's `…Sync` functions. */
type Inflate = (data: Uint8Array, options: { maxOutputLength: number }) => Uint8Array;

/**
 * Inflates `data` to exactly `size` bytes.
 *
 * @throws {FormatError} if it is broken, or gives more or fewer.
 */
export function inflateExactly(
  inflate: Inflate,
  data: Uint8Array,
  size: number,
  what: string,
): Uint8Array {
  let inflated: Uint8Array;
  try {
    inflated = inflate(data, { maxOutputLength: Math.max(1, size) });
  } catch (error) {
    const tooLong = error instanceof RangeError;
    const reason = tooLong ? "more" : error instanceof Error ? error.message : String(error);
    throw new FormatError(`Expected ${size} bytes of compressed data of ${what} but got ${reason}`);
  }
  if (inflated.length !== size) {
    throw new FormatError(
      `Expected ${size} bytes of compressed data of ${what} but got ${inflated.length}`,
    );
  }
  // A Buffer's methods are not those of the Uint8Array that its type says it is.
  return new Uint8Array(inflated.buffer, inflated.byteOffset, inflated.length);
}
