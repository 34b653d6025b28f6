import { checkFinite, unexpected } from "../../math/errors.ts";
import { randomBits } from "../../math/philox.ts";
import type { Tensor } from "../../math/tensor.ts";
import { zerosLike } from "./zeros_like.ts";

/** Which random bits a dropout mask is made of. */
export interface DropoutOptions {
  /** Probability of dropping a value, in [0, 1). */
  readonly probability: number;
  /** Key of the random bits, an integer in 0..2^53 − 1. */
  readonly seed: number;
  /** One stream per sample, so that a sample's mask does not depend on its batch. */
  readonly streams: readonly number[];
}

/**
 * Inverted dropout (Srivastava et al. 2014): y = x/(1 − p) where kept, 0 where dropped. Value i of sample
 * n is kept where word i of its stream is at least round(p·2^32): an integer comparison, so that every
 * implementation drops the same values.
 *
 * @param x `[N, …]`
 * @throws {ArgumentError} if the probability is outside [0, 1) or there are not N streams.
 */
export function dropout(x: Tensor, options: DropoutOptions): Tensor {
  const { probability, seed, streams } = options;
  const p = checkFinite("probability", probability);
  if (p < 0 || p >= 1) unexpected("a dropout probability in [0, 1)", p);
  if (streams.length !== x.shape[0]) unexpected(`${x.shape[0]} dropout streams`, streams);
  const threshold = Math.round(p * 2 ** 32);
  const y = zerosLike(x);
  const D = x.data.length / streams.length;
  streams.forEach((stream, n) => {
    const words = randomBits(seed, stream, 0, D);
    for (let i = 0; i < D; i++) {
      if (words[i] >= threshold) y.data[n * D + i] = x.data[n * D + i] / (1 - p);
    }
  });
  return y;
}

/**
 * Gradient of `dropout`, which is linear with a diagonal matrix: the same mask and factor, applied to
 * dY.
 *
 * @throws {ArgumentError} as `dropout` does.
 */
export function dropoutBackward(dY: Tensor, options: DropoutOptions): Tensor {
  return dropout(dY, options);
}
