/**
 * The loop of diffusers' DPMSolverMultistepScheduler (DPM-Solver++, order 2, midpoint), in float64.
 *
 * With x̂_0's slope g = (1 − 0.3√(1−ᾱ))/√ᾱ in x_t, a step x_prev = r·x_t + w_0·m_0 + w_1·m_1 turns the
 * error e of x_t, and that of the last prediction, into
 * e_prev = |r + w_0·g|·e + |w_1|·(e_1 + ½ulp32(m_1)) + c·Σ|terms| + ½ulp32(x_prev), because m_1 is stored:
 * e_1 = g_1·e before the last step. A gap h of λ is off by the coefficients' error c, which is relative in ᾱ
 * and 1−ᾱ, so that the weights are off by c(1 + 1/h + 1/h_0) of themselves.
 */
import { assertEquals } from "@std/assert";
import { U64, ulp32 } from "../../src/math/float32.ts";
import type { Tensor } from "../../src/math/tensor.ts";
import { halfLogSnr } from "../../src/reference/dpm_solver.ts";
import { sampleDpmSolver, type StepEvent } from "../../src/reference/sample.ts";
import { createSchedule } from "../../src/reference/schedule.ts";
import { noiseLevelAt } from "../../src/reference/step.ts";
import { Bound } from "../support/bound.ts";
import {
  coefficientError,
  goldenCases,
  goldenSchedule,
  type GoldenTensor,
  MEAN_MODEL_SLOPE,
  meanModel,
  wave,
} from "../support/golden.ts";

interface LoopCase {
  readonly id: string;
  readonly expected:
    & { readonly timesteps: readonly number[]; readonly sigmas: GoldenTensor }
    & Readonly<Record<string, GoldenTensor>>;
}

const [{ expected }] = goldenCases<LoopCase>("diffusers_scheduler_dpm_loop");
const keep = expected.timesteps.map((index) => index + 1).toReversed();
const schedule = createSchedule({ ...goldenSchedule("linear", 1000), keep });
const { abs, sqrt, log, exp } = Math;

/** √ᾱ, √(1−ᾱ), λ and the slope of x̂_0 at a time. */
function levelAt(t: number): { signal: number; sigma: number; lambda: number; slope: number } {
  const { alphaBar, oneMinusAlphaBar } = noiseLevelAt(schedule, t);
  const signal = sqrt(alphaBar), sigma = sqrt(oneMinusAlphaBar);
  return {
    signal,
    sigma,
    lambda: log(signal / sigma),
    slope: (1 - MEAN_MODEL_SLOPE * sigma) / signal,
  };
}

/** r, w_0 and w_1 of the step from `t`, whose prediction before was at `last`. */
function weights(t: number, tPrev: number, last: number | null) {
  if (tPrev === 0) return { ratio: 0, w0: 1, w1: 0, spread: 1 };
  const from = levelAt(t), to = levelAt(tPrev), h = to.lambda - from.lambda;
  const whole = to.signal * (1 - exp(-h)), ratio = to.sigma / from.sigma;
  if (last === null) return { ratio, w0: whole, w1: 0, spread: 1 };
  const before = from.lambda - levelAt(last).lambda, ahead = h / before / 2;
  return { ratio, w0: whole * (1 + ahead), w1: -whole * ahead, spread: 1 + 1 / h + 1 / before };
}

Deno.test("sampleDpmSolver is diffusers' DPM-Solver++ loop over ten times", async () => {
  const bound = new Bound("½ulp32(b) + c(t)·Σ|terms|, carried from step to step");
  const xT = wave(1000, [1, 3, 4, 4]);
  let e = new Float64Array(xT.data.length), past = new Float64Array(e.length);
  let xt: Tensor = xT, m1: Tensor = xT, last: number | null = null, compared = 0;
  const onStep = ({ t, tPrev, x, x0, step }: StepEvent) => {
    const { ratio, w0, w1, spread } = weights(t, tPrev, last),
      { signal, sigma, slope } = levelAt(t);
    const c = 3 * coefficientError(schedule, t) * spread;
    const next = e.map((before, i) => {
      const raw = (abs(xt.data[i]) * (1 + MEAN_MODEL_SLOPE * sigma) + 0.1 * sigma) / signal;
      const terms = ratio * abs(xt.data[i]) + abs(w0) * raw + abs(w1 * m1.data[i]);
      const double = abs(ratio + w0 * slope) * before + abs(w1) * past[i] + c * terms;
      return double + ulp32(abs(x.data[i]) + double) / 2;
    });
    past = e.map((before, i) => slope * before + c * abs(x0.data[i]) + ulp32(x0.data[i]) / 2);
    e = next;
    const golden = expected[`sample_after_step_${step - 1}`];
    if (golden !== undefined) {
      compared++;
      bound.checkAll(x.data, golden.data, (i) => e[i], `step ${step}`);
    }
    [xt, m1, last] = [x, x0, t];
  };
  const model = (x: Tensor, t: number) => meanModel(x, [t - 1]);
  const x0 = await sampleDpmSolver(schedule, model, xT, { clip: null, onStep });
  assertEquals(compared, 4);
  assertEquals(x0, xt);
  bound.settle("golden solver loop");
});

Deno.test("e^(−λ) is diffusers' sigmas, with 0 for clean data", () => {
  // ᾱ is off by 2.1·t·u between the two (tests/support/golden.ts), which 1 − ᾱ takes over from it there;
  // the root halves it. λ has two logarithms, and e^(−λ) turns their errors relative.
  const bound = new Bound("(1.05·t/(1−ᾱ) + 2|λ| + 8)·u·σ");
  const { data } = expected.sigmas;
  const found = [...keep.toReversed(), 0].map((t) => exp(-halfLogSnr(noiseLevelAt(schedule, t))));
  bound.checkAll(found, data, (k) => {
    if (k === keep.length) return 0;
    const t = keep[keep.length - 1 - k], { oneMinusAlphaBar } = noiseLevelAt(schedule, t);
    return (1.05 * t / oneMinusAlphaBar + 2 * abs(log(data[k])) + 8) * U64 * data[k];
  });
  bound.settle("golden sigmas");
});
