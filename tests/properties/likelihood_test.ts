import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ArgumentError } from "../../src/math/errors.ts";
import { roundingBound, U64 } from "../../src/math/float32.ts";
import { sizeOf, type Tensor, tensor } from "../../src/math/tensor.ts";
import * as reference from "../../src/reference/likelihood.ts";
import { createSchedule } from "../../src/reference/schedule.ts";
import {
  type Batch,
  batch,
  type DrawnProcess,
  hasSignal,
  positive,
  process,
  shape,
  tensorOf,
} from "../support/arbitraries.ts";
import { independentTerms, klByDefinition, type Term } from "../support/independent_bound.ts";
import type { Cdf } from "../support/independent_decoder.ts";
import {
  independentReverse,
  PREDICTIONS,
  readingOf,
  type ReadOptions,
  VARIANCES,
} from "../support/independent_model.ts";
import { boundedTest, boundedTestAsync } from "../support/property.ts";

/** 8-bit levels in [−1, 1], made of a tensor drawn in [−4, 4]. */
function levelsOf(drawn: Tensor): Tensor {
  const level = (x: number) => Math.round((x + 4) / 8 * 255) / 127.5 - 1;
  return tensor(drawn.shape, Array.from(drawn.data, level));
}

/** Mean over each sample in bits, and the errors of that mean. */
function bitsOf(terms: readonly Term[], D: number): { bits: number[]; errors: number[] } {
  const bits: number[] = [], errors: number[] = [];
  for (let start = 0; start < terms.length; start += D) {
    const sample = terms.slice(start, start + D);
    const size = sample.reduce((sum, t) => sum + Math.abs(t.nats), 0);
    bits.push(sample.reduce((sum, t) => sum + t.nats, 0) / D * Math.LOG2E);
    errors.push((sample.reduce((sum, t) => sum + t.error, 0) + (D + 6) * U64 * size) / D * 1.45);
  }
  return { bits, errors };
}

const cdf = fc.constantFrom<Cdf>("erf", "tanh");
const FORMULA = "mean over D of the term's error (docs/numerics.md#bound-terms)";

boundedTest(
  "a term is the decoder's NLL in the first step, else the KL of posterior and model, in bits",
  FORMULA,
  300,
  fc.tuple(readingOf(batch(2)), cdf),
  ([drawn, phi], bound) => {
    const { process, t, D, steps, output, options, tensors: [data, xt] } = drawn;
    const schedule = createSchedule(process.config), x0 = levelsOf(data);
    const found = reference.vlbTerm(schedule, t, x0, xt, output, { ...options, cdf: phi });
    const { bits, errors } = bitsOf(
      independentTerms(drawn, x0, xt, output, { ...options, cdf: phi }),
      D,
    );
    steps.forEach((step, k) =>
      bound.check(found[k], bits[k], errors[k], step.first ? `decoder ${phi}` : "KL", k)
    );
    assertEquals(found.length, steps.length);
  },
);

boundedTest(
  "left to itself a term has Φ by tanh, Σ = β, ε prediction and clips to [−1, 1]",
  FORMULA,
  60,
  batch(3, hasSignal),
  (drawn, bound) => {
    const { process, t, D, tensors: [data, xt, output] } = drawn;
    const x0 = levelsOf(data), schedule = createSchedule(process.config);
    const { bits, errors } = bitsOf(
      independentTerms(drawn, x0, xt, output, {
        prediction: "epsilon",
        variance: "beta",
        clip: { kind: "static", range: 1 },
        cdf: "tanh",
      }),
      D,
    );
    bound.checkAll(reference.vlbTerm(schedule, t, x0, xt, output), bits, (k) => errors[k]);
  },
);

/** Drawn outputs that stay near the data, as gradients are for training. */
const training = fc.tuple(
  readingOf(batch(2)).map((drawn) => ({
    ...drawn,
    output: tensor(drawn.output.shape, drawn.output.data.map((x) => x / 4)),
    options: { ...drawn.options, clip: null } as ReadOptions,
  })),
  cdf,
);

