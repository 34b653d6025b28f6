/**
 * Sampling loops of OpenAI's and diffusers' code, and diffusers' single steps, in float64.
 *
 * A step is bounded as in golden_gaussian_test.ts: ½ulp of what is stored plus c·Σ|terms|. In a loop
 * the error e of x_t grows by the step's slope L in x_t, then the store adds its own:
 * e_prev = L·e + c·Σ|terms| + ½ulp32(x_prev), element by element. With the stand-in network of slope
 * 0.3 and ∂x̂_0/∂x_t = g = (1 − 0.3√(1−ᾱ))/√ᾱ where x̂_0 is not clipped and 0 where it is:
 * L = |coefX0·g + coefXt| for DDPM, and |√ᾱ_prev·g + √(1−ᾱ_prev)·0.3| for DDIM with the network's own ε̂.
 */
import { assertEquals } from "@std/assert";
import { ulp32 } from "../../src/math/float32.ts";
import type { Tensor } from "../../src/math/tensor.ts";
import { ddimStep } from "../../src/reference/ddim.ts";
import { ddpmStep } from "../../src/reference/ddpm.ts";
import { qSample } from "../../src/reference/forward.ts";
import { convert } from "../../src/reference/parameterisation.ts";
import { pMeanVariance } from "../../src/reference/reverse.ts";
import { sectionTimesteps, selectTimesteps } from "../../src/reference/respacing.ts";
import { sampleDdim, sampleDdpm, type StepEvent } from "../../src/reference/sample.ts";
import { createSchedule, type Schedule } from "../../src/reference/schedule.ts";
import { noiseLevelAt, type Step, stepAt } from "../../src/reference/step.ts";
import { Bound } from "../support/bound.ts";
import { doubles } from "../support/doubles.ts";
import {
  coefficientError,
  type GoldenCase,
  goldenCases,
  goldenSchedule,
  type GoldenTensor,
  MEAN_MODEL_SLOPE,
  meanModel,
  storedBound,
  wave,
} from "../support/golden.ts";

const FORMULA = "½ulp32(b) + c(t)·Σ|terms|, carried from step to step";
const DATA_RANGE = { kind: "static", range: 1 } as const;
const SHAPE = [1, 3, 4, 4];

/** Signal and noise share of the step, and the slope of x̂_0 in x_t where it is not clipped. */
function shares(step: Step): { signal: number; sigma: number; slope: number } {
  const signal = Math.sqrt(step.alphaBar), sigma = Math.sqrt(step.oneMinusAlphaBar);
  return { signal, sigma, slope: (1 - MEAN_MODEL_SLOPE * sigma) / signal };
}

/** Error of every element after a step, from the error before it. */
type StepError = (before: Float64Array, event: StepEvent, xt: Tensor) => Float64Array;

/**
 * The error of one step of either sampler, both linear in x̂_0 and x_t (DDPM) or ε̂ (DDIM) with these
 * coefficients; `slopeRest` is the slope of what is not x̂_0.
 */
function stepError(
  schedule: Schedule,
  coefficients: (step: Step) => { x0: number; rest: number; slopeRest: number; noise: number },
): StepError {
  return (before, { t, x, x0 }, xt) => {
    const step = stepAt(schedule, t), c = coefficientError(schedule, t);
    const { slope } = shares(step), of = coefficients(step);
    return before.map((e, i) => {
      // Surely clipped if the unclipped x̂_0 is beyond 1 by more than its error.
      const { signal, sigma } = shares(step);
      const output = MEAN_MODEL_SLOPE * xt.data[i] + 0.1 * Math.sin(t - 1);
      const raw = Math.abs(xt.data[i] - sigma * output) / signal;
      const gain = raw - Math.abs(slope) * e > 1 ? 0 : slope;
      const L = Math.max(Math.abs(of.x0 * gain + of.slopeRest), Math.abs(of.slopeRest));
      const terms = of.x0 * Math.abs(x0.data[i]) + of.rest * (Math.abs(xt.data[i]) + 0.1) +
        2 * of.noise + (gain === 0 ? 0 : of.x0 * raw);
      const double = L * e + 2 * c * terms;
      return double + ulp32(Math.abs(x.data[i]) + double) / 2;
    });
  };
}

/** Runs a loop and compares the states after the steps that start at the given times. */
async function checkLoop(
  bound: Bound,
  run: (onStep: (event: StepEvent) => void) => Promise<Tensor>,
  xT: Tensor,
  error: StepError,
  expected: ReadonlyMap<number, GoldenTensor>,
  what: string,
): Promise<void> {
  let e = new Float64Array(xT.data.length), xt = xT, compared = 0;
  const last = await run((event) => {
    e = Float64Array.from(error(e, event, xt));
    const golden = expected.get(event.t);
    if (golden !== undefined) {
      compared++;
      bound.checkAll(event.x.data, golden.data, (i) => e[i], what);
    }
    xt = event.x;
  });
  assertEquals(compared, expected.size);
  assertEquals(last, xt);
}

