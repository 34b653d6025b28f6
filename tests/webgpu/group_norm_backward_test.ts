/**
 * Gradients of group norm with scale, shift and SiLU: every variant against the reference, over drawn
 * sizes, places and options.
 */
import fc from "fast-check";
import { gamma, U32 } from "../../src/math/float32.ts";
import { logistic } from "../../src/math/special.ts";
import { type Tensor, tensor } from "../../src/math/tensor.ts";
import * as nn from "../../src/reference/nn/mod.ts";
import { groupNorm } from "../../src/webgpu/kernels/group_norm.ts";
import { CHANNEL_LANES, groupNormBackward } from "../../src/webgpu/kernels/group_norm_backward.ts";
import { type Variant, VARIANTS, viewsWidth, type Width } from "../../src/webgpu/kernels/layout.ts";
import { Bound } from "../support/bound.ts";
import { inDouble } from "../support/doubles.ts";
import { forAllAsync } from "../support/property.ts";
import {
  analyse,
  type Arrays,
  arraysOf,
  type Drawn,
  drawnGroupNorm,
  groupDepth,
} from "./group_norm_cases.ts";
import { gpuTest } from "./gpu_test.ts";
import { Placed, placements } from "./placement.ts";
import { runLaunches } from "./run_launch.ts";
import { normals } from "./values.ts";
import { FLUSHED, siluSlopeBound } from "./wgsl_accuracy.ts";

interface DrawnBackward {
  readonly norm: Drawn;
  readonly places: Readonly<Record<"dY" | "dX" | "dE", { offset: number; gap: number }>>;
  readonly inPlace: boolean;
  readonly accumulateX: boolean;
  readonly accumulateParameters: boolean;
}

const drawnBackward: fc.Arbitrary<DrawnBackward> = fc.record({
  norm: drawnGroupNorm,
  places: fc.record({ dY: placements, dX: placements, dE: placements }),
  inPlace: fc.boolean(),
  accumulateX: fc.boolean(),
  accumulateParameters: fc.boolean(),
});

/** Gradients by name, in double. */
type Gradients = Readonly<Record<"dX" | "dWeight" | "dBias" | "dE", Float64Array>>;

/** The reference's gradients in double. */
function reference(drawn: Drawn, arrays: Arrays, dYValues: Float32Array): Gradients {
  const { N, groups, channels, P, eps, silu } = drawn;
  const C = groups * channels;
  const double = (shape: number[], data: Float32Array) => inDouble(tensor(shape, data));
  const x = double([N, C, P, 1], arrays.x), options = { groups, eps };
  const weight = double([C], arrays.weight), bias = double([C], arrays.bias);
  const e = arrays.e && double([N, 2 * C], arrays.e);
  const normed = nn.groupNorm(x, weight, bias, options);
  const v = e === null ? normed : nn.scaleShift(normed, e);
  let dV: Tensor = double([N, C, P, 1], dYValues);
  if (silu) dV = nn.siluBackward(dV, v);
  const { dX: dNormed, dE } = e === null
    ? { dX: dV, dE: tensor([0]) }
    : nn.scaleShiftBackward(dV, normed, e);
  const { dX, dWeight, dBias } = nn.groupNormBackward(dNormed, x, weight, options);
  const data = (t: Tensor) => t.data as unknown as Float64Array;
  return { dX: data(dX), dWeight: data(dWeight), dBias: data(dBias), dE: data(dE) };
}

/** Additions that one value goes through in the sum over a channel. */
function channelDepth(variant: Variant, width: Width, P: number): number {
  const vector = width === 4 ? 2 : 0;
  return variant === "workgroup"
    ? Math.ceil(P / width / CHANNEL_LANES) + vector + Math.log2(CHANNEL_LANES)
    : P / width + vector;
}

/**
 * Bounds, term by term. dV = dY·slope(v) has the slope's error at a v that is off, and a rounding. A channel's
 * sum has the errors of its terms and γ_d of them; dV·x̂ has both factors' errors and a rounding. The
 * group's means add channels + 5 roundings (factor 1 + scale, weight, product; inverse size, product).
 * In dX = (w·dV − meanG − x̂·meanGX)·rstd each term has its factors' errors, γ_3 for w and its product,
 * then 2 subtractions; rstd has its own error and the product one.
 */
