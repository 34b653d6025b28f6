/**
 * The safetensors format, bytes to tensors and back, without input or output: an 8-byte
 * little-endian header length, a JSON header, then the values. Reading trusts nothing: a header's
 * claims are checked against the bytes that are there before anything is allocated for them.
 *
 * @module
 */
import { ArgumentError } from "../math/errors.ts";
import { sizeOf, type Tensor, tensor } from "../math/tensor.ts";
import { FormatError } from "./format_error.ts";
import { bfloatToNumber, halfToNumber, MAX_HALF, numberToHalf } from "./half.ts";

/** How the values of a stored tensor are written. */
export type Dtype =
  | "F64"
  | "F32"
  | "F16"
  | "BF16"
  | "I64"
  | "I32"
  | "I16"
  | "I8"
  | "U64"
  | "U32"
  | "U16"
  | "U8"
  | "BOOL";

type ReadValue = (view: DataView, offset: number) => number;

/** Bytes per value and how to read one as a double. */
const DTYPES: Readonly<Record<Dtype, readonly [bytes: number, read: ReadValue]>> = {
  F64: [8, (view, at) => view.getFloat64(at, true)],
  I64: [8, (view, at) => exactNumber(view.getBigInt64(at, true))],
  U64: [8, (view, at) => exactNumber(view.getBigUint64(at, true))],
  F32: [4, (view, at) => view.getFloat32(at, true)],
  I32: [4, (view, at) => view.getInt32(at, true)],
  U32: [4, (view, at) => view.getUint32(at, true)],
  F16: [2, (view, at) => halfToNumber(view.getUint16(at, true))],
  BF16: [2, (view, at) => bfloatToNumber(view.getUint16(at, true))],
  I16: [2, (view, at) => view.getInt16(at, true)],
  U16: [2, (view, at) => view.getUint16(at, true)],
  I8: [1, (view, at) => view.getInt8(at)],
  U8: [1, (view, at) => view.getUint8(at)],
  BOOL: [1, (view, at) => view.getUint8(at)],
};

/** A tensor as it lies in the file: `bytes` is a view, not a copy. */
export interface StoredTensor {
  /** How the values are written. */
  readonly dtype: Dtype;
  /** Sizes per dimension, outermost first. */
  readonly shape: readonly number[];
  /** The values, little-endian and row-major. */
  readonly bytes: Uint8Array;
}

/** The content of a safetensors file. */
export interface Safetensors {
  /** The free text pairs of `__metadata__`. */
  readonly metadata: ReadonlyMap<string, string>;
  /** The tensors in file order. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
}

/** The format's own limit on the header, which keeps a hostile one from being parsed at all. */
const MAX_HEADER = 100_000_000;
const PREFIX = 8;

/**
 * The tensors and metadata of a safetensors file, as views into `file`.
 *
 * As the format demands, the tensors must cover the bytes after the header exactly, without gap or
 * overlap, so a file that is cut short or has been appended to is always noticed.
 *
 * @throws {FormatError} if the bytes break the format.
 */
export function decodeSafetensors(file: Uint8Array): Safetensors {
  const header = readHeader(file);
  const data = file.subarray(PREFIX + header.length);
  const metadata = new Map<string, string>();
  const located: Located[] = [];
  for (const [name, entry] of Object.entries(header.json)) {
    if (name === "__metadata__") readMetadata(entry, metadata);
    else located.push(readEntry(name, entry, data.length));
  }
  located.sort((a, b) => a.begin - b.begin || a.end - b.end);
  checkCoverage(located, data.length);
  const tensors = new Map(
    located.map(({ name, dtype, shape, begin, end }) => [
      name,
      { dtype, shape, bytes: data.subarray(begin, end) },
    ]),
  );
  return { metadata, tensors };
}

/**
 * The values of a stored tensor in double, exactly.
 *
 * @throws {FormatError} if a 64-bit integer lies beyond ±(2^53 − 1).
 */
export function storedDoubles(stored: StoredTensor): Float64Array<ArrayBuffer> {
  const [width, read] = DTYPES[stored.dtype];
  const { buffer, byteOffset, byteLength } = stored.bytes;
  const view = new DataView(buffer, byteOffset, byteLength);
  return Float64Array.from({ length: byteLength / width }, (_, i) => read(view, i * width));
}

/**
 * The values of a stored tensor rounded to float32: exact for F32, F16, BF16 and integers below 2^24.
 *
 * @throws {FormatError} if a 64-bit integer lies beyond ±(2^53 − 1).
 */
export function storedTensor(stored: StoredTensor): Tensor {
  return tensor(stored.shape, storedDoubles(stored));
}

/**
 * A safetensors file of `tensors`, in name order, with a header padded to a multiple of 8 bytes. The
 * same content always gives the same bytes.
 *
 * @param options.metadata pairs for `__metadata__`, in order.
 * @param options.dtype how to write the values: F32 (the default, exact) or F16 (nearest, ties to even).
 * @throws {ArgumentError} if a tensor is called `__metadata__`, or a finite value is beyond F16.
 */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, Tensor>,
  options: { metadata?: ReadonlyMap<string, string>; dtype?: "F32" | "F16" } = {},
): Uint8Array<ArrayBuffer> {
  const dtype = options.dtype ?? "F32";
  const width = DTYPES[dtype][0];
  const sorted = [...tensors].sort(([a], [b]) => a < b ? -1 : 1);
  const header: [string, unknown][] = [];
  if (options.metadata?.size) header.push(["__metadata__", Object.fromEntries(options.metadata)]);
  let end = 0;
  for (const [name, { shape }] of sorted) {
    if (name === "__metadata__") {
      throw new ArgumentError("Expected a tensor name other than the format's own __metadata__");
    }
    const begin = end;
    end += width * sizeOf(shape);
    header.push([name, { dtype, shape, data_offsets: [begin, end] }]);
  }
  const json = new TextEncoder().encode(paddedJson(header));
  const file = new Uint8Array(PREFIX + json.length + end);
  const view = new DataView(file.buffer);
  view.setBigUint64(0, BigInt(json.length), true);
  file.set(json, PREFIX);
  let at = PREFIX + json.length;
  for (const [name, { data }] of sorted) {
    for (const value of data) {
      if (dtype === "F32") view.setFloat32(at, value, true);
      else view.setUint16(at, numberToHalf(checkHalf(name, value)), true);
      at += width;
    }
  }
  return file;
}

