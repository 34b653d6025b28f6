import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ArgumentError } from "../../src/math/errors.ts";
import { referenceBound, roundingBound, U32, U64 } from "../../src/math/float32.ts";
import { tensor } from "../../src/math/tensor.ts";
import { ddimDirection, ddimEncodeStep, ddimSigma, ddimStep } from "../../src/reference/ddim.ts";
import { ddpmStep } from "../../src/reference/ddpm.ts";
import { createSchedule } from "../../src/reference/schedule.ts";
import { noiseLevelAt } from "../../src/reference/step.ts";
import {
  type Batch,
  batch,
  type DrawnProcess,
  hasSignal,
  process,
  real,
} from "../support/arbitraries.ts";
import {
  type Clip,
  independentReverse,
  type Quantity,
  readingOf,
  solveX0,
} from "../support/independent_model.ts";
import type { IndependentStep, Level } from "../support/independent_process.ts";
import { boundedTest } from "../support/property.ts";

/** A DDIM step's coefficients from time t to a level, with what the reference may lose in them. */
interface DdimCoefficients {
  readonly signal: number;
  readonly direction: number;
  readonly directionError: number;
  readonly sigma: number;
  readonly sigmaError: number;
}

/**
 * σ² = η²(1−ᾱ_prev)/(1−ᾱ_t)·added and 1−ᾱ_prev−σ² as a sum of positive terms,
 * (1−ᾱ_prev)((1−η²)·added + ᾱ_t(1−ᾱ_prev)/ᾱ_prev)/(1−ᾱ_t), added = 1−ᾱ_t/ᾱ_prev.
 */
function coefficients(
  drawn: DrawnProcess,
  step: IndependentStep,
  previous: Level,
  logPrevious: number,
  eta: number,
): DdimCoefficients {
  const added = -Math.expm1(step.logAlphaBar - logPrevious);
  const share = previous.oneMinusAlphaBar / step.oneMinusAlphaBar;
  const sigma2 = eta ** 2 * share * added;
  const rest = share *
    ((1 - eta ** 2) * added + step.alphaBar * previous.oneMinusAlphaBar / previous.alphaBar);
  // The reference subtracts noise shares, or a quotient from 1, each known to n·u relative.
  const subtracted = Math.min(step.oneMinusAlphaBar / previous.alphaBar, 1);
  const addedError = drawn.n * U64 * (subtracted + added);
  const direction = Math.sqrt(rest);
  // 1 − η² is a rounding off, which the root stretches near η = 1.
  const squareError = drawn.n * U64 * rest + 2 * U64 * eta * (1 - eta) * previous.oneMinusAlphaBar;
  return {
    signal: Math.sqrt(previous.alphaBar),
    direction,
    directionError: direction === 0 ? 0 : squareError / direction,
    sigma: Math.sqrt(sigma2),
    sigmaError: eta * Math.sqrt(share) * addedError / Math.sqrt(added),
  };
}

/** x̂_0 and ε̂ of a batch as DDIM reads them. */
function read(
  drawn: Batch,
  output: { readonly data: Float32Array; readonly shape: readonly number[] },
  prediction: "epsilon" | "x0" | "v",
  clip: Clip,
  rederive: boolean,
) {
  const { process, stepOf, tensors: [xt] } = drawn;
  const n = process.n * U64;
  const p = independentReverse(drawn, xt, output as typeof xt, {
    prediction,
    variance: "beta",
    clip,
  });
  const epsilon = Array.from(xt.data, (x, i) => {
    const step = stepOf(i), signal = Math.sqrt(step.alphaBar);
    const sigma = Math.sqrt(step.oneMinusAlphaBar);
    if (!rederive && prediction === "epsilon") return { value: output.data[i], error: 0 };
    const solved = solveX0(prediction, step, x, output.data[i]);
    const x0 = rederive ? p.x0[i] : solved.x0;
    const x0Error = rederive ? p.x0Error[i] : n * solved.size;
    return {
      value: (x - signal * x0) / sigma,
      error: (signal * x0Error + n * (Math.abs(x) + signal * Math.abs(x0))) / sigma,
    };
  });
  return { x0: p.x0, x0Error: p.x0Error, epsilon };
}

const PREDICTIONS = ["epsilon", "x0", "v"] as const;
const FORMULA = "½ulp + n·u·Σ|terms| + the coefficients' cancellation (docs/numerics.md#ddim)";

