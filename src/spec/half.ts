/**
 * The two 16-bit floating-point formats of published weights, as pure conversions to and from
 * double: IEEE 754 binary16 (F16) and bfloat16 (BF16).
 *
 * @module
 */

/** Largest finite binary16: (2 − 2^−10)·2^15. */
export const MAX_HALF = 65504;

/** The value of a binary16 bit pattern: 1 sign, 5 exponent and 10 fraction bits. Exact. */
export function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/**
 * The binary16 bit pattern nearest to a float32 or double, ties to even; beyond the largest finite
 * half by half a step or more, infinity.
 */
export function numberToHalf(value: number): number {
  if (Number.isNaN(value)) return 0x7e00;
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  if (magnitude >= MAX_HALF + 16) return sign | 0x7c00;
  // Below 2^−14 the step is that of the subnormals, 2^−24; from there on 2^(exponent − 10).
  const exponent = magnitude < 2 ** -14 ? -14 : floorLog2(magnitude);
  const steps = roundToEven(magnitude * 2 ** (10 - exponent));
  // A subnormal has no implicit 1024; a carry out of the fraction moves into the exponent by itself.
  return sign | (magnitude < 2 ** -14 ? steps : ((exponent + 14) << 10) + steps);
}

/** The value of a bfloat16 bit pattern: the upper half of a float32. Exact. */
export function bfloatToNumber(bits: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint16(0, bits);
  return view.getFloat32(0);
}

/** ⌊log₂ x⌋ of a normal double, exactly: Math.log2 may round up just below a power of two. */
function floorLog2(x: number): number {
  const k = Math.round(Math.log2(x));
  return 2 ** k <= x ? k : k - 1;
}

/** Nearest integer, ties to even, for 0 ≤ x < 2^52. */
function roundToEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest !== 0.5) return rest > 0.5 ? floor + 1 : floor;
  return floor % 2 === 0 ? floor : floor + 1;
}
