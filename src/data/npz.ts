/**
 * NumPy's `.npz` format: a zip archive of `.npy` files. Samples are written as evaluators read them,
 * images as `arr_0` (uint8 `[N, H, W, C]`) and classes as `arr_1` (int64 `[N]`).
 *
 * @module
 */
import { FormatError } from "../spec/format_error.ts";
import { decodeNpy, encodeNpy, type NpyArray } from "./npy.ts";
import { decodeZip, encodeZip } from "./zip.ts";

/** An array and what it is called in an archive. */
export interface NamedArray {
  /** The name without `.npy`: `arr_0` for the first array that NumPy saves without one. */
  readonly name: string;
  /** The array. */
  readonly array: NpyArray;
}

/**
 * The bytes of an `.npz` file. The same arrays always give the same bytes.
 *
 * @throws {ArgumentError} if a shape is not that of its values, or it would be 4 GiB or more.
 */
export function encodeNpz(arrays: readonly NamedArray[]): Uint8Array<ArrayBuffer> {
  return encodeZip(
    arrays.map(({ name, array }) => ({ name: `${name}.npy`, bytes: encodeNpy(array) })),
  );
}

/**
 * The arrays of an `.npz` file by name, stored or compressed.
 *
 * @param file the file's name, for the messages.
 * @throws {FormatError} if it is no such archive, or holds anything but `.npy` files that
 * {@linkcode decodeNpy} reads.
 */
export function decodeNpz(
  bytes: Uint8Array,
  file: string = "the .npz file",
): ReadonlyMap<string, NpyArray> {
  return new Map(
    decodeZip(bytes, file).map((member) => {
      if (!member.name.endsWith(".npy")) {
        throw new FormatError(
          `Expected only .npy members in ${file} but got ${member.name.slice(0, 80)}`,
        );
      }
      return [
        member.name.slice(0, -4),
        decodeNpy(member.bytes, `${member.name.slice(0, 80)} of ${file}`),
      ];
    }),
  );
}
