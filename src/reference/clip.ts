/**
 * Keeping x̂_0 in the range of the data.
 *
 * @module
 */
import { checkFinite, unexpected } from "../math/errors.ts";

/** How x̂_0 is clipped before it is used: not at all, to a fixed range, or by a quantile of |x̂_0|. */
export type Clip =
  | null
  | { readonly kind: "static"; readonly range: number }
  | { readonly kind: "dynamic"; readonly quantile: number; readonly max: number };

/** The clipping of the DDPM sampler: x̂_0 to [−1, 1]. */
export const CLIP_TO_DATA: Clip = { kind: "static", range: 1 };

/** Checks a clip rule. @throws {ArgumentError} for an unknown kind or a number out of range. */
export function checkClip(clip: Clip): void {
  if (clip === null) return;
  if (clip?.kind === "static") {
    if (!(checkFinite("clip range", clip.range) > 0)) unexpected("clip range above 0", clip.range);
  } else if (clip?.kind === "dynamic") {
    const quantile = checkFinite("clip quantile", clip.quantile);
    if (quantile < 0 || quantile > 1) unexpected("clip quantile in [0, 1]", quantile);
    if (checkFinite("clip max", clip.max) < 1) unexpected("clip max of at least 1", clip.max);
  } else unexpected("clip to be null, static or dynamic", (clip as { kind?: unknown })?.kind);
}

/** x limited to [−range, range]. */
export function clamp(x: number, range: number): number {
  return Math.min(Math.max(x, -range), range);
}

/** The q-quantile of values, linear between the order statistics around position q·(n − 1). */
export function quantile(values: Float64Array, q: number): number {
  const sorted = values.slice().sort();
  const position = q * (sorted.length - 1);
  const below = Math.floor(position);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (position - below) * (sorted[above] - sorted[below]);
}

/**
 * x̂_0 of one sample, clipped: static, x clamped to ±range (Ho et al. 2020, code); dynamic, x clamped
 * to ±s and divided by s, s the quantile of |x| limited to [1, max] (Saharia et al. 2022, section
 * 2.3).
 *
 * @param x0 the sample's elements in double; not changed.
 */
export function clipX0(x0: Float64Array, clip: Clip): Float64Array {
  if (clip === null || x0.length === 0) return x0;
  if (clip.kind === "static") return x0.map((x) => clamp(x, clip.range));
  const s = Math.min(Math.max(quantile(x0.map(Math.abs), clip.quantile), 1), clip.max);
  return x0.map((x) => clamp(x, s) / s);
}