const model = (xt: Tensor, t: number) => meanModel(xt, new Array(xt.shape[0]).fill(t - 1));

const ddpmCoefficients = (step: Step) => ({
  x0: step.posteriorCoefX0,
  rest: step.posteriorCoefXt,
  slopeRest: step.posteriorCoefXt,
  noise: Math.sqrt(step.beta),
});

Deno.test("DDPM sampling over ten kept times is OpenAI's p_sample_loop", async () => {
  const bound = new Bound(FORMULA);
  const cases = goldenCases<
    GoldenCase<
      { schedule: string; T: number; spacing: string },
      Readonly<Record<string, GoldenTensor>>
    >
  >("gaussian_sample_loop");
  for (const { params, expected } of cases) {
    const keep = sectionTimesteps(params.T, [Number(params.spacing)]).reverse();
    const schedule = createSchedule({ ...goldenSchedule(params.schedule, params.T), keep });
    const xT = wave(keep.length, expected.sample_after_index_0.shape);
    const states = new Map(
      Object.entries(expected).map(([name, golden]) => [keep[Number(name.split("_")[3])], golden]),
    );
    const noiseAt = (t: number) => wave(keep.indexOf(t), xT.shape);
    const options = { variance: "beta", clip: DATA_RANGE } as const;
    await checkLoop(
      bound,
      (onStep) => sampleDdpm(schedule, model, xT, noiseAt, { ...options, onStep }),
      xT,
      stepError(schedule, ddpmCoefficients),
      states,
      "OpenAI's loop",
    );
  }
  bound.settle("golden sample loop");
});

interface LoopCase {
  readonly id: string;
  readonly num_inference_steps: number;
  readonly step_kwargs: { readonly eta?: number };
  readonly expected:
    & { readonly timesteps: readonly number[] }
    & Readonly<Record<string, GoldenTensor>>;
}

/** The kept times, x_T and the states of a loop of diffusers, whose step i has the noise z(i). */
function diffusersLoop({ num_inference_steps: steps, expected }: LoopCase) {
  const times = selectTimesteps({ T: 1000, spacing: "leading", steps });
  assertEquals(times.map((t) => t - 1), expected.timesteps);
  const keep = times.toReversed();
  const states = new Map(
    Object.entries(expected).filter(([name]) => name !== "timesteps")
      .map(([name, golden]) => [times[Number(name.split("_")[3])], golden as GoldenTensor]),
  );
  return {
    schedule: createSchedule({ ...goldenSchedule("linear", 1000), keep }),
    xT: wave(1000, SHAPE),
    noiseAt: (t: number) => wave(times.indexOf(t), SHAPE),
    states,
  };
}

Deno.test("DDPM and DDIM sampling are diffusers' loops over leading times", async () => {
  const bound = new Bound(FORMULA);
  for (const golden of goldenCases<LoopCase>("diffusers_scheduler_ddpm_loop")) {
    const { schedule, xT, noiseAt, states } = diffusersLoop(golden);
    const options = { variance: "beta", clip: DATA_RANGE } as const;
    await checkLoop(
      bound,
      (onStep) => sampleDdpm(schedule, model, xT, noiseAt, { ...options, onStep }),
      xT,
      stepError(schedule, ddpmCoefficients),
      states,
      "diffusers' DDPM loop",
    );
  }
  for (const golden of goldenCases<LoopCase>("diffusers_scheduler_ddim_loop")) {
    const { schedule, xT, noiseAt, states } = diffusersLoop(golden);
    const { eta } = golden.step_kwargs;
    // diffusers keeps the network's ε̂ unless told otherwise.
    const options = { eta, clip: DATA_RANGE, rederiveEpsilon: false } as const;
    await checkLoop(
      bound,
      (onStep) => sampleDdim(schedule, model, xT, noiseAt, { ...options, onStep }),
      xT,
      stepError(schedule, ({ previous }) => {
        const before = noiseLevelAt(schedule, previous);
        const share = Math.sqrt(before.oneMinusAlphaBar);
        return {
          x0: Math.sqrt(before.alphaBar),
          rest: share,
          slopeRest: share * MEAN_MODEL_SLOPE,
          noise: 0,
        };
      }),
      states,
      "diffusers' DDIM loop",
    );
  }
  bound.settle("golden diffusers loops");
});

interface StepCase {
  readonly id: string;
  readonly t: number;
  readonly num_inference_steps: number | null;
  readonly config: { readonly variance_type?: string; readonly clip_sample?: boolean };
  readonly step_kwargs: { readonly eta?: number };
  readonly expected: {
    readonly prev_sample: GoldenTensor;
    readonly pred_original_sample: GoldenTensor;
    readonly variance: number;
  };
}

/** x_t = 1.3·z(10000 + t) of a single step, in double. */
function stepInput(t: number): Tensor {
  const z = wave(10000 + t, SHAPE);
  return doubles(SHAPE, Array.from(z.data, (value) => 1.3 * value));
}

