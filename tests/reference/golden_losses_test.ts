/**
 * Training losses with their gradients, and the whole variational bound, against OpenAI's code run in
 * float64.
 *
 * There x_t stays in double; here it is stored in float32 by `qSample`, off by δ = ½ulp32(x_t). The
 * stand-in network (slope 0.3) then is off by 0.3δ and x̂_0 = (x_t − √(1−ᾱ)·ε̂)/√ᾱ by
 * dX0 = |1 − 0.3√(1−ᾱ)|/√ᾱ·δ, plus the relative error c of the coefficients times the terms. A square
 * e² moves by 2|e|·de + de²; the bound's terms as in tests/support/golden_terms.ts.
 */
import { assertEquals } from "@std/assert";
import { U64, ulp32 } from "../../src/math/float32.ts";
import { type Tensor, tensor } from "../../src/math/tensor.ts";
import { qSample } from "../../src/reference/forward.ts";
import { variationalBound, vlbTerm, vlbTermGradient } from "../../src/reference/likelihood.ts";
import { lossSimple } from "../../src/reference/loss.ts";
import { posteriorMeanOf } from "../../src/reference/posterior.ts";
import { reverseDoubles, type ReverseOptions } from "../../src/reference/reverse.ts";
import { sectionTimesteps } from "../../src/reference/respacing.ts";
import { createSchedule, type Schedule } from "../../src/reference/schedule.ts";
import { type Step, stepAt } from "../../src/reference/step.ts";
import { Bound } from "../support/bound.ts";
import {
  coefficientError,
  type GoldenCase,
  goldenCases,
  goldenDoubles,
  goldenSchedule,
  type GoldenTensor,
  MEAN_MODEL_SLOPE,
  meanModel,
  storedBound,
  wave,
} from "../support/golden.ts";
import { slopeError, termError, type TermMoments } from "../support/golden_terms.ts";

interface Params {
  readonly schedule: string;
  readonly T: number;
  readonly spacing: string | null;
  readonly t: readonly number[];
  readonly loss_type: "mse" | "kl";
  readonly clip_denoised: boolean;
}
type Case = GoldenCase<Params, Readonly<Record<string, GoldenTensor>>>;

/** What x̂_0 and ε̂ from it may be off by at one element, as the head of this file says. */
function predictionErrors(schedule: Schedule, step: Step, xt: number, output: number) {
  const signal = Math.sqrt(step.alphaBar), sigma = Math.sqrt(step.oneMinusAlphaBar);
  const c = coefficientError(schedule, step.t), delta = ulp32(xt) / 2;
  const x0 = Math.abs(1 - MEAN_MODEL_SLOPE * sigma) / signal * delta +
    c * (Math.abs(xt) + sigma * Math.abs(output)) / signal;
  const epsilon = (delta + signal * x0) / sigma + c * (Math.abs(xt) + signal) / sigma;
  return { c, delta, x0, epsilon };
}

/** The moments of every element for the bounds of the terms. */
function momentsAt(
  schedule: Schedule,
  steps: readonly Step[],
  x0: Tensor,
  xt: Tensor,
  output: Tensor,
  options: Required<ReverseOptions>,
): (i: number) => TermMoments {
  const p = reverseDoubles(schedule, steps.map(({ t }) => t), xt, output, options);
  const D = xt.data.length / steps.length;
  return (i) => {
    const step = steps[Math.floor(i / D)];
    const errors = predictionErrors(schedule, step, xt.data[i], output.data[i]);
    return {
      mean: p.mean[i],
      trueMean: posteriorMeanOf(step, x0.data[i], xt.data[i]),
      logVariance: p.logVariance[i],
      dX0: errors.x0,
      c: errors.c,
      dLogVariance: 2 * coefficientError(schedule, schedule.timesteps[1]) + 2 * errors.c,
    };
  };
}

/** Σ over the elements of sample n, divided by their number. */
function meanOver(D: number, n: number, value: (i: number) => number): number {
  let sum = 0;
  for (let i = n * D; i < (n + 1) * D; i++) sum += value(i) / D;
  return sum;
}