/** A batch, for each sample a place (kept time or 0) where the step ends, and the options. */
const ddim = fc.tuple(
  readingOf(batch(2)).filter(({ options, output, shape }) =>
    options.prediction !== "previousX" && output.shape[1] === shape[1]
  ),
  fc.array(fc.oneof(fc.constant(0), real(0, 1)), { minLength: 3, maxLength: 3 }),
  fc.record({
    eta: fc.oneof(fc.constantFrom(0, 1), real(0, 1)),
    rederive: fc.boolean(),
    final: fc.oneof(fc.constant(1), real(0.1, 0.9)),
  }),
);

boundedTest(
  "a DDIM step to any earlier kept time or 0 is √ᾱ_prev·x̂_0 + √(1−ᾱ_prev−σ²)·ε̂ + σ·z",
  FORMULA,
  500,
  ddim,
  ([drawn, ends, { eta, rederive, final }], bound) => {
    const { process, shape, t, D, steps, output, options, tensors: [xt, z] } = drawn;
    const prediction = options.prediction as typeof PREDICTIONS[number];
    // Time 0 may be given an ᾱ below 1, above all the others.
    const finalAlphaBar = final === 1
      ? 1
      : process.steps[0].alphaBar + (1 - process.steps[0].alphaBar) * final;
    const previous = steps.map((step, k) => {
      const earlier = process.steps.filter((s) => s.t < step.t);
      const pick = Math.floor(ends[k] * (earlier.length + 1)) - 1;
      return pick < 0 || pick >= earlier.length ? null : earlier[pick];
    });
    const tPrev = previous.map((s) => s?.t ?? 0);
    const found = ddimStep(
      createSchedule(process.config),
      t,
      tPrev.every((p) => p === tPrev[0]) ? tPrev[0] : tPrev,
      xt,
      output,
      z,
      { prediction, clip: options.clip, eta, rederiveEpsilon: rederive, finalAlphaBar },
    );
    assertEquals(found.x.shape, shape);
    const { x0, x0Error, epsilon } = read(drawn, output, prediction, options.clip, rederive);
    const each = steps.map((step, k) => {
      const end = previous[k];
      return end === null
        ? coefficients(
          process,
          step,
          { alphaBar: finalAlphaBar, oneMinusAlphaBar: 1 - finalAlphaBar },
          Math.log(finalAlphaBar),
          eta,
        )
        : coefficients(process, step, end, end.logAlphaBar, eta);
    });
    const parts = x0.map((x, i) => {
      const c = each[Math.floor(i / D)];
      return [c.signal * x, c.direction * epsilon[i].value, c.sigma * z.data[i]];
    });
    const x = parts.map((terms) => terms.reduce((sum, term) => sum + term, 0));
    bound.checkAll(found.x.data, x, (i) => {
      const c = each[Math.floor(i / D)];
      return referenceBound(x[i], process.n, parts[i].reduce((sum, p) => sum + Math.abs(p), 0)) *
          (1 + U32) +
        c.signal * x0Error[i] + c.direction * epsilon[i].error +
        c.directionError * Math.abs(epsilon[i].value) + c.sigmaError * Math.abs(z.data[i]);
    }, "x");
    bound.checkAll(found.x0.data, x0, (i) => roundingBound(x0[i]) * (1 + U32) + x0Error[i], "x0");
  },
);

boundedTest(
  "ddimSigma and ddimDirection share 1−ᾱ_prev between noise and direction",
  "n·u·(share + added)/√added and n·u·direction (docs/numerics.md#ddim)",
  200,
  fc.tuple(process.filter((p) => p.steps.length > 1), real(0, 1), real(0, 1)),
  ([drawn, eta, place], bound) => {
    const schedule = createSchedule(drawn.config);
    const k = 1 + Math.floor(place * (drawn.steps.length - 1.001));
    const step = drawn.steps[k], end = drawn.steps[k - 1];
    const exact = coefficients(drawn, step, end, end.logAlphaBar, eta);
    const level = noiseLevelAt(schedule, step.t), previous = noiseLevelAt(schedule, end.t);
    const sigma = ddimSigma(eta, level, previous);
    bound.check(sigma, exact.sigma, exact.sigmaError, "σ");
    const direction = ddimDirection(eta, level, previous);
    bound.check(direction, exact.direction, exact.directionError, "direction");
    assertThrows(() => ddimSigma(1, previous, level), ArgumentError, "Expected an ᾱ of at least");
    // σ² beyond 1−ᾱ_prev leaves no direction.
    assertThrows(() => ddimDirection(1e4, level, previous), ArgumentError, "Expected eta with");
  },
);

