import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { roundingBound, U32, U64 } from "../../src/math/float32.ts";
import { type Tensor, tensor } from "../../src/math/tensor.ts";
import {
  encodeDdim,
  type Model,
  sampleDdim,
  sampleDdpm,
  type StepEvent,
} from "../../src/reference/sample.ts";
import { createSchedule } from "../../src/reference/schedule.ts";
import { type DrawnProcess, hasSignal, process, tensorOf } from "../support/arbitraries.ts";
import { independentReverse } from "../support/independent_model.ts";
import type { IndependentStep } from "../support/independent_process.ts";
import { boundedTestAsync } from "../support/property.ts";

const SHAPE = [2, 1, 2];

/** Processes with a noise for every step and a start; v prediction, which every ᾱ allows. */
const run = process.filter((p) => p.steps.length <= 12).chain((drawn) => {
  const steps = drawn.steps.length;
  return fc.tuple(
    fc.constant(drawn),
    tensorOf(SHAPE, 2),
    fc.array(tensorOf(SHAPE, 2), { minLength: steps, maxLength: steps }),
    fc.constantFrom("v" as const, "x0" as const),
  );
});

/** A model bounded in x and different at every time and condition; records what it was asked. */
function spy(wait: boolean): { model: Model<string>; asked: [Tensor, number, string?][] } {
  const asked: [Tensor, number, string?][] = [];
  const model = (x: Tensor, t: number, condition?: string) => {
    asked.push([x, t, condition]);
    const out = tensor(x.shape, x.data.map((v, i) => Math.sin(2 * v + t + i) / 2));
    return wait ? Promise.resolve(out) : out;
  };
  return { model, asked };
}

const output = (x: Tensor, t: number): Tensor =>
  tensor(x.shape, x.data.map((v, i) => Math.sin(2 * v + t + i) / 2));

const at = (drawn: DrawnProcess, step: IndependentStep) => ({
  process: drawn,
  D: 2,
  steps: [step, step],
  stepOf: () => step,
});

/** Checks the shape of the walk: times, counts, and that each step began where the last one ended. */
function checkWalk(
  drawn: DrawnProcess,
  events: StepEvent[],
  asked: [Tensor, number, string?][],
  xT: Tensor,
) {
  const down = drawn.steps.toReversed();
  assertEquals(events.map((e) => e.t), down.map((s) => s.t));
  assertEquals(events.map((e) => e.tPrev), down.map((s) => s.previous));
  assertEquals(events.map((e) => [e.step, e.steps]), down.map((_, k) => [k + 1, down.length]));
  assertEquals(asked.map(([, t, c]) => [t, c]), down.map((s) => [s.t, "cat"]));
  asked.forEach(([x], k) => assertEquals(x.data, k === 0 ? xT.data : events[k - 1].x.data));
}

boundedTestAsync(
  "sampleDdpm takes one DDPM step from each kept time to the next lower one, the last to 0",
  "½ulp + n·u·Σ|terms| per step (docs/numerics.md#reverse)",
  80,
  run,
  async ([drawn, xT, noises, prediction], bound) => {
    const schedule = createSchedule(drawn.config);
    const noiseAt = (t: number) => noises[drawn.steps.findIndex((s) => s.t === t)];
    const { model, asked } = spy(false), events: StepEvent[] = [];
    const options = { prediction, variance: "betaTilde" as const, condition: "cat" };
    const onStep = async (event: StepEvent) => {
      await Promise.resolve();
      events.push(event);
    };
    const x0 = await sampleDdpm(schedule, model, xT, noiseAt, { ...options, onStep });
    checkWalk(drawn, events, asked, xT);
    assertEquals(x0.data, events[events.length - 1].x.data);
    // The same without watching, and with a model that answers later.
    assertEquals((await sampleDdpm(schedule, spy(true).model, xT, noiseAt, options)).data, x0.data);
    events.forEach((event, k) => {
      const step = drawn.steps[drawn.steps.length - 1 - k], [x] = asked[k], z = noiseAt(step.t);
      const p = independentReverse(at(drawn, step), x, output(x, step.t), {
        prediction,
        variance: "betaTilde",
        clip: { kind: "static", range: 1 },
      });
      const shift = (i: number) => Math.sqrt(p.variance[i]) * z.data[i];
      const next = p.mean.map((mean, i) => mean + shift(i));
      bound.checkAll(
        event.x.data,
        next,
        (i) =>
          roundingBound(next[i]) * (1 + U32) + p.meanError[i] +
          (p.logVarianceError[i] + 8 * U64) * (Math.abs(shift(i)) + Math.abs(p.mean[i])),
        "x",
      );
      bound.checkAll(
        event.x0.data,
        p.x0,
        (i) => roundingBound(p.x0[i]) * (1 + U32) + p.x0Error[i],
        "x0",
      );
    });
  },
);

