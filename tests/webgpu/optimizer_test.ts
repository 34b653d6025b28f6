/**
 * Clipping, Adam, AdamW and the average of the weights: every variant against the reference.
 */
import fc from "fast-check";
import { gamma, U32 } from "../../src/math/float32.ts";
import { tensor } from "../../src/math/tensor.ts";
import { adamStep } from "../../src/reference/adam.ts";
import { emaStep } from "../../src/reference/ema.ts";
import { clipGradNorm } from "../../src/reference/grad_norm.ts";
import {
  clipFactor,
  NORM_PARTS,
  normDepth,
  sumOfSquares,
} from "../../src/webgpu/kernels/grad_norm.ts";
import { adam } from "../../src/webgpu/kernels/optimizer.ts";
import { optimizerStepNumbers } from "../../src/webgpu/kernels/optimizer_step.ts";
import { VARIANTS } from "../../src/webgpu/kernels/layout.ts";
import { positive, real } from "../support/arbitraries.ts";
import { Bound } from "../support/bound.ts";
import { inDouble } from "../support/doubles.ts";
import { seeds } from "../support/layers.ts";
import { forAllAsync } from "../support/property.ts";
import { gpuTest } from "./gpu_test.ts";
import { runLaunches } from "./run_launch.ts";
import { normals } from "./values.ts";
import { DIVISION, FLUSHED, SQRT } from "./wgsl_accuracy.ts";

const counts = fc.oneof(
  fc.integer({ min: 1, max: 3000 }),
  fc.constantFrom(1, 4, 2048, 4096, 70_000),
);

const drawnNorm = fc.record({
  count: counts,
  tensors: fc.integer({ min: 1, max: 3 }),
  size: positive(1e-3, 1e3),
  maxNorm: fc.oneof(fc.constant(null), positive(0.01, 1e3)),
  seed: seeds,
});

/** Any step; only some of its fields matter where the norm alone is tested. */
const STEP = {
  step: 3,
  lr: 2e-4,
  beta1: 0.9,
  beta2: 0.999,
  eps: 1e-8,
  weightDecay: 0,
  decoupled: true,
  maxNorm: null,
  emaDecay: 0.9999,
};

for (const variant of VARIANTS) {
  gpuTest(`the clip factor (${variant}) is the reference's`, async () => {
    const bound = new Bound("½·γ_{d+1} + sqrt and division");
    await forAllAsync(drawnNorm, 12, async ({ count, tensors, size, maxNorm, seed }) => {
      const names = ["a", "b", "c"].slice(0, tensors);
      const grads = names.map((_, k) => normals(count, seed + k).map((z) => size * z));
      const launches = [
        ...names.map((name, k) =>
          sumOfSquares(variant, count, { grads: name, parts: "parts" }, k * NORM_PARTS)
        ),
        clipFactor(tensors, { parts: "parts", step: "step", norm: "norm" }),
      ];
      const results = await runLaunches<string>(launches, {
        ...Object.fromEntries(names.map((name, k) => [name, grads[k]])),
        parts: tensors * NORM_PARTS,
        step: optimizerStepNumbers({ ...STEP, maxNorm }),
        norm: 2,
      });
      const double = grads.map((g) => inDouble(tensor([count], g)));
      const clipped = clipGradNorm(double, maxNorm ?? 1e30);
      const { norm } = clipped, factor = Math.min(1, (maxNorm ?? 1e30) / (norm + 1e-6));
      const sumError = gamma(normDepth(variant, count, tensors) + 1);
      const normError = sumError / 2 / (1 - sumError) + SQRT * (1 + sumError);
      bound.check(results.norm[0], norm, norm * normError, "norm");
      // maxNorm and 1e−6 are rounded, their sum and the quotient too.
      const factorError = normError * (1 + normError) + gamma(3) + DIVISION * (1 + normError);
      bound.check(results.norm[1], factor, factor * factorError, "factor");
    });
    bound.settle(`clip factor ${variant}`);
  });
}

const drawnStep = fc.record({
  count: counts,
  step: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.constant(100_000)),
  lr: positive(1e-5, 1e-2),
  beta1: fc.constantFrom(0.9, 0.5, 0),
  beta2: fc.constantFrom(0.999, 0.99, 0.95),
  eps: fc.constantFrom(1e-8, 1e-4),
  weightDecay: fc.oneof(fc.constant(0), positive(1e-4, 0.1)),
  decoupled: fc.boolean(),
  clip: fc.oneof(fc.constant(1), real(0.01, 1)).map(Math.fround),
  emaDecay: fc.constantFrom(0.9999, 0.99, 0),
  averaged: fc.boolean(),
  gradients: positive(1e-6, 10),
  seed: seeds,
});

/**
 * Bounds of m, v, θ and the average for one element, following the kernel with exact values in capitals.
 * Constants from the host are rounded once; every operation once.
 */
