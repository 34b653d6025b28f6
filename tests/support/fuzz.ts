/**
 * Seeded damage to files: what a broken disk, a cut-off download or a hostile hand does to them.
 *
 * @module
 */

/** A stream of whole numbers from a seed: xorshift with 32 bits of state (Marsaglia 2003). */
export class Draws {
  #state: number;

  constructor(seed: number) {
    // Neighbouring seeds begin far apart, and none at 0, which would stay 0.
    this.#state = Math.imul(seed + 1, 0x9e3779b1) | 1;
    for (let i = 0; i < 8; i++) this.below(2);
  }

  /** A number in 0..n − 1. */
  below(n: number): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return (x >>> 0) % n;
  }

  /** One of some. */
  oneOf<T>(values: readonly T[]): T {
    return values[this.below(values.length)];
  }
}

/** Values that lengths, counts and offsets are compared with. */
const TELLING = [
  0,
  1,
  2,
  7,
  8,
  127,
  128,
  255,
  256,
  32767,
  65535,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
];
/** No file grows beyond this, so that what it may cost is known. */
const MAX_LENGTH = 2 ** 16;

type Mutation = (bytes: Uint8Array, draws: Draws, others: readonly Uint8Array[]) => Uint8Array;

const MUTATIONS: readonly Mutation[] = [
  flipBit,
  flipBit,
  setByte,
  setField,
  setField,
  truncate,
  remove,
  repeat,
  splice,
];

/** The file after one to four mutations. */
export function mutated(
  bytes: Uint8Array,
  draws: Draws,
  others: readonly Uint8Array[],
): Uint8Array {
  let result = bytes;
  for (let left = 1 + draws.below(4); left > 0; left--) {
    result = draws.oneOf(MUTATIONS)(result, draws, others);
  }
  return result.length > MAX_LENGTH ? result.subarray(0, MAX_LENGTH) : result;
}

function flipBit(bytes: Uint8Array, draws: Draws): Uint8Array {
  if (bytes.length === 0) return bytes;
  const copy = bytes.slice();
  copy[draws.below(copy.length)] ^= 1 << draws.below(8);
  return copy;
}

function setByte(bytes: Uint8Array, draws: Draws): Uint8Array {
  if (bytes.length === 0) return bytes;
  const copy = bytes.slice();
  copy[draws.below(copy.length)] = draws.oneOf([0, 1, 9, 10, 34, 127, 128, 254, 255]);
  return copy;
}

/** Writes a telling number over 1, 2, 4 or 8 bytes, in either order: near the beginning, mostly. */
function setField(bytes: Uint8Array, draws: Draws): Uint8Array {
  const width = draws.oneOf([1, 2, 4, 8]);
  if (bytes.length < width) return bytes;
  const copy = bytes.slice();
  const view = new DataView(copy.buffer);
  const room = copy.length - width + 1;
  const at = draws.below(draws.below(2) === 0 ? Math.min(room, 64) : room);
  const value = draws.oneOf([...TELLING, copy.length, copy.length - 1, copy.length + 1]);
  const littleEndian = draws.below(2) === 0;
  if (width === 1) view.setUint8(at, value);
  if (width === 2) view.setUint16(at, value, littleEndian);
  if (width === 4) view.setUint32(at, value, littleEndian);
  if (width === 8) view.setBigUint64(at, BigInt(value) << BigInt(draws.below(33)), littleEndian);
  return copy;
}

function truncate(bytes: Uint8Array, draws: Draws): Uint8Array {
  return bytes.slice(0, draws.below(bytes.length + 1));
}

function range(length: number, draws: Draws): [begin: number, end: number] {
  const begin = draws.below(length + 1);
  return [begin, begin + draws.below(Math.min(length - begin, 256) + 1)];
}

function remove(bytes: Uint8Array, draws: Draws): Uint8Array {
  const [begin, end] = range(bytes.length, draws);
  return joined(bytes.subarray(0, begin), bytes.subarray(end));
}

function repeat(bytes: Uint8Array, draws: Draws): Uint8Array {
  const [begin, end] = range(bytes.length, draws);
  const copies = Array.from({ length: 1 + draws.below(8) }, () => bytes.subarray(begin, end));
  return joined(bytes.subarray(0, end), ...copies, bytes.subarray(end));
}

/** The beginning of this file and the end of another. */
function splice(bytes: Uint8Array, draws: Draws, others: readonly Uint8Array[]): Uint8Array {
  const other = draws.oneOf([bytes, ...others]);
  return joined(
    bytes.subarray(0, draws.below(bytes.length + 1)),
    other.subarray(draws.below(other.length + 1)),
  );
}

/** Some byte strings one after the other. */
export function joined(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

const JSON_VALUES: readonly unknown[] = [
  ...[null, true, -1, 0, 0.5, 1, 2, 2 ** 20, 2 ** 31, 2 ** 53, 1e300, "", "x\ny", "silu"],
  ...[[], [1], [2 ** 40, 2 ** 40], {}, { a: 1 }, "\u0000", [[[]]], new Array(50).fill(1)],
];

/** A JSON value with one value in it, at any depth, replaced, removed, or put under another name. */
export function mutatedJson(value: unknown, draws: Draws): unknown {
  if (typeof value !== "object" || value === null || draws.below(4) === 0) {
    return draws.oneOf(JSON_VALUES);
  }
  const entries: [string, unknown][] = Object.entries(value);
  if (entries.length === 0) return draws.oneOf(JSON_VALUES);
  const at = draws.below(entries.length);
  const [key, inner] = entries[at];
  const change = draws.below(8);
  if (change === 0) entries.splice(at, 1);
  else if (change === 1) entries.push([draws.oneOf(["__proto__", "", "x\ny", `${key} `]), inner]);
  else entries[at] = [key, mutatedJson(inner, draws)];
  return Array.isArray(value) ? entries.map(([, entry]) => entry) : Object.fromEntries(entries);
}
