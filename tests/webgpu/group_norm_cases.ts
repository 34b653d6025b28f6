/**
 * What the tests of group norm draw, and how far float32 may take its intermediate values from exact.
 */
import fc from "fast-check";
import { gamma, U32 } from "../../src/math/float32.ts";
import { lanesAlong, type Variant, type Width } from "../../src/webgpu/kernels/layout.ts";
import { GROUP_LANES } from "../../src/webgpu/kernels/group_norm.ts";
import { positive, real } from "../support/arbitraries.ts";
import { seeds } from "../support/layers.ts";
import { type Placement, placements } from "./placement.ts";
import { normals } from "./values.ts";
import { INVERSE_SQRT } from "./wgsl_accuracy.ts";

/** A group norm to compute. */
export interface Drawn {
  readonly N: number;
  readonly groups: number;
  readonly channels: number;
  readonly P: number;
  readonly eps: number;
  readonly silu: boolean;
  readonly scaleShift: boolean;
  readonly places: { readonly x: Placement; readonly y: Placement; readonly e: Placement };
  readonly mean: number;
  readonly deviation: number;
  readonly seed: number;
}

/** Sizes from one pixel and one channel on; means up to a hundred deviations. */
export const drawnGroupNorm: fc.Arbitrary<Drawn> = fc.record({
  N: fc.integer({ min: 1, max: 5 }),
  groups: fc.oneof(
    { arbitrary: fc.integer({ min: 1, max: 4 }), weight: 6 },
    { arbitrary: fc.constant(32), weight: 1 },
  ),
  channels: fc.integer({ min: 1, max: 6 }),
  P: fc.oneof(fc.integer({ min: 1, max: 90 }), fc.constantFrom(1, 4, 16, 64, 256)),
  eps: fc.constantFrom(1e-6, 1e-5).map(Math.fround),
  silu: fc.boolean(),
  scaleShift: fc.boolean(),
  places: fc.record({ x: placements, y: placements, e: placements }),
  mean: fc.oneof(fc.constant(0), real(-100, 100)),
  deviation: positive(0.1, 10),
  seed: seeds,
});

/** The arrays of a drawn group norm. */
export interface Arrays {
  readonly x: Float32Array;
  readonly weight: Float32Array;
  readonly bias: Float32Array;
  /** `[N, 2C]` or null. */
  readonly e: Float32Array | null;
}

/** Draws the arrays. */
export function arraysOf(drawn: Drawn): Arrays {
  const { N, groups, channels, P, seed, mean, deviation, scaleShift } = drawn;
  const C = groups * channels;
  return {
    x: normals(N * C * P, seed).map((z) => mean + deviation * z),
    weight: normals(C, seed + 1).map((z) => 1 + z / 2),
    bias: normals(C, seed + 2),
    e: scaleShift ? normals(N * 2 * C, seed + 3).map((z) => z / 2) : null,
  };
}

/** Additions that one value goes through in the sum over a group. */
export function groupDepth(variant: Variant, width: Width, { channels, P }: Drawn): number {
  if (variant === "naive") return channels * P;
  const lanes = GROUP_LANES[variant], along = lanesAlong(P / width, lanes);
  const perLane = Math.ceil(channels / (lanes / along)) * Math.ceil(P / width / along);
  return perLane + (width === 4 ? 2 : 0) + Math.log2(lanes);
}

/** Exact intermediate values per element, in double, and bounds of the float32 ones' errors. */
export interface Analysis {
  readonly xHat: Float64Array;
  readonly xHatError: Float64Array;
  /** The value that SiLU gets. */
  readonly v: Float64Array;
  readonly vError: Float64Array;
  /** Per group of a sample: 1/√(variance + ε) and its relative error. */
  readonly rstd: Float64Array;
  readonly rstdError: Float64Array;
}

/**
 * The computed mean is off by δ ≤ γ_{d+2}·mean|x| (d additions; the factor 1/size is rounded, and its
 * product). The squares around it sum to size·(variance + δ²), each with 3 roundings, then d additions,
 * then the factor's 2 and that of adding ε, itself rounded: relative error η = δ²/(variance + ε) + γ_{d+7}. Raised to −½ it
 * is at most η/2·(1 − η)^−3/2, and inverseSqrt adds its own.
 *
 * x̂ = (x − mean)·rstd is off by δ·rstd and, relatively, by rstd's error and 2 roundings. In v = w·x̂ + b the
 * factor w = weight·(1 + scale) has 2 roundings and b = bias·(1 + scale) + shift up to 3, products and
 * sum with x̂ 2 more: γ_6 covers each term.
 */
export function analyse(drawn: Drawn, { x, weight, bias, e }: Arrays, depth: number): Analysis {
  const { N, groups, channels, P, eps } = drawn;
  const C = groups * channels, size = channels * P;
  const [xHat, xHatError, v, vError] = [0, 0, 0, 0].map(() => new Float64Array(N * C * P));
  const rstds = new Float64Array(N * groups), rstdErrors = new Float64Array(N * groups);
  for (let group = 0; group < N * groups; group++) {
    const part = Float64Array.from(x.subarray(group * size, (group + 1) * size));
    const mean = part.reduce((a, b) => a + b, 0) / size;
    const variance = part.reduce((a, b) => a + (b - mean) ** 2, 0) / size;
    const delta = gamma(depth + 2) * part.reduce((a, b) => a + Math.abs(b), 0) / size;
    const eta = delta ** 2 / (variance + eps) + gamma(depth + 7);
    const rstd = 1 / Math.sqrt(variance + eps);
    const rstdError = eta / 2 * (1 - eta) ** -1.5 + INVERSE_SQRT * (1 + eta);
    rstds[group] = rstd;
    rstdErrors[group] = rstdError;
    for (let i = 0; i < size; i++) {
      const at = group * size + i, c = Math.floor(at / P) % C, n = Math.floor(at / (C * P));
      const factor = 1 + (e?.[n * 2 * C + c] ?? 0), shift = e?.[n * 2 * C + C + c] ?? 0;
      const w = weight[c] * factor, d = part[i] - mean;
      xHat[at] = d * rstd;
      xHatError[at] = (1 + rstdError) * (1 + gamma(2)) * delta * rstd +
        Math.abs(d) * rstd * ((1 + rstdError) * (1 + gamma(2)) - 1);
      v[at] = w * xHat[at] + bias[c] * factor + shift;
      vError[at] = (1 + gamma(6)) * Math.abs(w) * xHatError[at] +
        gamma(6) * (Math.abs(w * xHat[at]) + Math.abs(bias[c] * factor) + Math.abs(shift)) +
        U32 * eps;
    }
  }
  return { xHat, xHatError, v, vError, rstd: rstds, rstdError: rstdErrors };
}
