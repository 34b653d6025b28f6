import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ArgumentError } from "../../src/math/errors.ts";
import { roundingBound, U64 } from "../../src/math/float32.ts";
import { type Tensor, tensor } from "../../src/math/tensor.ts";
import * as reference from "../../src/reference/loss.ts";
import { createSchedule } from "../../src/reference/schedule.ts";
import { batch, positive, process, real, shape, tensorOf } from "../support/arbitraries.ts";
import type { Bound } from "../support/bound.ts";
import type { IndependentStep } from "../support/independent_process.ts";
import { boundedTest } from "../support/property.ts";

/** Checks a loss against Σ w(ε̂ − ε)², w by element with relative error `n`. */
function checkLoss(
  found: reference.Loss,
  epsilon: Tensor,
  epsilonHat: Tensor,
  weight: (i: number) => number,
  n: number,
  bound: Bound,
): void {
  const size = epsilon.data.length;
  const square = (i: number, shift: number) =>
    weight(i) * (epsilonHat.data[i] + shift - epsilon.data[i]) ** 2;
  const sum = Array.from(epsilon.data, (_, i) => square(i, 0)).reduce((a, b) => a + b, 0);
  bound.check(found.sum, sum, (n + size + 4) * U64 * sum, "sum");
  bound.check(found.mean * size, sum, (n + size + 5) * U64 * sum, "mean");
  assertEquals(found.gradient.shape, epsilonHat.shape);
  // The mean is quadratic in ε̂: half its central difference over 1 is its slope.
  const gradient = Array.from(epsilon.data, (_, i) => (square(i, 1) - square(i, -1)) / 2 / size);
  bound.checkAll(found.gradient.data, gradient, (i) => {
    const rounding = (square(i, 1) + square(i, -1)) / size;
    return roundingBound(gradient[i]) * 1.01 + (n + 8) * U64 * rounding;
  }, "gradient");
}

const FORMULA = "½ulp, (n + D)·u·Σ squares (docs/numerics.md#losses)";

boundedTest(
  "L_simple is the squared error, its mean and the mean's slope",
  FORMULA,
  150,
  // Off any grid, so that squares round.
  shape.chain((of) => fc.tuple(tensorOf(of, Math.PI), tensorOf(of, Math.E))),
  ([epsilon, hat], bound) =>
    checkLoss(reference.lossSimple(epsilon, hat), epsilon, hat, () => 1, 0, bound),
);

const snr = (step: IndependentStep) => 1 / Math.expm1(-step.logAlphaBar);
/** β²/(2σ²α(1−ᾱ)). */
const vlb = (step: IndependentStep, sigma2: number) =>
  step.beta * step.beta / step.alpha / step.oneMinusAlphaBar / sigma2 / 2;

boundedTest(
  "the weights over time are their formulas, with the papers' defaults",
  "2n·u relative, times 1 + γ for P2 (docs/numerics.md#losses)",
  200,
  fc.tuple(process, positive(1e-4, 10), positive(0.1, 20), positive(0.1, 3), real(0, 2)),
  ([drawn, sigma2, gamma, k, power], bound) => {
    const schedule = createSchedule(drawn.config);
    for (const step of drawn.steps) {
      const { t } = step;
      const check = (
        what: string,
        found: number,
        weighting: reference.Weighting,
        expected: number,
      ) => {
        const error = 2 * (1 + power) * drawn.n * U64 * expected;
        bound.check(found, expected, error, what, t);
        bound.check(reference.weightAt(schedule, t, weighting), expected, error, `${what} at`, t);
      };
      for (
        const [variance, value] of [["beta", step.beta], [
          "betaTilde",
          step.posteriorVariance,
        ]] as const
      ) {
        const found = reference.vlbWeight(schedule, t, variance);
        // β̃ of the first step is 0: there the bound has the decoder term instead.
        if (step.alpha > 0 && value > 0) {
          check(`vlb ${variance}`, found, { kind: "vlb", variance }, vlb(step, value));
        } else assertEquals(found, Infinity);
      }
      if (step.alpha > 0) {
        const variance = { sigma2 };
        const found = reference.vlbWeight(schedule, t, variance);
        check("vlb sigma2", found, { kind: "vlb", variance }, vlb(step, sigma2));
      }
      const capped = (limit: number) => snr(step) === 0 ? 1 : Math.min(1, limit / snr(step));
      check(
        "min-SNR",
        reference.minSnrWeight(schedule, t, gamma),
        { kind: "minSnr", gamma },
        capped(gamma),
      );
      check("min-SNR 5", reference.minSnrWeight(schedule, t), { kind: "minSnr" }, capped(5));
      check(
        "P2",
        reference.p2Weight(schedule, t, k, power),
        { kind: "p2", k, gamma: power },
        Math.exp(-power * Math.log(k + snr(step))),
      );
      // k = γ = 1: 1/(1 + SNR) = 1 − ᾱ.
      check("P2 1 1", reference.p2Weight(schedule, t), { kind: "p2" }, step.oneMinusAlphaBar);
      assertEquals(reference.weightAt(schedule, t, { kind: "none" }), 1);
    }
  },
);

