import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ArgumentError } from "../../src/math/errors.ts";
import { referenceBound, roundingBound, U32, U64 } from "../../src/math/float32.ts";
import { sizeOf, type Tensor, tensor } from "../../src/math/tensor.ts";
import {
  dpmSolverStep,
  halfLogSnr,
  type PastPrediction,
  type SolverOrder,
} from "../../src/reference/dpm_solver.ts";
import { sampleDpmSolver, type StepEvent } from "../../src/reference/sample.ts";
import { createSchedule } from "../../src/reference/schedule.ts";
import { noiseLevelAt } from "../../src/reference/step.ts";
import { type DrawnProcess, process, real, shape, tensorOf } from "../support/arbitraries.ts";
import { clip, independentReverse } from "../support/independent_model.ts";
import type { IndependentStep } from "../support/independent_process.ts";
import { boundedTest, forAllAsync } from "../support/property.ts";
import { integrate } from "../support/quadrature.ts";

const FORMULA = "½ulp + n·u·Σ|terms| + δh/h of the differences (docs/numerics.md#dpm-solver)";

/** ln ᾱ and ln(1−ᾱ) of a step, or of clean data. */
function logs(step: IndependentStep | null): [number, number] {
  return step === null ? [0, -Infinity] : [step.logAlphaBar, Math.log(step.oneMinusAlphaBar)];
}

/** λ of a step, and what the reference may be off by: two table entries and two logarithms. */
function lambdaOf(drawn: DrawnProcess, step: IndependentStep | null): [number, number] {
  const [signal, noise] = logs(step);
  const value = (signal - noise) / 2;
  if (!Number.isFinite(value)) return [value, 0];
  return [value, (drawn.n + 2 * (Math.abs(signal) + Math.abs(noise))) * U64];
}

/** The steps that one sample's solver step meets: where it ends (null: time 0), starts, and was before. */
interface Path {
  readonly end: IndependentStep | null;
  readonly step: IndependentStep;
  readonly before: readonly IndependentStep[];
}

/** ∫ of what stands for x̂_0(λ) over the step, per unit of √ᾱ_prev, and a bound on the error. */
function prediction(
  drawn: DrawnProcess,
  { end, step, before }: Path,
  m: readonly number[],
): { value: number; error: number; slope: number } {
  const [here, hereError] = lambdaOf(drawn, step), [there, thereError] = lambdaOf(drawn, end);
  const h = there - here, dh = hereError + thereError, phi = -Math.expm1(-h);
  const [latest, latestError] = lambdaOf(drawn, before[0]);
  const h0 = here - latest, lost0 = dh / h + (hereError + latestError) / h0 + 8 * U64;
  // The line through m_1 and m_0 at the middle of the step; through a point at −∞ it is level.
  if (m.length === 2) {
    const ahead = h / 2 / h0, size = ahead * (Math.abs(m[0]) + Math.abs(m[1]));
    const value = (1 + ahead) * m[0] - ahead * m[1];
    return {
      value: phi * value,
      error: dh * (Math.abs(m[0]) + size) + phi * 2 * lost0 * size,
      slope: phi * (1 + ahead),
    };
  }
  const [first, firstError] = lambdaOf(drawn, before[1]);
  const h1 = latest - first, both = h0 + h1;
  // Lagrange's parabola: its slope at the step's start and half its curvature.
  const slopes = h1 === Infinity
    ? [1 / h0, -1 / h0, 0]
    : [(2 * h0 + h1) / (h0 * both), -both / (h0 * h1), h0 / (both * h1)];
  const curves = h1 === Infinity ? [0, 0, 0] : [1 / (h0 * both), -1 / (h0 * h1), 1 / (both * h1)];
  const weight = (k: number) =>
    integrate(
      (d) => Math.exp(d - h) * ((k === 0 ? 1 : 0) + slopes[k] * d + curves[k] * d * d / 2),
      0,
      h,
    );
  const weights = [0, 1, 2].map(weight);
  // With the differences as large as their terms, and shares and φ below 1: see the section cited.
  const size = (h / h0) * (Math.abs(m[0]) + Math.abs(m[1])) +
    (h1 === Infinity ? 0 : (h / h1) * (Math.abs(m[1]) + Math.abs(m[2])));
  const curve = h1 === Infinity ? 0 : h / both;
  const lost = 2 * (lost0 + (latestError + firstError) / h1);
  const phi2 = 1 - phi / h, phi3 = Math.abs(phi2 / h - 1 / 2);
  const rounded = 8 * U64;
  const error = dh * Math.abs(m[0]) +
    size * (dh / 2 + rounded + 2 * lost * phi2) +
    size * curve * (dh / 6 + rounded * (1 + 1 / h) + lost * phi3);
  return {
    value: weights.reduce((sum, w, k) => sum + w * m[k], 0),
    error,
    slope: Math.abs(weights[0]),
  };
}