boundedTest(
  "left to itself a DDIM step reads ε, clips to [−1, 1], re-derives ε and has η = 0 and ᾱ_0 = 1",
  FORMULA,
  80,
  batch(3, (step) => hasSignal(step)),
  (drawn, bound) => {
    const { process, t, steps, stepOf, tensors: [xt, output, z] } = drawn;
    const schedule = createSchedule(process.config);
    const { x0, x0Error, epsilon } = read(
      drawn,
      output,
      "epsilon",
      { kind: "static", range: 1 },
      true,
    );
    const found = ddimStep(schedule, t, steps.map((s) => s.previous), xt, output, z);
    const x = x0.map((value, i) =>
      Math.sqrt(stepOf(i).before.alphaBar) * value +
      Math.sqrt(stepOf(i).before.oneMinusAlphaBar) * epsilon[i].value
    );
    const error = (i: number) =>
      x0Error[i] + epsilon[i].error +
      process.n * U64 * (Math.abs(x0[i]) + Math.abs(epsilon[i].value));
    bound.checkAll(found.x.data, x, (i) => roundingBound(x[i]) * (1 + U32) + error(i), "x");
    // At η = 0 the direction is the whole noise share: nothing cancels. Encoding goes the other way.
    const next = steps.map((s) => process.steps.find(({ t }) => t > s.t) ?? null);
    const encoded = ddimEncodeStep(
      schedule,
      t,
      next.map((s) => s?.t ?? process.T + 1),
      xt,
      output,
    );
    const y = x0.map((value, i) => {
      const level = next[Math.floor(i / drawn.D)] ?? { alphaBar: 0, oneMinusAlphaBar: 1 };
      return Math.sqrt(level.alphaBar) * value +
        Math.sqrt(level.oneMinusAlphaBar) * epsilon[i].value;
    });
    bound.checkAll(encoded.data, y, (i) => roundingBound(y[i]) * (1 + U32) + error(i), "encoded");
  },
);

boundedTest(
  "an encoding step is √ᾱ_next·x̂_0 + √(1−ᾱ_next)·ε̂ under every prediction, clip and ε̂",
  FORMULA,
  200,
  ddim,
  ([drawn, ends, { rederive }], bound) => {
    const { process, t, D, steps, output, options, tensors: [xt] } = drawn;
    const prediction = options.prediction as typeof PREDICTIONS[number];
    const next = steps.map((step, k): { t: number } & Level => {
      const later = process.steps.filter((s) => s.t > step.t);
      return later[Math.floor(ends[k] * (later.length + 1))] ??
        { t: process.T + 1, alphaBar: 0, oneMinusAlphaBar: 1 };
    });
    const found = ddimEncodeStep(
      createSchedule(process.config),
      t,
      next.map((s) => s.t),
      xt,
      output,
      { prediction, clip: options.clip, rederiveEpsilon: rederive },
    );
    const { x0, x0Error, epsilon } = read(drawn, output, prediction, options.clip, rederive);
    const parts = x0.map((x, i) => {
      const level = next[Math.floor(i / D)];
      return [
        Math.sqrt(level.alphaBar) * x,
        Math.sqrt(level.oneMinusAlphaBar) * epsilon[i].value,
      ];
    });
    bound.checkAll(found.data, parts.map(([a, b]) => a + b), (i) => {
      const [a, b] = parts[i], level = next[Math.floor(i / D)];
      return referenceBound(a + b, process.n, Math.abs(a) + Math.abs(b)) * (1 + U32) +
        Math.sqrt(level.alphaBar) * x0Error[i] + epsilon[i].error;
    });
  },
);

