/**
 * Philox 4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw, "Parallel Random
 * Numbers: As Easy as 1, 2, 3" (SC 2011). Every random number of the package is a pure function of
 * (seed, stream, index) through this block function, so noise never depends on batch size, order,
 * shard or device.
 *
 * @module
 */
import { checkInteger } from "./errors.ts";

const M0 = 0xd2511f53;
const M1 = 0xcd9e8d57;
/** Weyl increments of the key: the golden ratio and √3 − 1, as 32-bit fractions. */
const W0 = 0x9e3779b9;
const W1 = 0xbb67ae85;
const ROUNDS = 10;

/** High 32 bits of the 64-bit product of two words, by 16-bit limbs; every sum stays below 2^32. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff, aHigh = a >>> 16;
  const bLow = b & 0xffff, bHigh = b >>> 16;
  const middle = Math.imul(aHigh, bLow) + (Math.imul(aLow, bLow) >>> 16) | 0;
  const carry = Math.imul(aLow, bHigh) + (middle & 0xffff) | 0;
  return Math.imul(aHigh, bHigh) + (middle >>> 16) + (carry >>> 16) | 0;
}

/** The ten rounds. Words are kept as int32, which the engine does not have to box. */
function rounds(
  out: Uint32Array,
  c0: number,
  c1: number,
  c2: number,
  c3: number,
  k0: number,
  k1: number,
): void {
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(M0, c0), low0 = Math.imul(M0, c0);
    const high1 = multiplyHigh(M1, c2), low1 = Math.imul(M1, c2);
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 = k0 + W0 | 0;
    k1 = k1 + W1 | 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

/**
 * One block of Philox 4x32-10.
 *
 * @param counter four uint32 words, low word first.
 * @param key two uint32 words, low word first.
 * @returns four uint32 words.
 */
export function philox4x32(
  counter: readonly [number, number, number, number],
  key: readonly [number, number],
): [number, number, number, number] {
  const words = new Uint32Array(4);
  rounds(
    words,
    counter[0] | 0,
    counter[1] | 0,
    counter[2] | 0,
    counter[3] | 0,
    key[0] | 0,
    key[1] | 0,
  );
  return [words[0], words[1], words[2], words[3]];
}

const TWO_32 = 2 ** 32;
/** Words of an integer below 2^53 as int32; `| 0` is defined as reduction modulo 2^32. */
const low = (n: number): number => n | 0;
const high = (n: number): number => Math.floor(n / TWO_32) | 0;

/**
 * A reader of the blocks of stream `stream` under `seed`: it writes block `block` into `out`. The key
 * is the seed, the counter is (block, stream), each split low word first.
 *
 * @throws {ArgumentError} if an argument is not an integer in 0..2^53 − 1.
 */
export function blockReader(
  seed: number,
  stream: number,
): (block: number, out: Uint32Array) => void {
  checkInteger("seed", seed, 0, Number.MAX_SAFE_INTEGER);
  checkInteger("stream", stream, 0, Number.MAX_SAFE_INTEGER);
  const c2 = low(stream), c3 = high(stream), k0 = low(seed), k1 = high(seed);
  return (block, out) => rounds(out, low(block), high(block), c2, c3, k0, k1);
}

/**
 * Block `block` of stream `stream` under `seed`: four uint32 words.
 *
 * @throws {ArgumentError} if an argument is not an integer in 0..2^53 − 1.
 */
export function randomBlock(
  seed: number,
  stream: number,
  block: number,
): [number, number, number, number] {
  checkInteger("block", block, 0, Number.MAX_SAFE_INTEGER);
  const words = new Uint32Array(4);
  blockReader(seed, stream)(block, words);
  return [words[0], words[1], words[2], words[3]];
}

/**
 * `count` consecutive uint32 of a stream from `index` on: number i is word i mod 4 of block ⌊i/4⌋.
 *
 * @throws {ArgumentError} if an argument is not an integer in 0..2^53 − 1.
 */
export function randomBits(
  seed: number,
  stream: number,
  index: number,
  count: number,
): Uint32Array<ArrayBuffer> {
  checkInteger("index", index, 0, Number.MAX_SAFE_INTEGER);
  checkInteger("count", count, 0, Number.MAX_SAFE_INTEGER - index);
  const read = blockReader(seed, stream);
  const words = new Uint32Array(4), out = new Uint32Array(count);
  for (let i = 0; i < count;) {
    const at = index + i;
    read(Math.floor(at / 4), words);
    for (let lane = at % 4; lane < 4 && i < count; lane++, i++) out[i] = words[lane];
  }
  return out;
}
