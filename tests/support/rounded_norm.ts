/**
 * Group norm in double with the rounding errors of the float32 kernel.
 *
 * @module
 */
import type { Tensor } from "../../src/math/tensor.ts";
import type { GroupNormOptions } from "../../src/reference/nn/mod.ts";
import { zerosLike } from "../../src/reference/nn/zeros_like.ts";
import { INVERSE_SQRT } from "../webgpu/wgsl_accuracy.ts";
import type { RandomRounding } from "./random_rounding.ts";

/** Mean and 1/√(variance + ε) of every group of every sample. */
export interface RoundedStats {
  readonly mean: Float64Array;
  readonly rstd: Float64Array;
}

/** Sizes of x `[N, C, …]` in groups. */
function sizesOf(x: Tensor, groups: number) {
  const [N, C] = x.shape;
  const P = x.data.length / (N * C), channels = C / groups;
  return { N, C, P, channels, size: channels * P };
}

/** Sums of a range of values: Σf and Σf². */
function sums(from: number, to: number, f: (i: number) => number): [S: number, Q: number] {
  let S = 0, Q = 0;
  for (let i = from; i < to; i++) {
    const term = f(i);
    S += term;
    Q += term * term;
  }
  return [S, Q];
}

/** Two sums over a group, each then multiplied by a rounded 1/size. */
function roundedStats(
  rounding: RandomRounding,
  x: Tensor,
  { groups, eps }: GroupNormOptions,
): RoundedStats {
  const { N, size } = sizesOf(x, groups);
  const mean = new Float64Array(N * groups), rstd = new Float64Array(N * groups);
  for (let k = 0; k < N * groups; k++) {
    const [S, Q] = sums(k * size, (k + 1) * size, (i) => x.data[i]);
    mean[k] = rounding.rounded(rounding.sum(size, S, Q, 0) / size, 2);
    // A square has twice the rounding of x − mean, and its own.
    const [S2, Q2] = sums(k * size, (k + 1) * size, (i) => (x.data[i] - mean[k]) ** 2);
    const variance = rounding.rounded(rounding.sum(size, S2, Q2, 3) / size, 2);
    rstd[k] = rounding.builtin(1 / Math.sqrt(rounding.rounded(variance + eps)), INVERSE_SQRT);
  }
  return { mean, rstd };
}

/** y = (x − mean)·(weight·rstd) + bias. */
export function roundedGroupNorm(
  rounding: RandomRounding,
  x: Tensor,
  weight: Tensor,
  bias: Tensor,
  options: GroupNormOptions,
): { readonly y: Tensor; readonly stats: RoundedStats } {
  const { N, C, P, channels } = sizesOf(x, options.groups);
  const stats = roundedStats(rounding, x, options);
  const y = zerosLike(x);
  for (let nc = 0; nc < N * C; nc++) {
    const group = Math.floor(nc / channels), c = nc % C;
    const factor = rounding.rounded(weight.data[c] * stats.rstd[group]);
    for (let i = nc * P; i < (nc + 1) * P; i++) {
      const product = rounding.rounded((x.data[i] - stats.mean[group]) * factor, 2);
      y.data[i] = rounding.rounded(product + bias.data[c]);
    }
  }
  return { y, stats };
}

/** Gradients from sums per channel: dX = (w·dY − mean(w·dY) − x̂·mean(w·dY·x̂))·rstd. */
export function roundedGroupNormBackward(
  rounding: RandomRounding,
  dY: Tensor,
  x: Tensor,
  weight: Tensor,
  { mean, rstd }: RoundedStats,
  { groups }: GroupNormOptions,
): { readonly dX: Tensor; readonly dWeight: Tensor; readonly dBias: Tensor } {
  const { N, C, P, channels, size } = sizesOf(x, groups);
  const dX = zerosLike(x), dWeight = zerosLike(weight), dBias = zerosLike(weight);
  const ofG = new Float64Array(N * C), ofGX = new Float64Array(N * C);
  for (let nc = 0; nc < N * C; nc++) {
    const k = Math.floor(nc / channels), c = nc % C;
    const xHat = (i: number): number => (x.data[i] - mean[k]) * rstd[k];
    const [S, Q] = sums(nc * P, (nc + 1) * P, (i) => dY.data[i]);
    const [SX, QX] = sums(nc * P, (nc + 1) * P, (i) => dY.data[i] * xHat(i));
    ofG[nc] = rounding.sum(P, S, Q, 0);
    ofGX[nc] = rounding.sum(P, SX, QX, 3);
    dBias.data[c] += rounding.rounded(ofG[nc]);
    dWeight.data[c] += rounding.rounded(ofGX[nc]);
  }
  for (let k = 0; k < N * groups; k++) {
    const first = k * channels;
    const w = (nc: number): number => weight.data[nc % C];
    const meanOf = (of: Float64Array): number => {
      const [S, Q] = sums(first, first + channels, (nc) => w(nc) * of[nc]);
      return rounding.rounded(rounding.sum(channels, S, Q) / size, 2);
    };
    const meanG = meanOf(ofG), meanGX = meanOf(ofGX);
    for (let nc = first; nc < first + channels; nc++) {
      for (let i = nc * P; i < (nc + 1) * P; i++) {
        const xHat = rounding.rounded((x.data[i] - mean[k]) * rstd[k], 2);
        const centred = rounding.rounded(rounding.rounded(w(nc) * dY.data[i]) - meanG);
        const difference = rounding.rounded(centred - rounding.rounded(xHat * meanGX));
        dX.data[i] = rounding.rounded(difference * rstd[k]);
      }
    }
  }
  return { dX, dWeight, dBias };
}