/** What a drawn step is made of. */
interface Drawn {
  readonly process: DrawnProcess;
  readonly order: SolverOrder;
  readonly paths: readonly Path[];
  readonly tensors: readonly Tensor[];
  readonly options: {
    readonly prediction: "epsilon" | "x0" | "v";
    readonly clip: Parameters<typeof independentReverse>[3]["clip"];
  };
}

/** `count` of the process's places, falling; place 0 is time 0 where `clean` allows it. */
function falling(drawn: DrawnProcess, count: number, clean: boolean): fc.Arbitrary<number[]> {
  const lowest = clean ? 0 : 1;
  const places = Array.from({ length: drawn.steps.length + 1 - lowest }, (_, k) => k + lowest);
  return fc.shuffledSubarray(places, { minLength: count, maxLength: count })
    .map((chosen) => chosen.toSorted((a, b) => b - a));
}

function drawnOf(order: SolverOrder): fc.Arbitrary<Drawn> {
  return fc.tuple(process.filter((p) => p.steps.length > (order === 1 ? 0 : order)), shape).chain(
    ([drawn, of]) =>
      fc.record({
        places: fc.array(falling(drawn, order + 1, order === 1), {
          minLength: of[0],
          maxLength: of[0],
        }),
        tensors: fc.array(tensorOf(of), { minLength: 4, maxLength: 4 }),
        options: fc.record({ prediction: fc.constantFrom("epsilon", "x0", "v"), clip }),
      }).map(({ places, tensors, options }) => ({
        process: drawn,
        order,
        paths: places.map((down) => {
          const steps = down.map((place) => place === 0 ? null : drawn.steps[place - 1]);
          return {
            end: steps[order],
            step: steps[order - 1]!,
            before: steps.slice(0, order - 1).reverse() as IndependentStep[],
          };
        }),
        tensors,
        options,
      })),
  ).filter(({ options, paths }) =>
    options.prediction !== "epsilon" || paths.every(({ step }) => step.alphaBar > 0)
  );
}

function historyOf({ order, paths, tensors }: Drawn): PastPrediction[] {
  return [tensors[2], tensors[3]].slice(0, order - 1).map((x0, k) => {
    const times = paths.map(({ before }) => before[k].t);
    return { t: times.every((t) => t === times[0]) ? times[0] : times, x0 };
  });
}

function take(drawn: Drawn) {
  const { process, order, paths, tensors: [xt, output], options } = drawn;
  return dpmSolverStep(
    createSchedule(process.config),
    paths.map(({ step }) => step.t),
    paths.map(({ end }) => end?.t ?? 0),
    xt,
    output,
    historyOf(drawn),
    { ...options, order },
  );
}

/** x̂_0 by the independent road. */
function read({ process, paths, tensors: [xt, output], options }: Drawn) {
  const D = sizeOf(xt.shape) / paths.length, steps = paths.map(({ step }) => step);
  const stepOf = (i: number) => steps[Math.floor(i / D)];
  const p = independentReverse({ process, D, steps, stepOf }, xt, output, {
    ...options,
    variance: "beta",
  });
  return { ...p, pathOf: (i: number) => paths[Math.floor(i / D)] };
}

boundedTest(
  "DPM-Solver++ of order 1 is the deterministic DDIM step, time 0 included",
  FORMULA,
  300,
  drawnOf(1),
  (drawn, bound) => {
    const { process, tensors: [xt] } = drawn, { x0, x0Error, pathOf } = read(drawn);
    const found = take(drawn);
    const parts = x0.map((value, i) => {
      const { end, step } = pathOf(i);
      const ratio = Math.sqrt((end?.oneMinusAlphaBar ?? 0) / step.oneMinusAlphaBar);
      // √ᾱ_prev·x̂_0 + √(1−ᾱ_prev)·ε̂.
      return [
        Math.sqrt(end?.alphaBar ?? 1) * value,
        ratio * xt.data[i],
        -ratio * Math.sqrt(step.alphaBar) * value,
      ];
    });
    const sum = (terms: number[]) => terms.reduce((a, b) => a + b, 0);
    bound.checkAll(found.x.data, parts.map(sum), (i) => {
      const { end, step } = pathOf(i), size = sum(parts[i].map(Math.abs));
      // e^(−h) is off by δh of itself; the weight of x̂_0 is at most √ᾱ_prev.
      const dh = lambdaOf(process, step)[1] + lambdaOf(process, end)[1];
      return referenceBound(sum(parts[i]), process.n, size) * (1 + U32) +
        x0Error[i] + dh * Math.abs(parts[i][2]);
    }, "x");
    bound.checkAll(found.x0.data, x0, (i) => roundingBound(x0[i]) * (1 + U32) + x0Error[i], "x0");
  },
);

