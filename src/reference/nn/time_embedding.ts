import { checkFinite, checkInteger, unexpected } from "../../math/errors.ts";
import { type Tensor, tensor } from "../../math/tensor.ts";

/** Which of the sinusoidal embeddings in use is meant. */
export interface TimeEmbeddingOptions {
  /** Which half comes first. Default `sinCos`, as in DDPM. */
  readonly order?: "sinCos" | "cosSin";
  /** 1 divides the exponents by half − 1 (DDPM, the default), 0 by half (improved DDPM). */
  readonly shift?: number;
  /** Ratio of the longest period to the shortest. Default 10,000. */
  readonly maxPeriod?: number;
}

/**
 * Sinusoidal embedding of times (Vaswani et al. 2017, section 3.5), in double: with half = ⌊dim/2⌋ and
 * f_i = maxPeriod^(−i/(half − shift)), row n is [sin(t_n f_0), …, sin(t_n f_half−1), cos(t_n f_0), …],
 * and, if dim is odd, a last 0.
 *
 * @param timesteps as the network gets them, 0..T−1; need not be integers.
 * @returns N·dim values.
 * @throws {ArgumentError} if a time is not finite, or shift is not below half.
 */
export function timeEmbeddingDoubles(
  timesteps: readonly number[],
  dim: number,
  options: TimeEmbeddingOptions = {},
): Float64Array {
  const { order = "sinCos", shift = 1, maxPeriod = 10000 } = options;
  checkInteger("dim", dim, 1, 2 ** 20);
  const half = Math.floor(dim / 2);
  if (half > 0 && !(shift < half)) unexpected(`shift below ${half}, half of dim`, shift);
  if (!(maxPeriod > 0)) unexpected("maxPeriod above 0", maxPeriod);
  const [sinAt, cosAt] = order === "sinCos" ? [0, half] : [half, 0];
  const out = new Float64Array(timesteps.length * dim);
  timesteps.forEach((t, n) => {
    checkFinite("every timestep", t);
    for (let i = 0; i < half; i++) {
      const angle = t * maxPeriod ** (-i / (half - shift));
      out[n * dim + sinAt + i] = Math.sin(angle);
      out[n * dim + cosAt + i] = Math.cos(angle);
    }
  });
  return out;
}

/**
 * `timeEmbeddingDoubles` as a tensor `[N, dim]`.
 *
 * @throws {ArgumentError} as that does.
 */
export function timeEmbedding(
  timesteps: readonly number[],
  dim: number,
  options: TimeEmbeddingOptions = {},
): Tensor {
  return tensor([timesteps.length, dim], timeEmbeddingDoubles(timesteps, dim, options));
}