/** ∂(Σ terms)/∂output by element of the output, with errors before the store. */
function gradientOf(terms: readonly Term[], D: number, learned: boolean) {
  const size = learned ? 2 * terms.length : terms.length;
  const value = new Array<number>(size).fill(0), error = new Array<number>(size).fill(0);
  terms.forEach((term, i) => {
    const at = learned ? Math.floor(i / D) * 2 * D + i % D : i;
    value[at] = term.dMean * term.meanSlope;
    error[at] = (term.dMeanError + Math.abs(term.dMean) * 16 * U64) * Math.abs(term.meanSlope);
    if (!learned) return;
    value[at + D] = term.dLogVariance * term.logVarianceSlope;
    error[at + D] = (term.dLogVarianceError + Math.abs(term.dLogVariance) * 16 * U64) *
        Math.abs(term.logVarianceSlope) +
      Math.abs(term.dLogVariance) * term.logVarianceSlopeError;
  });
  return { value, error };
}

boundedTest(
  "a term's gradient is its slopes by mean and log-variance times theirs by the output",
  "½ulp + the slopes' errors (docs/numerics.md#bound-terms)",
  300,
  training,
  ([drawn, phi], bound) => {
    const { process, t, D, output, options, tensors: [data, xt] } = drawn;
    const x0 = levelsOf(data), schedule = createSchedule(process.config);
    const learned = options.variance.startsWith("learned");
    const terms = independentTerms(drawn, x0, xt, output, { ...options, cdf: phi });
    const { value, error } = gradientOf(terms, D, learned);
    const scale = Math.LOG2E / D;
    const found = reference.vlbTermGradient(schedule, t, x0, xt, output, { ...options, cdf: phi });
    assertEquals(found.shape, output.shape);
    const rows = learned ? 2 * D : D;
    value.forEach((expected, i) => {
      const half = i % rows < D ? "mean" : "variance";
      const kind = drawn.steps[Math.floor(i / rows)].first ? "decoder" : "KL";
      bound.check(
        found.data[i],
        expected * scale,
        roundingBound(expected * scale) * 1.01 +
          (error[i] + 8 * process.n * U64 * Math.abs(expected)) * scale,
        `${kind} ${half}`,
        i,
      );
    });
  },
);

boundedTest(
  "L_T is the KL from q(x_T|x_0) to the standard normal, in bits",
  "n·u·(x² + 1) per element (docs/numerics.md#bound-terms)",
  150,
  fc.tuple(process, shape.chain((of) => tensorOf(of))),
  ([drawn, x0], bound) => {
    const last = drawn.steps[drawn.steps.length - 1], N = x0.shape[0], D = x0.data.length / N;
    const log = Math.log(last.oneMinusAlphaBar), signal = Math.sqrt(last.alphaBar);
    const found = reference.priorKl(createSchedule(drawn.config), x0);
    for (let k = 0; k < N; k++) {
      const sample = Array.from(x0.data.slice(k * D, (k + 1) * D));
      const nats = sample.reduce((sum, x) => sum + klByDefinition(signal * x, log, 0, 0), 0);
      const size = sample.reduce((sum, x) => sum + (signal * x) ** 2 + 2 + Math.abs(log), 0);
      bound.check(found[k], nats / D / Math.LN2, (drawn.n + D) * U64 * size / D * 1.45, "L_T", k);
    }
  },
);

