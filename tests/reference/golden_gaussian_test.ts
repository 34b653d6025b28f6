/**
 * The forward process, the posterior and one reverse step against OpenAI's code, run in float64.
 *
 * Inputs go in as they were given there, in double, so the only float32 rounding is that of the
 * result: the bound is ½ulp of the value plus c·M, where M is the sum of the magnitudes of the terms
 * that the equation adds up and c the relative error of its coefficients (`coefficientError`).
 */
import { assertEquals } from "@std/assert";
import { U64 } from "../../src/math/float32.ts";
import type { Tensor } from "../../src/math/tensor.ts";
import { ddimEncodeStep, ddimStep } from "../../src/reference/ddim.ts";
import { ddpmStep } from "../../src/reference/ddpm.ts";
import { qMeanVariance, qSample } from "../../src/reference/forward.ts";
import { priorKl, vlbTerm } from "../../src/reference/likelihood.ts";
import { convert } from "../../src/reference/parameterisation.ts";
import { qPosterior } from "../../src/reference/posterior.ts";
import { pMeanVariance, reverseDoubles, type ReverseOptions } from "../../src/reference/reverse.ts";
import { createSchedule, type Schedule } from "../../src/reference/schedule.ts";
import { noiseLevelAt, type Step, stepAt } from "../../src/reference/step.ts";
import { Bound } from "../support/bound.ts";
import {
  coefficientError,
  type GoldenCase,
  goldenCases,
  goldenDoubles,
  goldenSchedule,
  type GoldenTensor,
  meanModel,
  storedBound,
} from "../support/golden.ts";
import { termError } from "../support/golden_terms.ts";

interface Params {
  readonly schedule: string;
  readonly T: number;
  readonly t: readonly number[];
  readonly mean_type: "epsilon";
  readonly var_type: "fixed_small" | "fixed_large";
  readonly clip_denoised: boolean;
}
type Case = GoldenCase<Params, Readonly<Record<string, GoldenTensor>>>;

const FORMULA = "½ulp32(b) + c(t)·Σ|terms|";

/** Compares a stored tensor with golden values; `magnitude` is Σ|terms| of element i. */
function checkStored(
  bound: Bound,
  golden: Case,
  field: string,
  actual: Tensor,
  error: (i: number) => number,
): void {
  const { data } = golden.expected[field];
  bound.checkAll(actual.data, data, (i) => storedBound(data[i], error(i)), field);
  // A value that was rounded once is at least as near as the source's own float32 arithmetic.
  golden.expected_f32[field].data.forEach((value, i) => {
    // The file has the shortest decimals.
    const theirs = Math.abs(Math.fround(value) - data[i]),
      ours = Math.abs(actual.data[i] - data[i]);
    if (ours > theirs + 2 * error(i)) {
      throw new Error(`Expected ${field}[${i}] within the source's ${theirs} but got ${ours}`);
    }
  });
}

/** Compares values in double, one per sample, with a relative error each. */
function checkDoubles(
  bound: Bound,
  { expected }: Case,
  field: string,
  actual: ArrayLike<number>,
  error: (n: number) => number,
  what = field,
): void {
  bound.checkAll(actual, expected[field].data, error, what);
}

/** The steps of a case's samples, and lookups by the flat index of an element. */
function stepsOf({ params, expected }: Case, schedule: Schedule, field: string) {
  const steps = params.t.map((index) => stepAt(schedule, index + 1));
  const D = expected[field].data.length / steps.length;
  const of = (i: number): Step => steps[Math.floor(i / D)];
  return { steps, D, of, c: (i: number) => coefficientError(schedule, of(i).t) };
}

