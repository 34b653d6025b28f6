/**
 * Special functions in double that JavaScript's Math lacks.
 *
 * @module
 */

/** σ(x) = 1/(1 + e^−x), accurate in both tails. */
export function logistic(x: number): number {
  if (x >= 0) return 1 / (1 + Math.exp(-x));
  const e = Math.exp(x);
  return e / (1 + e);
}

/** e^(−x²), without the error of x² that the exponential would magnify: x² = h² + (x−h)(x+h). */
function gaussian(x: number): number {
  // The square of a float32 is exact in double.
  const h = Math.fround(x);
  return Math.exp(-h * h) * Math.exp(-(x - h) * (x + h));
}

/**
 * erfc(x) = 1 − erf(x) to 1e−15 relative in double: for |x| < 0.5, where the difference loses little,
 * by the all-positive series erf(x) = 2/√π·e^(−x²)·Σ 2^n x^(2n+1)/(2n+1)!!; beyond it by the continued
 * fraction of Abramowitz and Stegun 7.1.14, evaluated backwards from where it has converged.
 */
export function erfc(x: number): number {
  if (x < 0) return 2 - erfc(-x);
  // Below half the smallest double.
  if (x > 28) return 0;
  if (x < 0.5) {
    let term = x, sum = x;
    for (let n = 1; term > sum * 2 ** -55; n++) {
      term *= 2 * x * x / (2 * n + 1);
      sum += term;
    }
    return 1 - 2 * gaussian(x) / Math.sqrt(Math.PI) * sum;
  }
  let fraction = x;
  for (let k = 10 + Math.ceil(200 / (x * x)); k >= 1; k--) fraction = x + k / 2 / fraction;
  return gaussian(x) / Math.sqrt(Math.PI) / fraction;
}

/** Φ(x), the standard normal distribution function, by erfc. */
export function normalCdf(x: number): number {
  return erfc(-x / Math.SQRT2) / 2;
}

/**
 * The approximation of Φ that the DDPM code uses: ½(1 + tanh(√(2/π)(x + 0.044715 x³))), evaluated as
 * σ(2·…), which is the same function without cancellation in the lower tail.
 */
export function normalCdfTanh(x: number): number {
  return logistic(2 * Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x));
}