boundedTest(
  "the hybrid loss adds λ bits of the bound, whose gradient reaches the variance half only",
  "½ulp + the parts' errors (docs/numerics.md#bound-terms)",
  200,
  fc.tuple(
    batch(3, hasSignal),
    fc.constantFrom("learned" as const, "learnedRange" as const, undefined),
    fc.option(positive(1e-3, 10), { nil: undefined }),
    fc.option(cdf, { nil: undefined }),
  ).chain(([drawn, variance, vlbScale, phi]) => {
    const [N, C, ...rest] = drawn.shape;
    return tensorOf([N, 2 * C, ...rest], 1)
      .map((output) => ({ drawn, variance, vlbScale, phi, output }));
  }),
  ({ drawn, variance, vlbScale, phi, output }, bound) => {
    const { process, t, D, steps, tensors: [data, xt, noise] } = drawn;
    const x0 = levelsOf(data), N = steps.length, schedule = createSchedule(process.config);
    // Any clip is ignored: training does not clip.
    const found = reference.lossHybrid(schedule, t, x0, xt, noise, output, {
      ...(variance && { variance }),
      ...(vlbScale !== undefined && { vlbScale }),
      ...(phi && { cdf: phi }),
      clip: { kind: "static", range: 0.1 },
    });
    const options: ReadOptions & { cdf: Cdf } = {
      prediction: "epsilon",
      variance: variance ?? "learnedRange",
      clip: null,
      cdf: phi ?? "tanh",
    };
    const lambda = vlbScale ?? process.steps.length / 1000;
    const terms = independentTerms(drawn, x0, xt, output, options);
    const { bits, errors } = bitsOf(terms, D);
    const errorAt = (i: number) => output.data[Math.floor(i / D) * 2 * D + i % D] - noise.data[i];
    const simple = steps.map((_, k) => {
      let sum = 0;
      for (let i = k * D; i < (k + 1) * D; i++) sum += errorAt(i) ** 2;
      return sum / D;
    });
    bound.checkAll(found.simple, simple, (k) => (D + 4) * U64 * simple[k], "simple");
    bound.checkAll(
      found.vlb,
      bits.map((b) => lambda * b),
      (k) => lambda * (errors[k] + 2 * U64 * Math.abs(bits[k])),
      "vlb",
    );
    const mean = steps.reduce((sum, _, k) => sum + simple[k] + lambda * bits[k], 0) / N;
    const meanError = steps.reduce(
      (sum, _, k) =>
        sum + lambda * errors[k] + (N + D + 8) * U64 * (simple[k] + lambda * Math.abs(bits[k])),
      0,
    ) / N;
    bound.check(found.mean, mean, meanError, "mean");
    const { value, error } = gradientOf(terms, D, true);
    const scale = lambda * Math.LOG2E / D / N;
    const gradient = value.map((slope, at) => {
      const row = at % (2 * D), i = Math.floor(at / (2 * D)) * D + row;
      return row < D ? 2 * errorAt(i) / (N * D) : slope * scale;
    });
    gradient.forEach((expected, at) => {
      const half = at % (2 * D) < D ? "mean half" : "variance half";
      // The variance half was stored once before it was scaled.
      const lost = half === "mean half"
        ? 0
        : (error[at] + 8 * process.n * U64 * Math.abs(value[at])) * scale;
      bound.check(
        found.gradient.data[at],
        expected,
        roundingBound(expected) * (half === "mean half" ? 1.01 : 2.01) + lost,
        half,
        at,
      );
    });
  },
);

/** One sample or two of data with a noise for each kept time, and a model linear in x_t. */
const whole: fc.Arbitrary<
  { drawn: DrawnProcess; x0: Tensor; noises: Tensor[]; options: ReadOptions; phi: Cdf }
> = fc
  .tuple(
    process.filter((p) => p.steps.length <= 12),
    fc.constantFrom([1, 2], [2, 1], [2, 1, 1, 2]),
  ).chain(([drawn, of]) =>
    fc.record({
      drawn: fc.constant(drawn),
      x0: tensorOf(of).map(levelsOf),
      noises: fc.array(tensorOf(of, 2), {
        minLength: drawn.steps.length,
        maxLength: drawn.steps.length,
      }),
      options: fc.record({
        prediction: fc.constantFrom(...PREDICTIONS),
        variance: fc.constantFrom(...VARIANCES),
        clip: fc.constantFrom<ReadOptions["clip"]>(null, { kind: "static", range: 1 }),
      }),
      phi: cdf,
    })
  ).filter(({ drawn, options }) =>
    options.prediction !== "epsilon" || drawn.steps.every(hasSignal)
  );