Deno.test("single steps of DDPM and DDIM are diffusers'", () => {
  const bound = new Bound(FORMULA);
  const schedule = createSchedule(goldenSchedule("linear", 1000));
  const checkStored = (
    actual: Tensor,
    { data }: GoldenTensor,
    step: Step,
    magnitude: (i: number) => number,
    what: string,
  ) => {
    const c = 2 * coefficientError(schedule, step.t);
    bound.checkAll(actual.data, data, (i) => storedBound(data[i], c * magnitude(i)), what);
  };
  const rawX0 = (step: Step, x: Tensor, output: Tensor) => (i: number) => {
    const { signal, sigma } = shares(step);
    return (Math.abs(x.data[i]) + sigma * Math.abs(output.data[i])) / signal;
  };
  for (
    const { id, t: index, config, expected } of goldenCases<StepCase>(
      "diffusers_scheduler_ddpm_step",
    )
  ) {
    const t = index + 1, step = stepAt(schedule, t);
    const x = stepInput(index), z = wave(index, SHAPE), output = meanModel(x, [index]);
    const options = {
      variance: config.variance_type === "fixed_large" ? "beta" : "betaTilde",
      clip: config.clip_sample ? DATA_RANGE : null,
    } as const;
    const { x: found, x0 } = ddpmStep(schedule, t, x, output, z, options);
    const X0 = rawX0(step, x, output);
    checkStored(x0, expected.pred_original_sample, step, X0, "pred_original_sample");
    checkStored(
      found,
      expected.prev_sample,
      step,
      (i) =>
        step.posteriorCoefX0 * X0(i) + step.posteriorCoefXt * Math.abs(x.data[i]) +
        Math.sqrt(step.beta) * Math.abs(z.data[i]),
      "prev_sample",
    );
    // At the first step diffusers' fixed_large is β_1 itself, which no noise is scaled with.
    const variance = step.first
      ? step.beta
      : pMeanVariance(schedule, t, x, output, options).variance.data[0];
    const off = 4 * coefficientError(schedule, t) * variance;
    bound.check(variance, expected.variance, storedBound(expected.variance, off), "variance", id);
  }
  for (const golden of goldenCases<StepCase>("diffusers_scheduler_ddim_step")) {
    const { t: index, num_inference_steps: steps, step_kwargs: { eta }, expected } = golden;
    const t = index + 1, step = stepAt(schedule, t), tPrev = t - 1000 / Number(steps);
    const x = stepInput(index), z = wave(index, SHAPE), output = meanModel(x, [index]);
    const options = { eta, clip: DATA_RANGE, rederiveEpsilon: false };
    const { x: found, x0 } = ddimStep(schedule, t, tPrev, x, output, z, options);
    const X0 = rawX0(step, x, output), before = noiseLevelAt(schedule, tPrev);
    checkStored(x0, expected.pred_original_sample, step, X0, "pred_original_sample");
    checkStored(
      found,
      expected.prev_sample,
      step,
      (i) =>
        Math.sqrt(before.alphaBar) * X0(i) +
        Math.sqrt(before.oneMinusAlphaBar) * (Math.abs(output.data[i]) + Math.abs(z.data[i])),
      "ddim",
    );
  }
  bound.settle("golden diffusers steps");
});

Deno.test("noising and velocity are diffusers' add_noise and get_velocity", () => {
  const bound = new Bound("½ulp32(b) + c(t)·Σ|terms|");
  const schedule = createSchedule(goldenSchedule("linear", 1000));
  const cases = goldenCases<{
    t: readonly number[];
    expected: Record<"add_noise" | "get_velocity", GoldenTensor>;
  }>("diffusers_scheduler_add_noise_velocity");
  for (const { t: indices, expected } of cases) {
    const { shape } = expected.add_noise, D = 12;
    const t = indices.map((index) => index + 1), x0 = wave(1, shape), noise = wave(2, shape);
    const check = (actual: Tensor, { data }: GoldenTensor, what: string, amplified: number) =>
      bound.checkAll(actual.data, data, (i) => {
        const step = stepAt(schedule, t[Math.floor(i / D)]);
        const { signal, sigma } = shares(step);
        const terms = (signal + sigma) * (Math.abs(x0.data[i]) + Math.abs(noise.data[i]));
        return storedBound(data[i], amplified * coefficientError(schedule, step.t) * terms);
      }, what);
    check(qSample(schedule, t, x0, noise), expected.add_noise, "add_noise", 1);
    // v from x_0 goes through ε̂ = (x_t − √ᾱ·x_0)/√(1−ᾱ), so x_t is made in double, where ε̂ is exact
    // to c·√ᾱ/√(1−ᾱ) ≤ 100c.
    const xt = doubles(
      shape,
      Array.from(x0.data, (x, i) => {
        const { signal, sigma } = shares(stepAt(schedule, t[Math.floor(i / D)]));
        return signal * x + sigma * noise.data[i];
      }),
    );
    check(convert(schedule, t, xt, "x0", "v", x0), expected.get_velocity, "get_velocity", 100);
  }
  bound.settle("golden add_noise");
});
