/**
 * Bytes of an image to the numbers a model sees, and back.
 *
 * @module
 */
import { unexpected } from "../math/errors.ts";

/** A byte to [−1, 1]: u/127.5 − 1, so 0 ↦ −1 and 255 ↦ 1 (DDPM section 3.3). */
export function scaleByte(u: number): number {
  return u / 127.5 - 1;
}

/**
 * A value of an image to the nearest byte: round(127.5·(x + 1)) after clipping x to [−1, 1]. It
 * rounds where the original code truncates, so that a byte scaled and brought back is itself.
 *
 * @throws {ArgumentError} if `x` is not a number.
 */
export function unscaleByte(x: number): number {
  if (Number.isNaN(x)) unexpected("pixel values that are numbers", x);
  return Math.round(127.5 * (Math.min(1, Math.max(-1, x)) + 1));
}