function bounds(
  drawn: {
    readonly step: number;
    readonly lr: number;
    readonly beta1: number;
    readonly beta2: number;
    readonly eps: number;
    readonly weightDecay: number;
    readonly decoupled: boolean;
    readonly clip: number;
    readonly emaDecay: number;
  },
  before: {
    readonly theta: number;
    readonly grad: number;
    readonly m: number;
    readonly v: number;
    readonly average: number;
  },
  after: {
    readonly m: number;
    readonly v: number;
    readonly theta: number;
    readonly average: number;
  },
) {
  const { step, lr, beta1, beta2, eps, weightDecay, decoupled, clip, emaDecay } = drawn;
  const { abs } = Math;
  const coupled = decoupled ? 0 : weightDecay, decay = decoupled ? lr * weightDecay : 0;
  // g = clip·grad + λθ: λ, two products, one sum.
  const G = clip * before.grad + coupled * before.theta;
  const gError = gamma(3) * (abs(clip * before.grad) + abs(coupled * before.theta));
  // m + share·(g − m): the share, the difference and the product; the sum.
  const share1 = 1 - beta1, share2 = 1 - beta2;
  const m = share1 * (1 + gamma(3)) * gError + gamma(3) * share1 * (abs(G) + abs(before.m)) +
    U32 * abs(after.m) * (1 + gamma(4)) + FLUSHED;
  const mError = m + U32 * m;
  // v + share·(g² − v): the share, the square, the difference and the product; the sum.
  const squareError = 2 * abs(G) * gError + gError ** 2;
  const v = share2 * (1 + gamma(4)) * squareError +
    gamma(4) * share2 * (G * G + before.v) + U32 * abs(after.v) * (1 + gamma(4)) + FLUSHED;
  const vError = v + U32 * v;
  // √v·correction + ε: at v = 0 the root's error is the root of v's.
  const root = Math.sqrt(after.v), correction = 1 / Math.sqrt(1 - beta2 ** step);
  const rootError = Math.min(vError / Math.max(root, Number.MIN_VALUE), Math.sqrt(vError)) +
    SQRT * (root + Math.sqrt(vError));
  const denominator = root * correction + eps;
  const denominatorError = correction * rootError +
    gamma(4) * (denominator + correction * rootError);
  // stepSize·m/denominator: the step size, the product, the division.
  const stepSize = lr / (1 - beta1 ** step), change = stepSize * abs(after.m) / denominator;
  const least = denominator - denominatorError;
  const largest = stepSize * (abs(after.m) + mError) * (1 + gamma(2)) * (1 + DIVISION) / least;
  const smallest = stepSize * Math.max(0, abs(after.m) - mError) * (1 - gamma(2)) *
    (1 - DIVISION) / (denominator + denominatorError);
  const changeError = Math.max(
    largest - change,
    change - smallest,
    abs(after.m) <= mError ? largest + change : 0,
  );
  // θ − (decay·θ + change): decay, its product and the sum; the difference.
  const moved = abs(decay * before.theta) + largest;
  const theta = changeError + gamma(3) * moved +
    U32 * (abs(after.theta) + changeError + gamma(3) * moved);
  // average + share·(θ − average), as for m.
  const emaShare = 1 - emaDecay;
  const average = emaShare * (1 + gamma(3)) * theta +
    gamma(3) * emaShare * (abs(after.theta) + abs(before.average)) +
    U32 * abs(after.average) * (1 + gamma(4)) + FLUSHED;
  return { m: mError, v: vError, theta, average: average * (1 + U32) };
}

for (const variant of VARIANTS) {
  gpuTest(`a step of Adam (${variant}) is the reference's`, async () => {
    const bound = new Bound("each operation's rounding, carried through the step");
    await forAllAsync(drawnStep, 15, async (drawn) => {
      const { count, step, clip, emaDecay, averaged, gradients, seed } = drawn;
      const params = normals(count, seed), ema = normals(count, seed + 1);
      const grads = normals(count, seed + 2).map((z) => gradients * z);
      // Before the first step both moments are zero.
      const moment = (k: number) =>
        normals(count, seed + k).map((z) => step === 1 ? 0 : gradients * z);
      const m = moment(3), v = moment(4).map((z) => z * z);
      const results = await runLaunches<string>(
        [adam(variant, count, {
          params: "params",
          grads: "grads",
          m: "m",
          v: "v",
          ema: averaged ? "ema" : null,
          step: "step",
          norm: "norm",
        })],
        {
          params,
          grads,
          m,
          v,
          ema,
          step: optimizerStepNumbers({ ...drawn, maxNorm: null }),
          norm: Float32Array.of(NaN, clip),
        },
      );
      const double = (values: ArrayLike<number>) =>
        inDouble({ shape: [count], data: values as Float32Array });
      const clipped = double(Float64Array.from(grads, (g) => clip * g));
      const state = { params: double(params), m: double(m), v: double(v) };
      const next = adamStep(state, clipped, step, drawn);
      const average = emaStep(double(ema), next.params, emaDecay);
      const errors = Array.from({ length: count }, (_, i) =>
        bounds(
          drawn,
          { theta: params[i], grad: grads[i], m: m[i], v: v[i], average: ema[i] },
          {
            m: next.m.data[i],
            v: next.v.data[i],
            theta: next.params.data[i],
            average: average.data[i],
          },
        ));
      bound.checkAll(results.m, next.m.data, (i) => errors[i].m, "m");
      bound.checkAll(results.v, next.v.data, (i) => errors[i].v, "v");
      bound.checkAll(results.params, next.params.data, (i) => errors[i].theta, "theta");
      if (averaged) bound.checkAll(results.ema, average.data, (i) => errors[i].average, "ema");
      else bound.checkAll(results.ema, ema, () => 0, "ema left alone");
    });
    bound.settle(`adam ${variant}`);
  });
}
