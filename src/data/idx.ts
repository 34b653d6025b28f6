/**
 * The IDX format of MNIST and its kin: two zero bytes, a type code, the number of dimensions, the
 * sizes as big-endian uint32, then the values row-major.
 *
 * @module
 */
import { FormatError } from "../spec/format_error.ts";

/** Unsigned bytes with their shape. */
export interface IdxArray {
  /** Sizes per dimension, outermost first. */
  readonly shape: readonly number[];
  /** The values, row-major: a view into the file. */
  readonly data: Uint8Array;
}

const UNSIGNED_BYTE = 0x08;

/** The length in bytes of the header of an IDX file with `rank` dimensions. */
export function idxHeaderLength(rank: number): number {
  return 4 + 4 * rank;
}

/**
 * The sizes that the header of an IDX file of unsigned bytes gives.
 *
 * @param bytes the beginning of the file, or all of it.
 * @param file its name, for the messages.
 * @throws {FormatError} if the header is cut short or is another kind's.
 */
export function readIdxShape(bytes: Uint8Array, rank: number, file: string): number[] {
  const header = idxHeaderLength(rank);
  const expectedMagic = UNSIGNED_BYTE * 256 + rank;
  if (bytes.length < header) {
    throw new FormatError(
      `Expected at least ${header} bytes of IDX header in ${file} but got ${bytes.length}`,
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const magic = view.getUint32(0);
  if (magic !== expectedMagic) {
    throw new FormatError(
      `Expected the magic number ${hex(expectedMagic)} (unsigned bytes, ${rank} dimensions) in ` +
        `${file} but got ${hex(magic)}`,
    );
  }
  return Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i));
}

/**
 * The array in an IDX file of unsigned bytes with `rank` dimensions.
 *
 * @param bytes the whole file.
 * @param file its name, for the messages.
 * @throws {FormatError} if the magic number, the sizes or the length are not as the format says.
 */
export function decodeIdx(bytes: Uint8Array, rank: number, file: string): IdxArray {
  const shape = readIdxShape(bytes, rank, file);
  const header = idxHeaderLength(rank);
  const size = shape.reduce((product, s) => product * s, 1);
  if (bytes.length !== header + size) {
    throw new FormatError(
      `Expected ${header + size} bytes in ${file} for shape [${shape.join(", ")}] but got ` +
        `${bytes.length}`,
    );
  }
  return { shape, data: bytes.subarray(header) };
}

function hex(n: number): string {
  return `0x${n.toString(16).padStart(8, "0")}`;
}
