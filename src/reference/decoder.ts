/**
 * The discretised Gaussian decoder p_θ(x_0 | x_1) (Ho et al. 2020, section 3.3 and eq. 13).
 *
 * @module
 */
import { unexpected } from "../math/errors.ts";
import { normalCdf, normalCdfTanh } from "../math/special.ts";
import { checkShape, type Tensor, tensor } from "../math/tensor.ts";

/** Φ: the exact one, or the tanh approximation that the original code uses. */
export type Cdf = "erf" | "tanh";

/** Half the distance between neighbouring 8-bit levels in [−1, 1]. */
export const HALF_BIN: number = 1 / 255;
/** Where |x_0| exceeds this, the bin reaches to infinity: the levels 0 and 255. */
export const EDGE = 0.999;
/** Probabilities are floored here before the logarithm. */
export const FLOOR = 1e-12;

/** Φ(b) − Φ(a) for a ≤ b; in the upper tail by symmetry, where 1 − Φ would cancel. */
function mass(phi: (x: number) => number, a: number, b: number): number {
  return a > 0 ? phi(-a) - phi(-b) : phi(b) - phi(a);
}

/**
 * Probability of the 8-bit level `x0` under N(μ, σ²) integrated over its bin; the bins of levels 0
 * and 255 extend to infinity (Ho et al. 2020, eq. 13).
 *
 * @param x0 a level in [−1, 1].
 * @param logScale ln σ.
 */
export function decoderProbability(x0: number, mean: number, logScale: number, cdf: Cdf): number {
  const phi = cdf === "erf" ? normalCdf : normalCdfTanh;
  const inverse = Math.exp(-logScale);
  const upper = inverse * (x0 - mean + HALF_BIN), lower = inverse * (x0 - mean - HALF_BIN);
  if (x0 < -EDGE) return phi(upper);
  if (x0 > EDGE) return phi(-lower);
  return mass(phi, lower, upper);
}

/** −ln of {@linkcode decoderProbability}, floored at 1e−12, in nats. */
export function decoderNllOf(x0: number, mean: number, logScale: number, cdf: Cdf): number {
  return -Math.log(Math.max(decoderProbability(x0, mean, logScale, cdf), FLOOR));
}

/**
 * Derivatives of {@linkcode decoderNllOf} by μ and ln σ; 0 where the floor acts. The density that
 * belongs to the tanh form is its own derivative, not the Gaussian's.
 */
export function decoderNllGradient(
  x0: number,
  mean: number,
  logScale: number,
  cdf: Cdf,
): { dMean: number; dLogScale: number } {
  const probability = decoderProbability(x0, mean, logScale, cdf);
  if (!(probability > FLOOR)) return { dMean: 0, dLogScale: 0 };
  const density = cdf === "erf" ? normalDensity : normalDensityTanh;
  const inverse = Math.exp(-logScale);
  const upper = inverse * (x0 - mean + HALF_BIN), lower = inverse * (x0 - mean - HALF_BIN);
  const atUpper = x0 > EDGE ? 0 : density(upper), atLower = x0 < -EDGE ? 0 : density(lower);
  // d upper/dμ = −1/σ and d upper/d ln σ = −upper; likewise below. NLL = −ln P.
  const weightedUpper = atUpper === 0 ? 0 : atUpper * upper;
  const weightedLower = atLower === 0 ? 0 : atLower * lower;
  return {
    dMean: inverse * (atUpper - atLower) / probability,
    dLogScale: (weightedUpper - weightedLower) / probability,
  };
}

/** φ(x), the standard normal density. */
export function normalDensity(x: number): number {
  return Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
}

/** The derivative of the tanh approximation of Φ: 2σ'(2u)·u' with u = √(2/π)(x + 0.044715 x³). */
export function normalDensityTanh(x: number): number {
  const p = normalCdfTanh(x), q = normalCdfTanh(-x);
  return 2 * p * q * Math.sqrt(2 / Math.PI) * (1 + 3 * 0.044715 * x * x);
}

/**
 * −ln p(x_0 | N(μ, σ²)) elementwise under the discretised decoder, in nats (Ho et al. 2020, eq. 13).
 *
 * @param x0 8-bit levels scaled to [−1, 1].
 * @param mean μ, shaped like `x0`.
 * @param logScale ln σ, shaped like `x0`.
 * @throws {ArgumentError} if the shapes differ or `cdf` is unknown.
 */
export function decoderNll(x0: Tensor, mean: Tensor, logScale: Tensor, cdf: Cdf): Tensor {
  checkCdf(cdf);
  checkShape("mean", mean, x0.shape);
  checkShape("logScale", logScale, x0.shape);
  const nll = Float64Array.from(
    x0.data,
    (x, i) => decoderNllOf(x, mean.data[i], logScale.data[i], cdf),
  );
  return tensor(x0.shape, nll);
}

/** Checks a cdf option. @throws {ArgumentError} unless it is erf or tanh. */
export function checkCdf(cdf: Cdf): void {
  if (cdf !== "erf" && cdf !== "tanh") unexpected("cdf erf or tanh", cdf);
}