boundedTest(
  "DPM-Solver++ of orders 2 and 3 integrates the line at mid-step, and the parabola with half its curvature",
  FORMULA,
  600,
  fc.constantFrom(2 as const, 3 as const).chain(drawnOf),
  (drawn, bound) => {
    const { process, order, tensors: [xt, , m1, m2] } = drawn,
      { x0, x0Error, pathOf } = read(drawn);
    const found = take(drawn);
    const parts = x0.map((value, i) => {
      const path = pathOf(i), m = [value, m1.data[i], m2.data[i]].slice(0, order);
      const integral = prediction(process, path, m), signal = Math.sqrt(path.end!.alphaBar);
      const kept = Math.sqrt(path.end!.oneMinusAlphaBar / path.step.oneMinusAlphaBar) * xt.data[i];
      return {
        x: kept + signal * integral.value,
        error: process.n * U64 * (Math.abs(kept) + signal * integral.slope * Math.abs(value)) +
          signal * (integral.error + integral.slope * x0Error[i]),
      };
    });
    bound.checkAll(
      found.x.data,
      parts.map(({ x }) => x),
      (i) => roundingBound(parts[i].x) * (1 + U32) + parts[i].error * (1 + U32),
      `order ${order}`,
    );
    bound.checkAll(found.x0.data, x0, (i) => roundingBound(x0[i]) * (1 + U32) + x0Error[i], "x0");
  },
);

boundedTest(
  "λ is half the log-SNR",
  "(n + 2|ln ᾱ| + 2|ln(1−ᾱ)|)·u (docs/numerics.md#dpm-solver)",
  200,
  fc.tuple(process, real(0, 1)),
  ([drawn, place], bound) => {
    const step = drawn.steps[Math.floor(place * (drawn.steps.length - 0.001))];
    const [value, error] = lambdaOf(drawn, step);
    bound.check(halfLogSnr(noiseLevelAt(createSchedule(drawn.config), step.t)), value, error);
    assertEquals(halfLogSnr(noiseLevelAt(createSchedule(drawn.config), 0)), Infinity);
  },
);

/** Gaussian data N(0, s²): x̂_0 = √ᾱ·s²·x/(ᾱs² + 1 − ᾱ), and the ODE keeps x/√(ᾱs² + 1 − ᾱ). */
const DATA = 2;
const spreadAt = (alphaBar: number) => Math.sqrt(alphaBar * DATA ** 2 + 1 - alphaBar);

/** Relative error of the state at time 100 after `steps` steps down from T, all by `order` if it can. */
async function errorAfter(order: SolverOrder, steps: number): Promise<number> {
  const keep = Array.from({ length: steps + 1 }, (_, k) => 100 + 900 * k / steps);
  const schedule = createSchedule({
    kind: "linear",
    T: 1000,
    betaStart: 1e-4,
    betaEnd: 0.02,
    keep,
  });
  const at = (t: number) => noiseLevelAt(schedule, t).alphaBar;
  const model = (x: Tensor, t: number) => {
    const slope = Math.sqrt(at(t)) * DATA ** 2 / spreadAt(at(t)) ** 2;
    return tensor(x.shape, x.data.map((value) => slope * value));
  };
  let state = NaN;
  await sampleDpmSolver(schedule, model, tensor([1, 1], [1]), {
    order,
    prediction: "x0",
    clip: null,
    onStep: ({ tPrev, x }) => {
      if (tPrev === 100) state = x.data[0];
    },
  });
  return Math.abs(state * spreadAt(at(1000)) / spreadAt(at(100)) - 1);
}

Deno.test("on Gaussian data the error of order 1 falls with the steps, of order 2 with their square", async () => {
  // Orders are told apart at half-integers of log2 of the error's fall when the steps are doubled. A
  // hundred stored states and predictions add at most 2·100·2^−24 = 1.2e-5 to an error above 1e-4: less
  // than 0.2 in the logarithm.
  for (const order of [1, 2] as const) {
    const coarse = await errorAfter(order, 50), fine = await errorAfter(order, 100);
    assert(fine > 1e-4, `order ${order}: ${fine}`);
    const found = Math.log2(coarse / fine);
    assert(Math.abs(found - order) < 0.5, `order ${order}: ${coarse} to ${fine} is 2^${found}`);
  }
});

