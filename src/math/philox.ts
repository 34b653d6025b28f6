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

/** High 32 bits of the 64-bit product of two uint32, by 16-bit limbs. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff, aHigh = a >>> 16;
  const bLow = b & 0xffff, bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = (aLow * bHigh + (middle & 0xffff)) / 0x10000;
  return (aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(carry)) >>> 0;
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
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(M0, c0), low0 = Math.imul(M0, c0) >>> 0;
    const high1 = multiplyHigh(M1, c2), low1 = Math.imul(M1, c2) >>> 0;
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0;
    k0 = (k0 + W0) >>> 0;
    k1 = (k1 + W1) >>> 0;
  }
  return [c0, c1, c2, c3];
}

const TWO_32 = 2 ** 32;
const low = (n: number): number => n % TWO_32;
const high = (n: number): number => Math.floor(n / TWO_32);

/**
 * Block `block` of stream `stream` under `seed`: four uint32 words.
 *
 * The key is the seed, the counter is (block, stream), each split low word first.
 *
 * @throws {ArgumentError} if an argument is not an integer in 0..2^53 − 1.
 */
export function randomBlock(
  seed: number,
  stream: number,
  block: number,
): [number, number, number, number] {
  checkInteger("seed", seed, 0, Number.MAX_SAFE_INTEGER);
  checkInteger("stream", stream, 0, Number.MAX_SAFE_INTEGER);
  checkInteger("block", block, 0, Number.MAX_SAFE_INTEGER);
  return philox4x32([low(block), high(block), low(stream), high(stream)], [low(seed), high(seed)]);
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
  const out = new Uint32Array(count);
  for (let i = 0; i < count;) {
    const at = index + i;
    const words = randomBlock(seed, stream, Math.floor(at / 4));
    for (let lane = at % 4; lane < 4 && i < count; lane++, i++) out[i] = words[lane];
  }
  return out;
}