boundedTest(
  "5. DDIM with η = 1, adjacent kept times and ε re-derived equals the DDPM step with β̃ " +
    "pointwise, t = 1 included; η = 0 ignores z; encode then decode inverts for a constant ε",
  FORMULA,
  200,
  readingOf(batch(3)).filter(({ options, output, shape }) =>
    options.prediction !== "previousX" && output.shape[1] === shape[1]
  ),
  (drawn, bound) => {
    const { process, t, steps, stepOf, output, options, tensors: [xt, z, other] } = drawn;
    const { clip } = options, prediction = options.prediction as typeof PREDICTIONS[number];
    const schedule = createSchedule(process.config);
    const tPrev = steps.map((s) => s.previous);
    // The posterior of x_{t−1} at x̂_0, by the product of Gaussians.
    const p = independentReverse(drawn, xt, output, { prediction, clip, variance: "betaTilde" });
    const x = p.mean.map((mean, i) => mean + Math.sqrt(p.variance[i]) * z.data[i]);
    const read1 = read(drawn, output, prediction, clip, true);
    const one = ddimStep(schedule, t, tPrev, xt, output, z, { prediction, clip, eta: 1 });
    bound.checkAll(one.x.data, x, (i) => {
      const step = stepOf(i), end = process.steps.find(({ t }) => t === step.previous);
      const c = coefficients(process, step, step.before, end?.logAlphaBar ?? 0, 1);
      return referenceBound(x[i], process.n, Math.abs(c.signal * p.x0[i]) + Math.abs(x[i])) *
          (1 + U32) +
        c.signal * p.x0Error[i] + c.direction * read1.epsilon[i].error +
        (c.directionError + process.n * U64 * c.direction) * Math.abs(read1.epsilon[i].value) +
        (c.sigmaError + process.n * U64 * c.sigma) * Math.abs(z.data[i]);
    }, "DDIM");
    const ddpm = ddpmStep(schedule, t, xt, output, z, { prediction, clip, variance: "betaTilde" });
    bound.checkAll(
      ddpm.x.data,
      x,
      (i) =>
        roundingBound(x[i]) * (1 + U32) + p.meanError[i] +
        (process.n + 8) * (2 + Math.abs(p.logVariance[i])) * U64 *
          Math.abs(Math.sqrt(p.variance[i]) * z.data[i]),
      "DDPM",
    );
    const still = { prediction, clip, eta: 0 };
    assertEquals(
      ddimStep(schedule, t, tPrev, xt, output, z, still).x.data,
      ddimStep(schedule, t, tPrev, xt, output, other, still).x.data,
    );
    // From the earlier time up to t and back, ε held fixed.
    const up = process.steps.filter((s) => s.first ? false : hasSignal(s));
    if (up.length === 0) return;
    const step = up[up.length - 1], constant = { clip: null, eta: 0 };
    const high = ddimEncodeStep(schedule, step.previous, step.t, xt, other, constant);
    const back = ddimStep(schedule, step.t, step.previous, high, other, z, constant);
    bound.checkAll(back.x.data, xt.data, (i) => {
      const { before } = step, n = process.n * U64;
      const x = Math.abs(xt.data[i]), e = Math.abs(other.data[i]);
      const size = (x + Math.sqrt(before.oneMinusAlphaBar) * e) / Math.sqrt(before.alphaBar);
      const stretch = Math.sqrt(before.alphaBar / step.alphaBar);
      const highSize = Math.sqrt(step.alphaBar) * size + e;
      return stretch * (U32 * Math.abs(high.data[i]) + 4 * n * highSize) + U32 * x +
        4 * n * (x + e);
    }, "encode then decode");
  },
);

Deno.test("DDIM refuses what has no ε, an end that is not earlier, and options out of range", () => {
  const schedule = createSchedule({ kind: "constant", T: 3, beta: 0.1 });
  const x = tensor([1, 1], [1]);
  const step = (tPrev: number, options: Record<string, unknown>) => () =>
    ddimStep(schedule, 2, tPrev, x, x, x, options);
  const quantity: Quantity = "previousX";
  assertThrows(step(1, { prediction: quantity }), ArgumentError, "epsilon, x0 or v for DDIM");
  assertThrows(step(2, {}), ArgumentError, "Expected tPrev below t = 2 but got 2");
  assertThrows(step(1, { eta: -1 }), ArgumentError, "eta of at least 0");
  assertThrows(step(0, { finalAlphaBar: 0 }), ArgumentError, "finalAlphaBar in (0, 1]");
  assertThrows(step(0, { finalAlphaBar: 1.5 }), ArgumentError, "finalAlphaBar in (0, 1]");
  assertThrows(
    () => ddimEncodeStep(schedule, 2, 2, x, x),
    ArgumentError,
    "Expected tNext above t = 2 but got 2",
  );
});