function bounds(
  drawn: Drawn,
  arrays: Arrays,
  dY: Float32Array,
  depths: { readonly group: number; readonly channel: number },
): Gradients {
  const { N, groups, channels, P, silu } = drawn;
  const C = groups * channels, size = channels * P;
  const { xHat, xHatError, v, vError, rstd, rstdError } = analyse(drawn, arrays, depths.group);
  const sums = new Float64Array(N * C), sumErrors = new Float64Array(N * C);
  const sumsX = new Float64Array(N * C), sumXErrors = new Float64Array(N * C);
  const dV = new Float64Array(N * C * P), dVError = new Float64Array(N * C * P);
  for (let i = 0; i < dV.length; i++) {
    const s = logistic(v[i]);
    const slope = silu ? s * (1 + v[i] * (1 - s)) : 1;
    const slopeError = silu ? siluSlopeBound(v[i], vError[i]) : 0;
    dV[i] = dY[i] * slope;
    dVError[i] = silu
      ? Math.abs(dY[i]) * (slopeError + U32 * (Math.abs(slope) + slopeError)) + FLUSHED
      : 0;
  }
  for (let k = 0; k < N * C; k++) {
    let magnitude = 0, magnitudeX = 0;
    for (let i = k * P; i < (k + 1) * P; i++) {
      const most = Math.abs(dV[i]) + dVError[i];
      const mostX = most * (Math.abs(xHat[i]) + xHatError[i]) * (1 + U32);
      sums[k] += dV[i];
      sumsX[k] += dV[i] * xHat[i];
      sumErrors[k] += dVError[i];
      sumXErrors[k] += mostX - Math.abs(dV[i] * xHat[i]);
      magnitude += most;
      magnitudeX += mostX;
    }
    sumErrors[k] += gamma(depths.channel) * magnitude;
    sumXErrors[k] += gamma(depths.channel) * magnitudeX;
  }
  const factor = (n: number, c: number) => 1 + (arrays.e?.[n * 2 * C + c] ?? 0);

  const dX = new Float64Array(N * C * P);
  for (let group = 0; group < N * groups; group++) {
    const n = Math.floor(group / groups), first = group % groups * channels;
    const mean = (values: Float64Array, errors: Float64Array) => {
      let exact = 0, error = 0;
      for (let c = first; c < first + channels; c++) {
        const w = arrays.weight[c] * factor(n, c), k = n * C + c;
        const rounding = gamma(channels + 5) * Math.abs(w) * (Math.abs(values[k]) + errors[k]);
        exact += w * values[k] / size;
        error += (Math.abs(w) * errors[k] + rounding) / size;
      }
      return { exact, error };
    };
    const G = mean(sums, sumErrors), GX = mean(sumsX, sumXErrors);
    for (let i = group * size; i < (group + 1) * size; i++) {
      const c = Math.floor(i / P) % C, w = Math.abs(arrays.weight[c] * factor(n, c));
      const mostX = Math.abs(xHat[i]) + xHatError[i];
      const most = w * (Math.abs(dV[i]) + dVError[i]) + Math.abs(G.exact) + G.error +
        mostX * (Math.abs(GX.exact) + GX.error);
      const inner = w * dVError[i] + G.error + mostX * GX.error +
        xHatError[i] * Math.abs(GX.exact) + gamma(5) * most;
      dX[i] = rstd[group] * ((1 + rstdError[group]) * inner + (rstdError[group] + 2 * U32) * most) +
        FLUSHED;
    }
  }

  const dWeight = new Float64Array(C), dBias = new Float64Array(C);
  const dE = new Float64Array(arrays.e?.length ?? 0);
  for (let k = 0; k < N * C; k++) {
    const n = Math.floor(k / C), c = k % C, f = Math.abs(factor(n, c));
    const most = Math.abs(sums[k]) + sumErrors[k], mostX = Math.abs(sumsX[k]) + sumXErrors[k];
    dBias[c] += f * (sumErrors[k] + gamma(N + 2) * most);
    dWeight[c] += f * (sumXErrors[k] + gamma(N + 2) * mostX);
    if (arrays.e === null) continue;
    const w = Math.abs(arrays.weight[c]), b = Math.abs(arrays.bias[c]);
    dE[n * 2 * C + c] = w * sumXErrors[k] + b * sumErrors[k] + gamma(2) * (w * mostX + b * most);
    dE[n * 2 * C + C + c] = sumErrors[k];
  }
  return { dX, dWeight, dBias, dE };
}