/** A header entry whose claims have been checked against the file. */
interface Located {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

function readHeader(file: Uint8Array): { length: number; json: Record<string, unknown> } {
  if (file.length < PREFIX) {
    throw new FormatError(
      `Expected a safetensors file of at least ${PREFIX} bytes but got ${file.length}`,
    );
  }
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const claimed = view.getBigUint64(0, true);
  const room = Math.min(file.length - PREFIX, MAX_HEADER);
  if (claimed > BigInt(room)) {
    throw new FormatError(
      `Expected a safetensors header of at most ${room} bytes but its length field says ${claimed}: ` +
        "the file is cut short or of another kind",
    );
  }
  const length = Number(claimed);
  let json: unknown;
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
      .decode(file.subarray(PREFIX, PREFIX + length));
    json = JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new FormatError(`Expected a safetensors header in JSON but got: ${reason}`);
  }
  if (!isRecord(json)) {
    throw new FormatError(
      `Expected a safetensors header that is an object but got ${kindOf(json)}`,
    );
  }
  return { length, json };
}

function readMetadata(entry: unknown, metadata: Map<string, string>): void {
  if (!isRecord(entry)) {
    throw new FormatError(`Expected __metadata__ to be an object but got ${kindOf(entry)}`);
  }
  for (const [key, value] of Object.entries(entry)) {
    if (typeof value !== "string") {
      throw new FormatError(
        `Expected __metadata__ ${brief(key)} to be a string but got ${kindOf(value)}`,
      );
    }
    metadata.set(key, value);
  }
}

function readEntry(name: string, entry: unknown, dataLength: number): Located {
  const what = `tensor ${brief(name)}`;
  if (!isRecord(entry)) {
    throw new FormatError(`Expected an object for ${what} but got ${kindOf(entry)}`);
  }
  const { dtype, shape, data_offsets: offsets } = entry;
  if (!isDtype(dtype)) {
    throw new FormatError(
      `Expected a dtype of ${Object.keys(DTYPES).join(", ")} for ${what} but got ${
        JSON.stringify(dtype)
      }`,
    );
  }
  if (!isSizes(shape)) {
    throw new FormatError(`Expected a list of sizes as shape of ${what} but got ${brief(shape)}`);
  }
  if (!isSizes(offsets) || offsets.length !== 2 || offsets[0] > offsets[1]) {
    throw new FormatError(
      `Expected data_offsets [begin, end] of ${what} but got ${brief(offsets)}`,
    );
  }
  const [begin, end] = offsets;
  if (end > dataLength) {
    throw new FormatError(
      `Expected ${what} to end within the ${dataLength} bytes of data but its data_offsets end at ` +
        `${end}: the file is cut short`,
    );
  }
  // A double product is exact below 2^53, and beyond it can only be more than the file holds.
  const bytes = shape.reduce((product, size) => product * size, DTYPES[dtype][0]);
  if (bytes !== end - begin) {
    throw new FormatError(
      `Expected ${bytes} bytes for ${what} of ${dtype} and shape ${brief(shape)} but its ` +
        `data_offsets hold ${end - begin}`,
    );
  }
  return { name, dtype, shape, begin, end };
}

/** Checks that the tensors, in offset order, fill the data without gap or overlap. */
function checkCoverage(located: readonly Located[], dataLength: number): void {
  let covered = 0;
  for (const { name, begin, end } of located) {
    if (begin !== covered) {
      throw new FormatError(
        `Expected tensor ${brief(name)} to begin at byte ${covered}, where the one before it ` +
          `ends, but it begins at ${begin}`,
      );
    }
    covered = end;
  }
  if (covered !== dataLength) {
    throw new FormatError(
      `Expected ${covered} bytes of tensor data but the file holds ${dataLength}`,
    );
  }
}

/** The header with spaces after it, so that the values begin at a multiple of 8 bytes. */
function paddedJson(entries: readonly [string, unknown][]): string {
  const json = `{${
    entries.map(([k, v]) => `${JSON.stringify(k)}:${JSON.stringify(v)}`).join(",")
  }}`;
  const length = new TextEncoder().encode(json).length;
  return json + " ".repeat((8 - length % 8) % 8);
}

function checkHalf(name: string, value: number): number {
  if (Number.isFinite(value) && Math.abs(value) >= MAX_HALF + 16) {
    throw new ArgumentError(
      `Expected values within ±${MAX_HALF} for F16 but "${name}" has ${value}`,
    );
  }
  return value;
}

function exactNumber(value: bigint): number {
  const number = Number(value);
  if (Number.isSafeInteger(number)) return number;
  throw new FormatError(`Expected 64-bit integers within ±(2^53 - 1) but got ${value}`);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isDtype(value: unknown): value is Dtype {
  return typeof value === "string" && Object.hasOwn(DTYPES, value);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}

function kindOf(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "a list" : `a ${typeof value}`;
}

/** A value as JSON, cut short. */
function brief(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}