Deno.test("q_sample, q moments, posterior, predictions and prior are OpenAI's", () => {
  const bound = new Bound(FORMULA);
  for (const golden of goldenCases<Case>("gaussian_q")) {
    const { params, inputs } = golden;
    const schedule = createSchedule(goldenSchedule(params.schedule, params.T));
    const { steps, D, of, c } = stepsOf(golden, schedule, "q_sample");
    const t = steps.map((step) => step.t);
    const x0 = goldenDoubles(inputs.x_start), xt = goldenDoubles(inputs.x_t);
    const noise = goldenDoubles(inputs.noise);
    const signal = (i: number) => Math.sqrt(of(i).alphaBar);
    const sigma = (i: number) => Math.sqrt(of(i).oneMinusAlphaBar);
    const X0 = (i: number) => Math.abs(x0.data[i]), XT = (i: number) => Math.abs(xt.data[i]);
    const E = (i: number) => Math.abs(noise.data[i]);
    const stored = (field: string, actual: Tensor, magnitude: (i: number) => number) =>
      checkStored(bound, golden, field, actual, (i) => c(i) * magnitude(i));

    stored("q_sample", qSample(schedule, t, x0, noise), (i) => signal(i) * X0(i) + sigma(i) * E(i));
    const q = qMeanVariance(schedule, t, x0);
    stored("q_mean", q.mean, (i) => signal(i) * X0(i));
    const posterior = qPosterior(schedule, t, x0, xt);
    stored(
      "posterior_mean",
      posterior.mean,
      (i) => of(i).posteriorCoefX0 * X0(i) + of(i).posteriorCoefXt * XT(i),
    );
    stored(
      "xstart_from_eps",
      convert(schedule, t, xt, "epsilon", "x0", noise),
      (i) => (XT(i) + sigma(i) * E(i)) / signal(i),
    );
    // The source's x_{t−1} is x_start here.
    stored(
      "xstart_from_xprev",
      convert(schedule, t, xt, "previousX", "x0", x0),
      (i) => (X0(i) + of(i).posteriorCoefXt * XT(i)) / of(i).posteriorCoefX0,
    );
    stored(
      "eps_from_xstart",
      convert(schedule, t, xt, "x0", "epsilon", x0),
      (i) => (XT(i) + signal(i) * X0(i)) / sigma(i),
    );

    const e = (n: number) => c(n * D);
    checkDoubles(bound, golden, "q_variance_per_sample", q.variance, (n) => e(n) * q.variance[n]);
    checkDoubles(bound, golden, "q_log_variance_per_sample", q.logVariance, e);
    checkDoubles(
      bound,
      golden,
      "posterior_variance_per_sample",
      posterior.variance,
      (n) => 2 * e(n) * posterior.variance[n],
      // A worst case that adds up some thousand roundings; they come to a few units at t = 501.
      "β̃",
    );
    checkDoubles(
      bound,
      golden,
      "posterior_log_variance_clipped_per_sample",
      posterior.logVarianceClipped,
      // The first sample's is that of t = 2.
      () => 2 * coefficientError(schedule, 2),
      "β̃",
    );
    const last = coefficientError(schedule, params.T);
    // ½(−1 + v − ln v + μ²): three terms that nearly cancel, each rounded, and μ² = ᾱ_T·x_0².
    const prior = priorKl(schedule, x0);
    checkDoubles(
      bound,
      golden,
      "prior_bpd",
      prior,
      (n) => (4 * U64 + last * prior[n]) / Math.LN2,
    );
  }
  bound.settle("golden q");
});

/** Σ|terms| of x̂_0, ε̂ from it, and of a step that ends at another level. */
function magnitudes(step: Step, x: number, output: number, clipped: boolean) {
  const signal = Math.sqrt(step.alphaBar), sigma = Math.sqrt(step.oneMinusAlphaBar);
  const raw = (Math.abs(x) + sigma * Math.abs(output)) / signal;
  const x0 = clipped ? Math.min(raw, 1) : raw;
  return { x0, epsilon: (Math.abs(x) + signal * x0) / sigma };
}

