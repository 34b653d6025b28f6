/**
 * NumPy's `.npy` format, version 1.0: a magic string, a header that is a Python literal, the values.
 *
 * @module
 */
import { ArgumentError } from "../math/errors.ts";
import { sizeOf } from "../math/tensor.ts";
import { FormatError } from "../spec/format_error.ts";

/** The number formats that are read and written. */
export type NpyData = Uint8Array | Int32Array | BigInt64Array | Float32Array | Float64Array;

/** An array as NumPy stores it. */
export interface NpyArray {
  /** Sizes per dimension, outermost first. */
  readonly shape: readonly number[];
  /** The values, row-major. */
  readonly data: NpyData;
}

type NpyConstructor =
  | Uint8ArrayConstructor
  | Int32ArrayConstructor
  | BigInt64ArrayConstructor
  | Float32ArrayConstructor
  | Float64ArrayConstructor;

/** What each number format is called in a header. */
const FORMATS: Readonly<Record<string, NpyConstructor>> = {
  "|u1": Uint8Array,
  "<i4": Int32Array,
  "<i8": BigInt64Array,
  "<f4": Float32Array,
  "<f8": Float64Array,
};

const MAGIC = "\x93NUMPY";
const PREFIX = 10;
/** NumPy itself reads no longer header unless told to. */
const MAX_HEADER = 10_000;
/** NumPy's own limit. */
const MAX_RANK = 64;

/**
 * The bytes of a `.npy` file. Values begin at a multiple of 64 bytes, as NumPy writes them.
 *
 * @throws {ArgumentError} if the shape is not that of the values.
 */
export function encodeNpy({ shape, data }: NpyArray): Uint8Array<ArrayBuffer> {
  if (sizeOf(shape) !== data.length) {
    throw new ArgumentError(
      `Expected ${sizeOf(shape)} values for shape [${shape}] but got ${data.length} values`,
    );
  }
  const descr = Object.keys(FORMATS).find((name) => data instanceof FORMATS[name]);
  const tuple = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const literal = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${tuple}), }`;
  const header = literal.padEnd(Math.ceil((PREFIX + literal.length + 1) / 64) * 64 - PREFIX - 1) +
    "\n";
  const file = new Uint8Array(PREFIX + header.length + data.byteLength);
  for (let i = 0; i < MAGIC.length; i++) file[i] = MAGIC.charCodeAt(i);
  file[6] = 1;
  new DataView(file.buffer).setUint16(8, header.length, true);
  file.set(new TextEncoder().encode(header), PREFIX);
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  file.set(bytes, PREFIX + header.length);
  return file;
}

/**
 * The array in a `.npy` file of version 1.0, row-major, with values of one of {@linkcode NpyData}.
 *
 * @param file the file's name, for the messages.
 * @throws {FormatError} if it is something else, or longer or shorter than its header says.
 */
export function decodeNpy(bytes: Uint8Array, file: string): NpyArray {
  const magic = String.fromCharCode(...bytes.subarray(0, MAGIC.length));
  if (bytes.length < PREFIX || magic !== MAGIC || bytes[6] !== 1) {
    throw new FormatError(
      `Expected a NumPy array of format 1.0 in ${file} but it begins with ` +
        `${JSON.stringify(magic)}${bytes.length < PREFIX ? " and ends early" : ""}`,
    );
  }
  const length = bytes[8] + 256 * bytes[9];
  const start = PREFIX + length;
  if (length > MAX_HEADER || start > bytes.length) {
    throw new FormatError(
      `Expected a header of at most ${Math.min(MAX_HEADER, bytes.length - PREFIX)} bytes in ` +
        `${file} but got ${length}`,
    );
  }
  const { format, shape } = readHeader(bytes.subarray(PREFIX, start), file);
  const size = shape.reduce((product, n) => product * n, format.BYTES_PER_ELEMENT);
  if (size !== bytes.length - start) {
    throw new FormatError(
      `Expected ${size} bytes of values in ${file} for shape [${shape.join(", ")}] but got ` +
        `${bytes.length - start}`,
    );
  }
  return { shape, data: new format(bytes.slice(start).buffer) };
}

function readHeader(bytes: Uint8Array, file: string) {
  const text = new TextDecoder("latin1").decode(bytes);
  const descr = /'descr'\s*:\s*'([^']*)'/.exec(text)?.[1] ?? "nothing";
  const order = /'fortran_order'\s*:\s*(\w+)/.exec(text)?.[1];
  const tuple = /'shape'\s*:\s*\(((?:\d{1,15},? ?)*)\)/.exec(text)?.[1];
  if (!Object.hasOwn(FORMATS, descr) || order !== "False" || tuple === undefined) {
    throw new FormatError(
      `Expected values of ${Object.keys(FORMATS).join(", ")} in row-major order in ${file} but ` +
        `got ${text.trim().slice(0, 120)}`,
    );
  }
  const shape = tuple.split(",").filter((part) => part.trim() !== "").map(Number);
  if (shape.length > MAX_RANK) {
    throw new FormatError(
      `Expected at most ${MAX_RANK} dimensions in ${file} but got ${shape.length}`,
    );
  }
  return { format: FORMATS[descr], shape };
}
