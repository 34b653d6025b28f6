import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ArgumentError } from "../../src/math/errors.ts";
import { roundingBound, U32, U64 } from "../../src/math/float32.ts";
import { sizeOf, type Tensor, tensor } from "../../src/math/tensor.ts";
import * as reference from "../../src/reference/reverse.ts";
import { createSchedule } from "../../src/reference/schedule.ts";
import { stepAt } from "../../src/reference/step.ts";
import { batch, hasSignal, process, real, shape, tensorOf } from "../support/arbitraries.ts";
import {
  independentLogVariance,
  independentReverse,
  PREDICTIONS,
  readingOf,
  VARIANCES,
} from "../support/independent_model.ts";
import { boundedTest, forAll } from "../support/property.ts";

const STORE = "½ulp + n·u·Σ|terms|, through the clip (docs/numerics.md#reverse)";

boundedTest(
  "pMeanVariance reads every prediction, variance and clip as its definition says",
  STORE,
  400,
  readingOf(batch(1)),
  (drawn, bound) => {
    const { process, shape, t, output, options, tensors: [xt] } = drawn;
    const schedule = createSchedule(process.config);
    const p = reference.pMeanVariance(schedule, t, xt, output, options);
    const exact = independentReverse(drawn, xt, output, options);
    const stored = (values: number[], error: (i: number) => number) => (i: number) =>
      roundingBound(values[i]) * (1 + U32) + error(i);
    assertEquals([p.mean.shape, p.variance.shape, p.x0.shape], [shape, shape, shape]);
    bound.checkAll(p.mean.data, exact.mean, stored(exact.mean, (i) => exact.meanError[i]), "mean");
    bound.checkAll(p.x0.data, exact.x0, stored(exact.x0, (i) => exact.x0Error[i]), "x0");
    bound.checkAll(
      p.variance.data,
      exact.variance,
      stored(exact.variance, (i) => exact.varianceError[i] * exact.variance[i]),
      "variance",
    );
    bound.checkAll(
      p.logVariance.data,
      exact.logVariance,
      stored(exact.logVariance, (i) => exact.logVarianceError[i]),
      "logVariance",
    );
  },
);

boundedTest(
  "reverseDoubles and predictedX0 are the same before they are stored",
  "n·u·Σ|terms|, through the clip (docs/numerics.md#reverse)",
  200,
  readingOf(batch(1)),
  (drawn, bound) => {
    const { process, t, output, options, shape, tensors: [xt] } = drawn;
    const schedule = createSchedule(process.config);
    const p = reference.reverseDoubles(schedule, t, xt, output, options);
    const exact = independentReverse(drawn, xt, output, options);
    bound.checkAll(p.mean, exact.mean, (i) => exact.meanError[i], "mean");
    bound.checkAll(p.x0, exact.x0, (i) => exact.x0Error[i], "x0");
    bound.checkAll(
      p.variance,
      exact.variance,
      (i) => exact.varianceError[i] * exact.variance[i],
      "variance",
    );
    bound.checkAll(p.logVariance, exact.logVariance, (i) => exact.logVarianceError[i], "ln Σ");
    const half = reference.splitOutput(output, shape, options.variance);
    const x0 = reference.predictedX0(
      schedule,
      t,
      xt,
      half.mean,
      options.prediction,
      options.clip,
    );
    bound.checkAll(x0, exact.x0, (i) => exact.x0Error[i], "predictedX0");
  },
);

boundedTest(
  "left to itself, an output is ε with variance β and x̂_0 in [−1, 1]",
  STORE,
  60,
  batch(2, hasSignal),
  (drawn, bound) => {
    const { process, t, tensors: [xt, output] } = drawn;
    const p = reference.pMeanVariance(createSchedule(process.config), t, xt, output);
    const exact = independentReverse(drawn, xt, output, {
      prediction: "epsilon",
      variance: "beta",
      clip: { kind: "static", range: 1 },
    });
    bound.checkAll(
      p.mean.data,
      exact.mean,
      (i) => roundingBound(exact.mean[i]) + exact.meanError[i],
      "mean",
    );
    bound.checkAll(
      p.variance.data,
      exact.variance,
      (i) => (U32 + exact.varianceError[i]) * exact.variance[i],
      "variance",
    );
    assertEquals(reference.checkReverseOptions({}), {
      prediction: "epsilon",
      variance: "beta",
      clip: { kind: "static", range: 1 },
    });
  },
);