Deno.test("a reverse step, DDIM both ways and the bound's terms are OpenAI's", () => {
  const bound = new Bound(FORMULA);
  for (const golden of goldenCases<Case>("gaussian_p")) {
    const { params, inputs } = golden;
    const schedule = createSchedule(goldenSchedule(params.schedule, params.T));
    const { steps, D, of, c } = stepsOf(golden, schedule, "mean");
    const t = steps.map((step) => step.t);
    const x = goldenDoubles(inputs.x), x0 = goldenDoubles(inputs.x_start);
    const z = goldenDoubles(inputs.noise), output = meanModel(x, params.t);
    const options: Required<ReverseOptions> = {
      prediction: "epsilon",
      variance: params.var_type === "fixed_small" ? "betaTilde" : "beta",
      clip: params.clip_denoised ? { kind: "static", range: 1 } : null,
    };
    const M = (i: number) => magnitudes(of(i), x.data[i], output.data[i], params.clip_denoised);
    const meanM = (i: number) =>
      of(i).posteriorCoefX0 * M(i).x0 + of(i).posteriorCoefXt * Math.abs(x.data[i]);
    const stored = (field: string, actual: Tensor, magnitude: (i: number) => number) =>
      checkStored(bound, golden, field, actual, (i) => 2 * c(i) * magnitude(i));

    const p = pMeanVariance(schedule, t, x, output, options);
    stored("mean", p.mean, meanM);
    stored("pred_xstart", p.x0, (i) => M(i).x0);
    const perSample = ({ data }: Tensor) => steps.map((_, n) => data[n * D]);
    for (
      const [field, values, error] of [
        ["variance_per_sample", perSample(p.variance), (n: number) => p.variance.data[n * D]],
        ["log_variance_per_sample", perSample(p.logVariance), () => 1],
      ] as const
    ) {
      const expected = golden.expected[field].data;
      const off = (n: number) => 4 * Math.max(c(n * D), coefficientError(schedule, 2)) * error(n);
      bound.checkAll(values, expected, (n) => storedBound(expected[n], off(n)), field);
    }
    const noisy = ddpmStep(schedule, t, x, output, z, options);
    const sigma = (i: number) => Math.sqrt(p.variance.data[i]) * Math.abs(z.data[i]);
    stored("p_sample", noisy.x, (i) => meanM(i) + sigma(i));

    const tPrev = t.map((time) => time - 1), tNext = t.map((time) => time + 1);
    for (const eta of [0, 0.5, 1]) {
      const { clip } = options;
      const step = ddimStep(schedule, t, tPrev, x, output, z, { eta, clip });
      stored(`ddim_sample_eta${eta}`, step.x, (i) => {
        // Neither share of the noise exceeds √(1 − ᾱ) at the end of the step.
        const before = noiseLevelAt(schedule, of(i).t - 1), m = M(i);
        const share = Math.sqrt(before.oneMinusAlphaBar);
        return Math.sqrt(before.alphaBar) * m.x0 + share * (m.epsilon + Math.abs(z.data[i]));
      });
    }
    const encoded = ddimEncodeStep(schedule, t, tNext, x, output, { clip: options.clip });
    stored("ddim_reverse_sample", encoded, (i) => {
      const after = noiseLevelAt(schedule, of(i).t + 1);
      return Math.sqrt(after.alphaBar) * M(i).x0 + Math.sqrt(after.oneMinusAlphaBar) * M(i).epsilon;
    });

    const doubles = reverseDoubles(schedule, t, x, output, options);
    const terms = vlbTerm(schedule, t, x0, x, output, options);
    checkDoubles(bound, golden, "vb_terms_bpd", terms, (n) => {
      let error = 0;
      for (let i = n * D; i < (n + 1) * D; i++) {
        error += termError(of(i), x0.data[i], {
          mean: doubles.mean[i],
          dX0: c(i) * Math.sqrt(of(i).oneMinusAlphaBar / of(i).alphaBar) * Math.abs(output.data[i]),
          c: c(i),
          logVariance: doubles.logVariance[i],
          dLogVariance: 4 * coefficientError(schedule, Math.max(of(i).t, 2)),
          trueMean: of(i).posteriorCoefX0 * x0.data[i] + of(i).posteriorCoefXt * x.data[i],
        });
      }
      return error / D / Math.LN2;
    });
  }
  bound.settle("golden p");
});

Deno.test("every field of the golden q and p files is compared", () => {
  const names = (file: string) =>
    goldenCases<Case>(file).map(({ expected }) => Object.keys(expected).length);
  assertEquals(names("gaussian_q"), [11]);
  assertEquals(names("gaussian_p"), [10, 10]);
});
