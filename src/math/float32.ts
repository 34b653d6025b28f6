/**
 * Distances and rounding-error bounds between float32 results. Bounds are derived in
 * docs/numerics.md; the letters follow Higham, "Accuracy and Stability of Numerical Algorithms".
 *
 * @module
 */

/** Unit roundoff of float32: rounding to nearest has relative error at most 2^−24. */
export const U32: number = 2 ** -24;
/** Unit roundoff of double. */
export const U64: number = 2 ** -53;
/** Smallest positive float32 (subnormal); half of it bounds the error of an underflowing store. */
export const TINY32: number = 2 ** -149;

/** Distance from |x| to the next larger float32: one unit in the last place. 2^−149 at 0. */
export function ulp32(x: number): number {
  const magnitude = Math.abs(Math.fround(x));
  if (!Number.isFinite(magnitude)) return NaN;
  if (magnitude < 2 ** -126) return TINY32;
  let exponent = Math.floor(Math.log2(magnitude));
  // log2 may land on the neighbour near a power of two: settle it exactly.
  if (2 ** exponent > magnitude) exponent--;
  else if (2 ** (exponent + 1) <= magnitude) exponent++;
  return 2 ** (exponent - 23);
}

/** Error of rounding `x` to float32 once: at most max(u·|x|, half the smallest subnormal). */
export function roundingBound(x: number): number {
  return Math.max(U32 * Math.abs(x), TINY32 / 2);
}

/** γ_n = n·u / (1 − n·u), the growth of n successive roundings with unit roundoff `u` (Higham 3.1). */
export function gamma(n: number, u: number = U32): number {
  return n * u / (1 - n * u);
}

/**
 * Bound on |computed − exact| of a sum of `n` products in any order with unit roundoff `u`, where
 * `magnitude` is Σ|terms| (Higham 3.5; fused multiply-add only improves it).
 */
export function sumBound(n: number, magnitude: number, u: number = U32): number {
  return gamma(n, u) * magnitude;
}

/**
 * Bound of a reference result: ½ ulp for the one store to float32, plus n·2^−53·Σ|terms| for the
 * double arithmetic before it.
 */
export function referenceBound(exact: number, n: number, magnitude: number): number {
  return roundingBound(exact) + sumBound(n, magnitude, U64);
}