boundedTest(
  "ln Σ is ln β, ln β̃, the output, or the output's share of the way between them",
  "(n + 2|ln σ²|)·u, for a range the sum of both times 1+|v| (docs/numerics.md#reverse)",
  200,
  fc.tuple(process, real(-2, 2)),
  ([drawn, raw], bound) => {
    const schedule = createSchedule(drawn.config);
    for (const exact of drawn.steps) {
      const step = stepAt(schedule, exact.t);
      const check = (what: string, found: number, kind: typeof VARIANCES[number]) => {
        const { value, error } = independentLogVariance(kind, exact, raw, drawn.n);
        bound.check(found, value, error, what, exact.t);
      };
      check("large", reference.fixedLargeLogVariance(step), "beta");
      check("range", reference.learnedRangeLogVariance(step, raw), "learnedRange");
      for (const kind of VARIANCES) check(kind, reference.logVarianceOf(kind, step, raw), kind);
    }
  },
);

Deno.test("an output of 2C channels is split into its mean and its variance channels", () => {
  const pair = shape.chain((of) => fc.tuple(tensorOf(of), tensorOf(of)));
  forAll(pair, 100, ([mean, variance]) => {
    const [N, C, ...rest] = mean.shape, D = sizeOf(mean.shape) / N;
    const joined: number[] = [];
    for (let n = 0; n < N; n++) {
      for (const half of [mean, variance]) joined.push(...half.data.slice(n * D, (n + 1) * D));
    }
    const output = tensor([N, 2 * C, ...rest], joined);
    for (const kind of ["learned", "learnedRange"] as const) {
      const split = reference.splitOutput(output, mean.shape, kind);
      assertEquals([split.mean, split.variance], [mean, variance]);
    }
    const fixed = reference.splitOutput(mean, mean.shape, "beta");
    assertEquals([fixed.mean, fixed.variance], [mean, null]);
    assertThrows(() => reference.splitOutput(mean, mean.shape, "learned"), ArgumentError);
    assertThrows(() => reference.splitOutput(output, mean.shape, "betaTilde"), ArgumentError);
  });
});

Deno.test("options of an unknown kind are errors that list the known ones", () => {
  const check = (options: unknown) => () =>
    reference.checkReverseOptions(options as reference.ReverseOptions);
  assertThrows(check({ prediction: "noise" }), ArgumentError, "epsilon, x0, v or previousX");
  assertThrows(check({ variance: "small" }), ArgumentError, "beta, betaTilde, learned or");
  assertThrows(check({ clip: true }), ArgumentError, "clip to be null, static or dynamic");
  for (const prediction of PREDICTIONS) {
    for (const variance of VARIANCES) {
      const options = { prediction, variance, clip: null };
      assertEquals(reference.checkReverseOptions(options), options);
    }
  }
});

/** Values of a float32 tensor of one sample. */
const one = (x: number, channels = 1): Tensor => tensor([1, channels], new Array(channels).fill(x));

boundedTest(
  "10. Point mass at c with Σ = β̃ and x_T ~ q(x_T|c): every marginal equals q(x_t|c)'s",
  "½ulp of the extracted coefficients, carried down (docs/numerics.md#marginals)",
  150,
  fc.tuple(process, real(-1, 1)),
  ([drawn, c], bound) => {
    const schedule = createSchedule(drawn.config);
    const options: reference.ReverseOptions = {
      prediction: "x0",
      variance: "betaTilde",
      clip: null,
    };
    const last = drawn.steps[drawn.steps.length - 1];
    let mean = Math.sqrt(last.alphaBar) * c, variance = last.oneMinusAlphaBar;
    let meanError = 0, varianceError = 0;
    for (const { t, before } of drawn.steps.toReversed()) {
      // The optimal model knows c, so μ_θ = a·c + b·x_t: extract a, b and Σ.
      const atC = reference.pMeanVariance(schedule, t, one(0), one(1), options);
      const atX = reference.pMeanVariance(schedule, t, one(1), one(0), options);
      const a = atC.mean.data[0], b = atX.mean.data[0], sigma2 = atX.variance.data[0];
      // Each was rounded once.
      const u = U32 + drawn.n * U64;
      meanError = b * meanError + u * (Math.abs(a * c) + Math.abs(b * mean));
      varianceError = b * b * varianceError + u * (2 * b * b * variance + sigma2);
      mean = a * c + b * mean;
      variance = b * b * variance + sigma2;
      bound.check(mean, Math.sqrt(before.alphaBar) * c, meanError, "mean", t);
      bound.check(variance, before.oneMinusAlphaBar, varianceError, "variance", t);
    }
  },
);
