/**
 * The Gaussian: its density and the KL divergence between two (the note's section 1; Ho et al. 2020,
 * section 2).
 *
 * @module
 */
import { checkFinite, unexpected } from "../math/errors.ts";
import { checkShape, type Tensor, tensor } from "../math/tensor.ts";

/**
 * ln N(x; μ, σ² I) = −½ Σ ((x−μ)²/σ² + ln 2πσ²), in nats, summed over all elements.
 *
 * @param mean μ, shaped like `x`.
 * @param variance σ² > 0, shared by all elements.
 * @throws {ArgumentError} if the shapes differ or σ² ≤ 0.
 */
export function gaussianLogDensity(x: Tensor, mean: Tensor, variance: number): number {
  checkShape("mean", mean, x.shape);
  if (!(checkFinite("variance", variance) > 0)) unexpected("a variance above 0", variance);
  const constant = Math.log(2 * Math.PI * variance);
  let sum = 0;
  for (let i = 0; i < x.data.length; i++) {
    sum += (x.data[i] - mean.data[i]) ** 2 / variance + constant;
  }
  return -sum / 2;
}

/**
 * KL(N(μ_1, σ_1²) ‖ N(μ_2, σ_2²)) of one element, in nats:
 * ½(ln σ_2² − ln σ_1² + σ_1²/σ_2² − 1 + (μ_1−μ_2)²/σ_2²).
 */
export function normalKlOf(
  mean1: number,
  logVariance1: number,
  mean2: number,
  logVariance2: number,
): number {
  const ratio = logVariance1 - logVariance2;
  // e^r − 1 − r loses nothing near r = 0 when expm1 takes the first two terms.
  return (Math.expm1(ratio) - ratio + (mean1 - mean2) ** 2 * Math.exp(-logVariance2)) / 2;
}

/**
 * {@linkcode normalKlOf} elementwise, in nats.
 *
 * @throws {ArgumentError} if the shapes differ.
 */
export function normalKl(
  mean1: Tensor,
  logVariance1: Tensor,
  mean2: Tensor,
  logVariance2: Tensor,
): Tensor {
  checkShape("logVariance1", logVariance1, mean1.shape);
  checkShape("mean2", mean2, mean1.shape);
  checkShape("logVariance2", logVariance2, mean1.shape);
  const kl = Float64Array.from(
    mean1.data,
    (mean, i) => normalKlOf(mean, logVariance1.data[i], mean2.data[i], logVariance2.data[i]),
  );
  return tensor(mean1.shape, kl);
}