/** √ᾱ·x̂_0 + √(1−ᾱ)·ε̂ at another level, ε̂ re-derived from x̂_0; no noise. */
function still(
  drawn: DrawnProcess,
  step: IndependentStep,
  to: { readonly alphaBar: number; readonly oneMinusAlphaBar: number },
  x: Tensor,
  prediction: "v" | "x0",
) {
  const p = independentReverse(at(drawn, step), x, output(x, step.t), {
    prediction,
    variance: "beta",
    clip: { kind: "static", range: 1 },
  });
  const signal = Math.sqrt(step.alphaBar), sigma = Math.sqrt(step.oneMinusAlphaBar);
  const n = drawn.n * U64;
  const value = p.x0.map((x0, i) =>
    Math.sqrt(to.alphaBar) * x0 + Math.sqrt(to.oneMinusAlphaBar) * (x.data[i] - signal * x0) / sigma
  );
  const error = p.x0.map((x0, i) => {
    const size = Math.abs(x0) + (Math.abs(x.data[i]) + signal * Math.abs(x0)) / sigma;
    return roundingBound(value[i]) * (1 + U32) + (1 + signal / sigma) * p.x0Error[i] + n * size;
  });
  return { value, error };
}

boundedTestAsync(
  "sampleDdim at η = 0 walks the kept times without asking for noise; encodeDdim climbs them",
  "½ulp + n·u·Σ|terms| per step (docs/numerics.md#ddim)",
  80,
  run,
  async ([drawn, xT, noises, prediction], bound) => {
    const schedule = createSchedule(drawn.config);
    const { model, asked } = spy(false), events: StepEvent[] = [];
    const noNoise = () => {
      throw new Error("Expected no call for noise at η = 0");
    };
    const options = { prediction, condition: "cat" };
    const onStep = (event: StepEvent) => void events.push(event);
    const x0 = await sampleDdim(schedule, model, xT, noNoise, { ...options, onStep });
    checkWalk(drawn, events, asked, xT);
    assertEquals(x0.data, events[events.length - 1].x.data);
    events.forEach((event, k) => {
      const step = drawn.steps[drawn.steps.length - 1 - k];
      const { value, error } = still(drawn, step, step.before, asked[k][0], prediction);
      bound.checkAll(event.x.data, value, (i) => error[i], "down");
    });
    // With η the noise of each step's own time is asked for.
    const times: number[] = [];
    const noiseAt = (t: number) => {
      times.push(t);
      return noises[drawn.steps.findIndex((s) => s.t === t)];
    };
    const noisy: StepEvent[] = [], second = spy(true);
    await sampleDdim(schedule, second.model, xT, noiseAt, {
      ...options,
      eta: 1,
      onStep: (event) => void noisy.push(event),
    });
    assertEquals(times, drawn.steps.toReversed().map((s) => s.t));
    noisy.forEach((event, k) => {
      // η = 1 between adjacent times is the DDPM step with β̃.
      const step = drawn.steps[drawn.steps.length - 1 - k], [x] = second.asked[k];
      const z = noises[drawn.steps.indexOf(step)].data;
      const p = independentReverse(at(drawn, step), x, output(x, step.t), {
        prediction,
        variance: "betaTilde",
        clip: { kind: "static", range: 1 },
      });
      const value = p.mean.map((mean, i) => mean + Math.sqrt(p.variance[i]) * z[i]);
      const stretch = 1 + Math.sqrt(step.alphaBar / step.oneMinusAlphaBar);
      bound.checkAll(
        event.x.data,
        value,
        (i) =>
          roundingBound(value[i]) * (1 + U32) + stretch * p.x0Error[i] + p.meanError[i] +
          4 * drawn.n * U64 *
            (stretch + Math.abs(x.data[i]) / Math.sqrt(step.oneMinusAlphaBar) +
              Math.abs(z[i]) / Math.sqrt(step.beta)),
        "down, η = 1",
      );
    });
    const up = spy(false);
    const top = await encodeDdim(schedule, up.model, xT, options);
    assertEquals(
      up.asked.map(([, t, c]) => [t, c]),
      drawn.steps.slice(0, -1).map((s) => [s.t, "cat"]),
    );
    up.asked.forEach(([x], k) => {
      if (k === 0) assertEquals(x.data, xT.data);
      const next = up.asked[k + 1]?.[0] ?? top;
      const { value, error } = still(drawn, drawn.steps[k], drawn.steps[k + 1], x, prediction);
      bound.checkAll(next.data, value, (i) => error[i], "up");
    });
    if (drawn.steps.length === 1) assertEquals(top.data, xT.data);
  },
);

