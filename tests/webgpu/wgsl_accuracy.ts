/**
 * What WGSL promises of float32 (W3C, WebGPU Shading Language, section "Floating point accuracy"), as
 * relative errors: an ulp is at most 2^−23 of the value. Sums, products and fma round to nearest, so they
 * are covered by `gamma`. Results below 2^−126 may be replaced by 0.
 */
import { gamma, U32 } from "../../src/math/float32.ts";
import { logistic } from "../../src/math/special.ts";

/** One ulp as a share of the value. */
const ULP = 2 ** -23;

/** Largest value that may be flushed to 0. */
export const FLUSHED = 2 ** -126;

/** Division: 2.5 ulp. */
export const DIVISION = 2.5 * ULP;

/** inverseSqrt: 2 ulp. */
export const INVERSE_SQRT = 2 * ULP;

/** sqrt: that of 1/inverseSqrt. */
export const SQRT = DIVISION + INVERSE_SQRT * (1 + DIVISION);

/** exp(x): 3 + 2|x| ulp. */
export function expError(x: number): number {
  return (3 + 2 * Math.abs(x)) * ULP;
}

/**
 * Relative error of σ(x) = 1/(1 + e^−x): that of e^−x acts with its share of the denominator, 1 − σ(x);
 * then one sum and one division.
 */
export function logisticError(x: number): number {
  return (1 - logistic(x)) * expError(x) * (1 + gamma(4)) + (U32 + DIVISION) * (1 + gamma(8));
}

/**
 * Error of silu(x + dx) with |dx| ≤ `inputError`. SiLU's slope is below 1.1; e^−x is computed no further
 * than e^87, beyond which x·σ(x) is below |x|·e^−87 < |x|·2^−125 on both sides.
 */
export function siluBound(x: number, inputError: number): number {
  const relative = logisticError(x) + U32;
  return 1.1 * inputError + Math.abs(x * logistic(x)) * relative +
    (Math.abs(x) + 1) * 2 * FLUSHED;
}

/**
 * Error of SiLU's slope σ(1 + x(1 − σ)) at x + dx, |dx| ≤ `inputError`: the slope's own slope is at most ½;
 * σ's relative error ρ acts on the factor σ, and as σ·ρ on 1 − σ, which is rounded once more; 4
 * roundings follow.
 */
export function siluSlopeBound(x: number, inputError: number): number {
  const s = logistic(x), rho = logisticError(x), X = Math.abs(x);
  const rest = (s * rho + U32) * X;
  const size = (1 + X * (1 - s) + rest) * (1 + rho);
  return inputError / 2 + s * (rest * (1 + rho) + rho * (1 + X * (1 - s)) + gamma(4) * size) +
    (X + 1) * 2 * FLUSHED;
}