boundedTest(
  "the weighted loss weights each sample by its own time",
  FORMULA,
  200,
  fc.tuple(
    batch(2, (step) => !step.first && step.alpha > 0),
    fc.constantFrom<reference.Weighting>(
      { kind: "none" },
      { kind: "vlb", variance: "beta" },
      { kind: "vlb", variance: "betaTilde" },
      { kind: "vlb", variance: { sigma2: 0.5 } },
      { kind: "minSnr", gamma: 2 },
      { kind: "minSnr" },
      { kind: "p2", k: 2, gamma: 0.5 },
      { kind: "p2" },
    ),
  ),
  ([{ process, t, stepOf, tensors: [epsilon, hat] }, weighting], bound) => {
    const weight = (i: number) => {
      const step = stepOf(i);
      switch (weighting.kind) {
        case "none":
          return 1;
        case "vlb":
          if (weighting.variance === "beta") return vlb(step, step.beta);
          if (weighting.variance === "betaTilde") return vlb(step, step.posteriorVariance);
          return vlb(step, weighting.variance.sigma2);
        case "minSnr":
          return Math.min(1, (weighting.gamma ?? 5) / snr(step));
        case "p2":
          return ((weighting.k ?? 1) + snr(step)) ** -(weighting.gamma ?? 1);
      }
    };
    const schedule = createSchedule(process.config);
    const found = reference.lossWeighted(schedule, t, epsilon, hat, weighting);
    checkLoss(found, epsilon, hat, weight, 2 * process.n, bound);
  },
);

Deno.test("losses refuse other shapes, unknown kinds and infinite weights", () => {
  const schedule = createSchedule({ kind: "constant", T: 3, beta: 0.1 });
  const x = tensor([1, 2], [1, 2]), y = tensor([2, 1], [1, 2]), none = tensor([0, 2]);
  assertThrows(() => reference.lossSimple(x, y), ArgumentError, "Expected epsilonHat of shape");
  assertThrows(() => reference.lossSimple(none, none), ArgumentError, "at least one element");
  const weighted = (t: number, weighting: unknown) => () =>
    reference.lossWeighted(schedule, t, x, x, weighting as reference.Weighting);
  const tilde = { kind: "vlb", variance: "betaTilde" };
  assertThrows(weighted(1, tilde), ArgumentError, "a finite loss weight at t = 1");
  assertThrows(weighted(1, { kind: "snr" }), ArgumentError, "none, vlb, minSnr or p2");
  assertThrows(weighted(1, { kind: "minSnr", gamma: 0 }), ArgumentError, "gamma above 0");
  assertThrows(weighted(1, { kind: "p2", k: 0 }), ArgumentError, "p2K above 0");
  assertThrows(weighted(1, { kind: "p2", gamma: -1 }), ArgumentError, "p2Gamma of at least 0");
  const sigma2 = { kind: "vlb", variance: { sigma2: 0 } };
  assertThrows(weighted(1, sigma2), ArgumentError, "sigma2 above 0");
  assertThrows(
    weighted(1, { kind: "vlb", variance: "small" }),
    ArgumentError,
    "beta, betaTilde or",
  );
  assertThrows(weighted(4, { kind: "none" }), ArgumentError, "Expected t in 1..3 but got 4");
});