boundedTestAsync(
  "encoding undoes decoding over the kept times when the model's ε is constant",
  "½ulp at every step, stretched by √(ᾱ_1/ᾱ_t) (docs/numerics.md#ddim)",
  80,
  run.filter(([drawn]) => drawn.steps.length > 1 && drawn.steps.every(hasSignal)),
  async ([drawn, x, [epsilon]], bound) => {
    const schedule = createSchedule(drawn.config), times: number[] = [];
    const model = (_: Tensor, t: number) => {
      times.push(t);
      return epsilon;
    };
    const top = await encodeDdim(schedule, model, x, { clip: null });
    // Decoding to time 0 gives x̂_0 at the first kept time: x = √ᾱ_1·x̂_0 + √(1−ᾱ_1)·ε.
    const x0 = await sampleDdim(schedule, model, top, () => epsilon, { clip: null });
    const first = drawn.steps[0], signal = Math.sqrt(first.alphaBar);
    const sigma = Math.sqrt(first.oneMinusAlphaBar);
    const expected = Array.from(x.data, (v, i) => (v - sigma * epsilon.data[i]) / signal);
    bound.checkAll(x0.data, expected, (i) => {
      // Every x on the way up and down is rounded, in units of x̂_0 by 1/√ᾱ_t.
      const size = (s: IndependentStep) =>
        Math.abs(Math.sqrt(s.alphaBar) * expected[i]) +
        Math.sqrt(s.oneMinusAlphaBar) * Math.abs(epsilon.data[i]);
      const stored = drawn.steps.reduce(
        (sum, s) => sum + 2 * (U32 + 4 * drawn.n * U64) * size(s) / Math.sqrt(s.alphaBar),
        0,
      );
      return stored + U32 * Math.abs(expected[i]);
    });
    assertEquals(times.length, 2 * drawn.steps.length - 1);
  },
);

Deno.test("an aborted loop ends before its next step with the signal's reason", async () => {
  const schedule = createSchedule({ kind: "constant", T: 4, beta: 0.1 });
  const x = tensor([1, 1], [1]);
  const loops = {
    ddpm: (model: Model, signal: AbortSignal) =>
      sampleDdpm(schedule, model, x, () => x, { signal }),
    ddim: (model: Model, signal: AbortSignal) =>
      sampleDdim(schedule, model, x, () => x, { signal }),
    encode: (model: Model, signal: AbortSignal) => encodeDdim(schedule, model, x, { signal }),
  };
  for (const [name, loop] of Object.entries(loops)) {
    const stop = new AbortController(), times: number[] = [];
    const model = (xt: Tensor, t: number) => {
      times.push(t);
      if (times.length === 2) stop.abort(new Error("enough"));
      return xt;
    };
    await assertRejects(() => loop(model, stop.signal), Error, "enough");
    assertEquals(times, name === "encode" ? [1, 2] : [4, 3]);
    assert(stop.signal.aborted);
  }
});
