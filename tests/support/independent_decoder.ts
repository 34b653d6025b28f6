/**
 * The discretised decoder by integrals: probabilities and their slopes from the density over a bin.
 * Never imports the reference.
 *
 * @module
 */
import { U64 } from "../../src/math/float32.ts";
import { integrate } from "./quadrature.ts";

/** Which Φ. */
export type Cdf = "erf" | "tanh";

/** A bin in units of σ around μ, its probability, and slopes of ln P, with bounds on the reference's errors. */
export interface Bin {
  readonly probability: number;
  readonly probabilityError: number;
  /** −∂ln P/∂μ. */
  readonly dMean: number;
  readonly dMeanError: number;
  /** −∂ln P/∂ln σ. */
  readonly dLogScale: number;
  readonly dLogScaleError: number;
}

/** Below this either side may already have lost its digits. */
const UNDERFLOW = 2 ** -1000;
const normal = (z: number) => Math.exp(-z * z / 4) ** 2 / Math.sqrt(2 * Math.PI);
const K = Math.sqrt(2 / Math.PI), CUBIC = 0.044715;
/** The argument of the tanh approximation, and its derivative. */
const argument = (z: number) => K * (z + CUBIC * z ** 3);
const slope = (z: number) => K * (1 + 3 * CUBIC * z * z);

/** The density of either Φ. */
export function density(cdf: Cdf, z: number): number {
  if (!Number.isFinite(z)) return 0;
  return cdf === "erf" ? normal(z) : slope(z) / (2 * Math.cosh(argument(z)) ** 2);
}

/** ½(tanh B − tanh A) = (1 − e^(−2(B−A)))/((1 + e^(−2B))(1 + e^(2A))). */
function tanhMass(a: number, b: number): number {
  const A = argument(a), B = argument(b);
  const width = Number.isFinite(A) && Number.isFinite(B)
    ? K * (b - a) * (1 + CUBIC * (a * a + a * b + b * b))
    : Infinity;
  return -Math.expm1(-2 * width) / ((1 + Math.exp(-2 * B)) * (1 + Math.exp(2 * A)));
}

/**
 * How far two computations of z = (x_0 − μ ± 1/255)/σ may be apart: two roundings each of the
 * numerator, and eight between σ, 1/σ and the product.
 */
export function edgeError(z: number, x0: number, mean: number, sigma: number): number {
  if (!Number.isFinite(z)) return 0;
  return (8 * Math.abs(z) + 4 * (Math.abs(x0) + Math.abs(mean) + 1 / 255) / sigma) * U64;
}

/** ∫_a^b f·φ; beyond 38σ there is nothing in double, and short panels follow the steep tails. */
function over(f: (z: number) => number, a: number, b: number): number {
  const low = Math.max(a, -38), high = Math.min(b, 38);
  return low < high ? integrate((z) => f(z) * normal(z), low, high, 0.25) : 0;
}

/** {@linkcode over} for an f whose integral over all z is 0: around 0, from the two tails. */
function overZeroTotal(
  f: (z: number) => number,
  a: number,
  b: number,
): { value: number; error: number } {
  const size = (z: number) => Math.abs(f(z));
  const [value, most] = a < 0 && b > 0
    ? [
      -over(f, -Infinity, a) - over(f, b, Infinity),
      over(size, -Infinity, a) + over(size, b, Infinity),
    ]
    : [over(f, a, b), over(size, a, b)];
  return { value, error: 16 * U64 * most };
}

/** The bin of level `x0` (a multiple of 2/255 from −1) under N(mean, e^(2 logScale)). */
export function binOf(x0: number, mean: number, logScale: number, cdf: Cdf): Bin {
  const sigma = Math.exp(logScale);
  const a = x0 < -0.999 ? -Infinity : (x0 - 1 / 255 - mean) / sigma;
  const b = x0 > 0.999 ? Infinity : (x0 + 1 / 255 - mean) / sigma;
  const probability = cdf === "erf" ? over(() => 1, a, b) : tanhMass(a, b);
  const fa = density(cdf, a), fb = density(cdf, b);
  const times = (z: number, f: number) => f === 0 ? 0 : z * f;
  // By parts over the bin: ∂P/∂μ = ∫zφ/σ and ∂P/∂ln σ = ∫(z² − 1)φ for the Gaussian.
  const exact = cdf === "tanh";
  const byMean = exact ? { value: fa - fb, error: 0 } : overZeroTotal((z) => z, a, b);
  const byScale = exact
    ? { value: times(a, fa) - times(b, fb), error: 0 }
    : overZeroTotal((z) => z * z - 1, a, b);
  const edge = (z: number) => edgeError(z, x0, mean, sigma);
  const curvature = (z: number) =>
    Number.isFinite(z) ? 1 + Math.abs(z) + 0.3 * Math.abs(z) ** 3 : 0;
  const tail = (z: number) => cdf === "erf" ? over(() => 1, -Infinity, z) : tanhMass(-Infinity, z);
  // Φ is good to 10u relative in the tail that is used, the lower one unless both edges are above 0.
  const tails = a > 0 ? tail(-a) + tail(-b) : tail(b) + tail(a);
  // The quadrature itself is good to 16u relative.
  const probabilityError = fa * edge(a) + fb * edge(b) + 10 * U64 * tails +
    16 * U64 * probability +
    12 * U64 * (fa * curvature(a) + fb * curvature(b));
  const relative = probabilityError / probability;
  const slopeError = (z: number, f: number) =>
    f === 0 ? UNDERFLOW : f * curvature(z) * (edge(z) + 12 * U64 * (1 + z * z)) + UNDERFLOW;
  const timesSize = (z: number, error: number) =>
    Number.isFinite(z) ? error * (1 + Math.abs(z)) : error;
  const dMean = -byMean.value / sigma / probability;
  const dLogScale = -byScale.value / probability;
  return {
    probability,
    probabilityError,
    dMean,
    dMeanError: (slopeError(a, fa) + slopeError(b, fb) + byMean.error) / sigma / probability +
      Math.abs(dMean) * (relative + 8 * U64),
    dLogScale,
    dLogScaleError:
      (timesSize(a, slopeError(a, fa)) + timesSize(b, slopeError(b, fb)) + byScale.error) /
        probability + Math.abs(dLogScale) * (relative + 8 * U64),
  };
}

/** −ln max(P, 1e−12), and a bound on the reference's error in it. */
export function nllOf(bin: Bin): { value: number; error: number } {
  const floored = Math.max(bin.probability, 1e-12);
  const value = -Math.log(floored);
  return { value, error: bin.probabilityError / floored + 2 * U64 * (1 + Math.abs(value)) };
}