boundedTestAsync(
  "the whole bound is L_T and a term at every kept time from one draw of x_t each",
  "the terms' errors (docs/numerics.md#bound-terms)",
  60,
  whole,
  async ({ drawn, x0, noises, options, phi }, bound) => {
    const schedule = createSchedule(drawn.config);
    const N = x0.shape[0], D = sizeOf(x0.shape) / N, times = drawn.steps.map((s) => s.t);
    const seen: { t: number; xt: Tensor; output: Tensor }[] = [];
    const model = (xt: Tensor, t: number): Tensor => {
      const [, C, ...rest] = xt.shape, learned = options.variance.startsWith("learned");
      const value = tensor([N, learned ? 2 * C : C, ...rest]);
      value.data.forEach((_, i) => value.data[i] = Math.sin(i + t) / 2);
      seen.push({ t, xt, output: value });
      return value;
    };
    const noiseAt = (t: number) => noises[times.indexOf(t)];
    const found = await reference.variationalBound(schedule, model, x0, noiseAt, {
      ...options,
      cdf: phi,
    });
    assertEquals(found.timesteps, times.toReversed());
    assertEquals(seen.map((s) => s.t), times.toReversed());
    const total = Array.from(reference.priorKl(schedule, x0)), totalError = total.map(() => 0);
    assertEquals(Array.from(found.prior), total);
    seen.forEach(({ t, xt, output }, k) => {
      const step = drawn.steps[times.indexOf(t)], noise = noiseAt(t);
      const at: Pick<Batch, "process" | "D" | "steps" | "stepOf"> = {
        process: drawn,
        D,
        steps: new Array(N).fill(step),
        stepOf: () => step,
      };
      const signal = Math.sqrt(step.alphaBar), sigma = Math.sqrt(step.oneMinusAlphaBar);
      const n = drawn.n * U64;
      xt.data.forEach((x, i) => {
        const [a, b] = [signal * x0.data[i], sigma * noise.data[i]];
        bound.check(x, a + b, roundingBound(a + b) + n * (Math.abs(a) + Math.abs(b)), "x_t", i);
      });
      const { bits, errors } = bitsOf(
        independentTerms(at, x0, xt, output, { ...options, cdf: phi }),
        D,
      );
      bound.checkAll(found.terms[k], bits, (j) => errors[j], "term");
      bits.forEach((b, j) => {
        total[j] += b;
        totalError[j] += errors[j] + 16 * U64 * Math.abs(b);
      });
      const p = independentReverse(at, xt, output, options);
      for (let j = 0; j < N; j++) {
        let x0Mse = 0, x0Error = 0, epsilonMse = 0, epsilonError = 0;
        for (let i = j * D; i < (j + 1) * D; i++) {
          const off = p.x0[i] - x0.data[i], hat = (xt.data[i] - signal * p.x0[i]) / sigma;
          const hatError =
            (signal * p.x0Error[i] + n * (Math.abs(xt.data[i]) + signal * Math.abs(p.x0[i]))) /
            sigma;
          const apart = hat - noise.data[i];
          x0Mse += off ** 2 / D;
          x0Error += (2 * Math.abs(off) * p.x0Error[i] + p.x0Error[i] ** 2) / D +
            8 * U64 * off ** 2;
          epsilonMse += apart ** 2 / D;
          epsilonError += (2 * Math.abs(apart) * hatError + hatError ** 2) / D +
            8 * U64 * apart ** 2;
        }
        bound.check(found.x0Mse[k][j], x0Mse, x0Error, "x0Mse", t);
        bound.check(found.epsilonMse[k][j], epsilonMse, epsilonError, "epsilonMse", t);
      }
    });
    bound.checkAll(found.total, total, (j) => totalError[j] + 4 * U64 * total[j], "total");
  },
);

Deno.test("the bound's terms refuse what has no meaning, and an aborted bound stops", async () => {
  const schedule = createSchedule({ kind: "constant", T: 3, beta: 0.1 });
  const x = tensor([1, 1], [1]), two = tensor([1, 2], [1, 0]);
  assertThrows(
    () => reference.vlbTermGradient(schedule, 2, x, x, x),
    ArgumentError,
    "Expected clip to be null for a gradient",
  );
  assertThrows(
    () => reference.lossHybrid(schedule, 2, x, x, x, x, { variance: "beta" }),
    ArgumentError,
    "Expected variance learned or learnedRange",
  );
  assertThrows(
    () => reference.lossHybrid(schedule, 2, x, x, x, two, { prediction: "v" }),
    ArgumentError,
    "Expected prediction epsilon for the hybrid loss",
  );
  assertThrows(() => reference.vlbTerm(schedule, 2, x, two, x), ArgumentError, "Expected xt of");
  const stop = new AbortController(), times: number[] = [];
  const model = (xt: Tensor, t: number) => {
    times.push(t);
    if (t === 2) stop.abort(new Error("enough"));
    return xt;
  };
  const { signal } = stop;
  await assertRejects(
    () => reference.variationalBound(schedule, model, x, () => x, { signal }),
    Error,
    "enough",
  );
  assertEquals(times, [3, 2]);
});