for (const variant of VARIANTS) {
  gpuTest(`group norm's gradients (${variant}) are the reference's`, async () => {
    const bound = new Bound("errors of dV, x̂ and their sums, carried through");
    await forAllAsync(drawnBackward, 20, async ({ norm, places, inPlace, ...options }) => {
      const { N, groups, channels, P, eps, silu } = norm;
      const C = groups * channels;
      const sizes = { N, C, P, groups };
      const { accumulateParameters } = options;
      const accumulateX = options.accumulateX && !inPlace;
      const arrays = arraysOf(norm);
      const dYValues = normals(N * C * P, norm.seed + 4), old = normals(N * C * P, norm.seed + 5);
      const oldWeight = normals(C, norm.seed + 6), oldBias = normals(C, norm.seed + 7);

      const x = new Placed("x", N, C * P, norm.places.x);
      const y = new Placed("y", N, C * P, norm.places.y);
      const e = arrays.e && new Placed("e", N, 2 * C, norm.places.e);
      const dE = arrays.e && new Placed("dE", N, 2 * C, places.dE);
      const dY = new Placed("dY", N, C * P, places.dY);
      const apart = new Placed("dX", N, C * P, places.dX), dX = inPlace ? dY : apart;
      const inputs = { x: x.view, weight: "weight", bias: "bias", scaleShift: e && e.view };
      const launches = [
        ...groupNorm(variant, sizes, { eps, silu }, { ...inputs, y: y.view, stats: "stats" }),
        ...groupNormBackward(variant, sizes, { silu, accumulateX, accumulateParameters }, {
          ...inputs,
          dY: dY.view,
          stats: "stats",
          sums: "sums",
          dX: dX.view,
          dWeight: "dWeight",
          dBias: "dBias",
          dScaleShift: dE && dE.view,
        }),
      ];
      const results = await runLaunches<string>(launches, {
        x: x.holding(arrays.x),
        weight: arrays.weight,
        bias: arrays.bias,
        ...(e && { e: e.holding(arrays.e!) }),
        y: y.size,
        stats: 2 * N * groups,
        sums: 2 * N * C,
        dY: dY.holding(dYValues),
        dX: accumulateX ? apart.holding(old) : apart.size,
        dWeight: accumulateParameters ? oldWeight : C,
        dBias: accumulateParameters ? oldBias : C,
        ...(dE && { dE: dE.size }),
      });

      const width = viewsWidth(variant, P, [x.view, y.view]);
      const sumsWidth = viewsWidth(variant, P, [x.view, dY.view]);
      const exact = reference(norm, arrays, dYValues);
      const error = bounds(norm, arrays, dYValues, {
        group: groupDepth(variant, width, norm),
        channel: channelDepth(variant, sumsWidth, P),
      });
      const check = (name: keyof Gradients, found: Float32Array, before: Float32Array | null) =>
        bound.checkAll(
          found,
          exact[name].map((v, i) => v + (before?.[i] ?? 0)),
          (i) =>
            // Adding to what was there is one rounding more.
            error[name][i] +
            (before === null ? 0 : U32 * (Math.abs(exact[name][i] + before[i]) + error[name][i]) +
              gamma(N) * Math.abs(before[i])),
          name,
        );
      check("dX", dX.taken(results[dX.name]), accumulateX ? old : null);
      check("dWeight", results.dWeight, accumulateParameters ? oldWeight : null);
      check("dBias", results.dBias, accumulateParameters ? oldBias : null);
      if (dE) check("dE", dE.taken(results.dE), null);
    });
    bound.settle(`group norm gradients ${variant}`);
  });
}