Deno.test("L_simple and the bound's terms with their gradients are OpenAI's training losses", () => {
  const bound = new Bound("what storing x_t in float32 moves");
  for (const golden of goldenCases<Case>("gaussian_training_losses")) {
    const { params, inputs, expected } = golden;
    const schedule = createSchedule(goldenSchedule(params.schedule, params.T));
    const steps = params.t.map((index) => stepAt(schedule, index + 1));
    const t = steps.map((step) => step.t), N = t.length;
    const x0 = goldenDoubles(inputs.x_start), noise = goldenDoubles(inputs.noise);
    const xt = qSample(schedule, t, x0, noise), output = meanModel(xt, params.t);
    const D = xt.data.length / N, size = N * D;
    const gradients = expected.grad_model_output_of_mean_loss.data;
    if (params.loss_type === "mse") {
      const dOutput = (i: number) => MEAN_MODEL_SLOPE * ulp32(xt.data[i]) / 2;
      const error = (i: number) => Math.abs(noise.data[i] - output.data[i]);
      const means = t.map((_, n) => {
        const one = (x: Tensor) => ({ shape: [1, D], data: x.data.subarray(n * D, (n + 1) * D) });
        return lossSimple(one(noise), one(output)).mean;
      });
      const off = (n: number) =>
        meanOver(D, n, (i) => dOutput(i) * (2 * error(i) + dOutput(i))) + 4 * U64;
      for (const field of ["mse", "loss"]) {
        bound.checkAll(means, expected[field].data, off, field);
      }
      const { mean, gradient } = lossSimple(noise, output);
      const [first, second] = expected.loss.data;
      bound.check(mean, (first + second) / 2, (off(0) + off(1)) / 2, "loss", "the batch");
      bound.checkAll(
        gradient.data,
        gradients,
        (i) => storedBound(gradients[i], 2 * dOutput(i) / size),
        "gradient of mse",
      );
    } else {
      const options = { prediction: "epsilon", variance: "beta", clip: null } as const;
      const moments = momentsAt(schedule, steps, x0, xt, output, options);
      const stepOf = (i: number) => steps[Math.floor(i / D)];
      bound.checkAll(
        vlbTerm(schedule, t, x0, xt, output, options),
        expected.loss.data,
        (n) => meanOver(D, n, (i) => termError(stepOf(i), x0.data[i], moments(i))) / Math.LN2,
        "kl",
      );
      const gradient = vlbTermGradient(schedule, t, x0, xt, output, options);
      bound.checkAll(
        gradient.data.map((g) => g / N),
        gradients,
        (i) => {
          // ∂μ/∂ε̂ = coefX0·√(1−ᾱ)/√ᾱ.
          const { posteriorCoefX0, oneMinusAlphaBar, alphaBar } = stepOf(i);
          const slope = posteriorCoefX0 * Math.sqrt(oneMinusAlphaBar / alphaBar);
          const off = slope * slopeError(stepOf(i), x0.data[i], moments(i)) / size / Math.LN2;
          return storedBound(gradients[i], off + 2 * moments(i).c * Math.abs(gradients[i]));
        },
        "gradient of kl",
      );
    }
  }
  bound.settle("golden losses");
});

Deno.test("the variational bound and the errors along it are OpenAI's calc_bpd_loop", async () => {
  const bound = new Bound("what storing x_t in float32 moves");
  for (const golden of goldenCases<Case>("gaussian_calc_bpd_loop")) {
    const { params, inputs, expected } = golden;
    const keep = sectionTimesteps(params.T, [Number(params.spacing)]).reverse();
    const schedule = createSchedule({ ...goldenSchedule(params.schedule, params.T), keep });
    const x0 = goldenDoubles(inputs.x_start), N = x0.shape[0], D = x0.data.length / N;
    const noiseAt = (t: number) => wave(keep.indexOf(t), x0.shape);
    const modelAt = (xt: Tensor, t: number) => meanModel(xt, new Array(N).fill(t - 1));
    const options = {
      prediction: "epsilon",
      variance: "beta",
      clip: { kind: "static", range: 1 },
    } as const;
    const found = await variationalBound(schedule, modelAt, x0, noiseAt, options);
    assertEquals(found.timesteps, keep.toReversed());

    const steps = keep.length, totals = new Float64Array(N);
    keep.forEach((t, k) => {
      const step = stepAt(schedule, t), noise = noiseAt(t);
      const xt = qSample(schedule, t, x0, noise), output = modelAt(xt, t);
      const p = reverseDoubles(schedule, t, xt, output, options);
      const moments = momentsAt(
        schedule,
        new Array<Step>(N).fill(step),
        x0,
        xt,
        output,
        options,
      );
      const errors = (i: number) => predictionErrors(schedule, step, xt.data[i], output.data[i]);
      const square = (e: number, de: number) => de * (2 * Math.abs(e) + de);
      for (let n = 0; n < N; n++) {
        const at = (field: string) => expected[field].data[n * steps + k];
        const off = meanOver(D, n, (i) => termError(step, x0.data[i], moments(i))) / Math.LN2;
        totals[n] += off;
        const back = steps - 1 - k;
        bound.check(found.terms[back][n], at("vb"), off, "vb", t);
        bound.check(
          found.x0Mse[back][n],
          at("xstart_mse"),
          meanOver(D, n, (i) => square(p.x0[i] - x0.data[i], errors(i).x0)),
          "xstart_mse",
          t,
        );
        bound.check(
          found.epsilonMse[back][n],
          at("mse"),
          meanOver(D, n, (i) => {
            const signal = Math.sqrt(step.alphaBar), sigma = Math.sqrt(step.oneMinusAlphaBar);
            const epsilonHat = (xt.data[i] - signal * p.x0[i]) / sigma;
            return square(epsilonHat - noise.data[i], errors(i).epsilon);
          }),
          "mse",
          t,
        );
      }
    });
    // ½(−1 + v − ln v + μ²) rounds three terms near 1.
    const prior = expected.prior_bpd.data;
    const c = coefficientError(schedule, keep[steps - 1]);
    bound.checkAll(found.prior, prior, (n) => (4 * U64 + c * prior[n]) / Math.LN2, "prior_bpd");
    bound.checkAll(found.total, expected.total_bpd.data, (n) => totals[n], "total_bpd");
    // The same with x_0 as images are kept, in float32: the levels are the files' own.
    const stored = tensor(x0.shape, Float32Array.from(x0.data));
    const again = await variationalBound(schedule, modelAt, stored, noiseAt, options);
    assertEquals(again.total, found.total);
  }
  bound.settle("golden bound");
});
