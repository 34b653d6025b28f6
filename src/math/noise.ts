/**
 * Normals, uniforms and integers as pure functions of (seed, stream, index), and the one table of
 * which stream serves which purpose.
 *
 * @module
 */
import { checkInteger, unexpected } from "./errors.ts";
import { blockReader, randomBits } from "./philox.ts";
import { type Shape, sizeOf, type Tensor, tensor } from "./tensor.ts";

/**
 * What a stream of random numbers is for. Streams of different purposes never overlap.
 *
 * `init` weights; `order` the shuffling of data; `time` the t of a training example; `noise` the ε
 * of a training example; `dropout` masks; `sample` x_T and the z of every sampling step.
 */
export type Purpose =
  | "init"
  | "order"
  | "time"
  | "noise"
  | "dropout"
  | "sample"
  | "flip"
  | "labelDrop"
  | "evaluate";

const PURPOSES: readonly Purpose[] = [
  "init",
  "order",
  "time",
  "noise",
  "dropout",
  "sample",
  "flip",
  "labelDrop",
  "evaluate",
];

/**
 * The stream of a purpose for one item (sample or training-example number, below 2^28) and one slot
 * (a timestep, layer or tensor number, below 2^20): purpose·2^48 + item·2^20 + slot.
 *
 * @throws {ArgumentError} if `item` or `slot` is out of range.
 */
export function streamOf(purpose: Purpose, item: number, slot: number): number {
  checkInteger("item", item, 0, 2 ** 28 - 1);
  checkInteger("slot", slot, 0, 2 ** 20 - 1);
  return PURPOSES.indexOf(purpose) * 2 ** 48 + item * 2 ** 20 + slot;
}

/** (high word, low word) → a double in (0, 1) with 52 random bits, never 0 or 1. */
function unitOpen(high: number, low: number): number {
  return (high * 2 ** 20 + (low >>> 12) + 0.5) / 2 ** 52;
}

/**
 * `count` standard normals of a stream from `index` on, in double. Normals 2k and 2k + 1 are the
 * cosine and sine branch of Box–Muller on block k: √(−2 ln u₁)·(cos 2πu₂, sin 2πu₂).
 *
 * @throws {ArgumentError} if an argument is not an integer in 0..2^53 − 1.
 */
export function normalDoubles(
  seed: number,
  stream: number,
  index: number,
  count: number,
): Float64Array<ArrayBuffer> {
  checkInteger("index", index, 0, Number.MAX_SAFE_INTEGER);
  checkInteger("count", count, 0, Number.MAX_SAFE_INTEGER - index);
  const read = blockReader(seed, stream);
  const words = new Uint32Array(4), out = new Float64Array(count);
  for (let i = 0; i < count;) {
    const at = index + i;
    read(Math.floor(at / 2), words);
    const radius = Math.sqrt(-2 * Math.log(unitOpen(words[0], words[1])));
    const angle = 2 * Math.PI * unitOpen(words[2], words[3]);
    if (at % 2 === 0) out[i++] = radius * Math.cos(angle);
    if (i < count) out[i++] = radius * Math.sin(angle);
  }
  return out;
}

/**
 * Standard normals of `shape` `[N, …]` in float32, sample n drawn from stream `streams[n]`: the noise
 * of a sample does not depend on which batch it is in.
 *
 * @throws {ArgumentError} if `streams` has another length than N.
 */
export function normalTensor(seed: number, streams: readonly number[], shape: Shape): Tensor {
  if (streams.length !== shape[0]) unexpected(`${shape[0]} streams`, streams);
  const out = tensor(shape);
  const D = sizeOf(shape.slice(1));
  streams.forEach((stream, n) => out.data.set(normalDoubles(seed, stream, 0, D), n * D));
  return out;
}

/**
 * Uniform doubles in (0, 1), two uint32 each: value i from words 2i and 2i + 1 of the stream.
 *
 * @throws {ArgumentError} if an argument is not an integer in range.
 */
export function uniformDoubles(
  seed: number,
  stream: number,
  index: number,
  count: number,
): Float64Array<ArrayBuffer> {
  checkInteger("index", index, 0, 2 ** 52 - 1);
  const words = randomBits(seed, stream, 2 * index, 2 * count);
  const out = new Float64Array(count);
  for (let i = 0; i < count; i++) out[i] = unitOpen(words[2 * i], words[2 * i + 1]);
  return out;
}

/**
 * One integer in 0..bound − 1 from the first uniform of a stream: ⌊u·bound⌋, whose bias is below
 * bound·2^−52.
 *
 * @throws {ArgumentError} if `bound` is not an integer in 1..2^32.
 */
export function randomInteger(seed: number, stream: number, bound: number): number {
  checkInteger("bound", bound, 1, 2 ** 32);
  return Math.floor(uniformDoubles(seed, stream, 0, 1)[0] * bound);
}

/**
 * The numbers 0..count − 1 in an order drawn from a stream (Fisher–Yates).
 *
 * @throws {ArgumentError} if `count` is not an integer in 0..2^32.
 */
export function permutation(seed: number, stream: number, count: number): Uint32Array<ArrayBuffer> {
  checkInteger("count", count, 0, 2 ** 32);
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  const u = uniformDoubles(seed, stream, 0, count);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(u[i] * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}