Deno.test("sampleDpmSolver raises the order as predictions come in, and falls to order 1 at time 0", async () => {
  const run = fc.tuple(
    process.filter((p) => p.steps.length <= 12),
    tensorOf([2, 1, 2], 2),
    fc.constantFrom(undefined, 1 as const, 2 as const, 3 as const),
  );
  await forAllAsync(run, 60, async ([drawn, xT, order]) => {
    const schedule = createSchedule(drawn.config), N = drawn.steps.length;
    const output = (x: Tensor, t: number) =>
      tensor(x.shape, x.data.map((v, i) => Math.sin(2 * v + t + i) / 2));
    const asked: [number, string?][] = [], events: StepEvent[] = [];
    const model = (x: Tensor, t: number, condition?: string) => {
      asked.push([t, condition]);
      return output(x, t);
    };
    const options = { prediction: "v", condition: "cat", order } as const;
    const onStep = (event: StepEvent) => void events.push(event);
    const x0 = await sampleDpmSolver(schedule, model, xT, { ...options, onStep });
    const down = drawn.steps.toReversed();
    assertEquals(asked, down.map(({ t }) => [t, "cat"]));
    assertEquals(events.map((e) => [e.t, e.tPrev]), down.map((s) => [s.t, s.previous]));
    assertEquals(x0, events[N - 1].x);
    // 1, 2, 3, 3, …, 3, 2, 1 for order 3.
    const pyramid = down.map((_, k) => [k + 1, N - k, order ?? 2].sort((a, b) => a - b)[0]);
    events.forEach(({ t, tPrev, x, x0 }, k) => {
      const from = k === 0 ? xT : events[k - 1].x;
      const step = dpmSolverStep(
        schedule,
        t,
        tPrev,
        from,
        output(from, t),
        events.slice(0, k).toReversed(),
        { prediction: "v", order: pyramid[k] as SolverOrder },
      );
      assertEquals({ x, x0 }, step);
    });
  });
});

Deno.test("left to itself DPM-Solver++ has order 2, reads ε and clips x̂_0 to [−1, 1]", () => {
  const schedule = createSchedule({ kind: "constant", T: 6, beta: 0.2 });
  const x = tensor([1, 2], [3, -0.4]), output = tensor([1, 2], [0.5, 0.25]);
  const history = [{ t: 5, x0: tensor([1, 2], [0.5, -1]) }];
  const plain = dpmSolverStep(schedule, 3, 1, x, output, history);
  const spelt = { order: 2, prediction: "epsilon", clip: { kind: "static", range: 1 } } as const;
  assertEquals(plain, dpmSolverStep(schedule, 3, 1, x, output, history, spelt));
  assertEquals(plain.x0.data[0], 1);
});

Deno.test("DPM-Solver++ refuses times out of order, a short history, ᾱ_t = 0 and other outputs", async () => {
  const schedule = createSchedule({ kind: "inverse", T: 4 });
  const x = tensor([1, 1], [1]), past = (...times: number[]) => times.map((t) => ({ t, x0: x }));
  const step = (t: number, tPrev: number, history: PastPrediction[], options = {}) => () =>
    dpmSolverStep(schedule, t, tPrev, x, x, history, { prediction: "x0", ...options });
  const refused: [() => unknown, string][] = [
    [step(2, 2, past(3)), "Expected tPrev below t = 2 but got 2"],
    [step(2, 1, past(2)), "Expected history[0].t above 2 but got 2"],
    [step(1.5, 1, past(3)), "Expected t in 1..4 but got 1.5"],
    [
      step(1, 0, past(3)),
      "Expected order 1 where the step starts at ᾱ = 0 or ends at time 0 but got 2",
    ],
    [step(2, 1, []), "Expected a history of at least 1 for order 2 but got 0"],
    [step(2, 1, past(3), { order: 3 }), "Expected a history of at least 2 for order 3 but got 1"],
    [step(2, 1, past(4, 3), { order: 3 }), "Expected history[1].t above 4 but got 3"],
    [step(2, 1, past(5)), "Expected t in 1..4 but got 5"],
    [step(2, 1, past(3), { order: 4 }), "Expected order in 1..3 but got 4"],
    [step(2, 1, past(3), { prediction: "previousX" }), "Expected prediction epsilon, x0 or v"],
    [step(2, 1, past(3), { clip: { kind: "static", range: 0 } }), "Expected clip range above 0"],
    [step(2, 1, [{ t: 3, x0: tensor([2, 1]) }]), "Expected history[0].x0 of shape [1, 1]"],
    [
      () => dpmSolverStep(schedule, 2, 1, x, tensor([1, 2]), past(3)),
      "Expected modelOutput of shape",
    ],
  ];
  for (const [call, message] of refused) assertThrows(call, ArgumentError, message);
  // Two times that the double ᾱ cannot tell apart.
  const still = createSchedule({ kind: "betas", betas: [0.5, 1e-20, 0.5] });
  assertThrows(
    () => dpmSolverStep(still, 2, 1, x, x, [], { order: 1 }),
    ArgumentError,
    "Expected times whose λ differ",
  );
  await assertRejects(
    () => sampleDpmSolver(schedule, (x) => x, x, { order: 4 as SolverOrder }),
    ArgumentError,
    "Expected order in 1..3 but got 4",
  );
});
