import { assertEquals, assertThrows } from "@std/assert";
import { ArgumentError } from "../../src/math/errors.ts";
import { referenceBound, U64 } from "../../src/math/float32.ts";
import * as reference from "../../src/reference/parameterisation.ts";
import { posteriorMean } from "../../src/reference/posterior.ts";
import { pMeanVariance } from "../../src/reference/reverse.ts";
import { createSchedule } from "../../src/reference/schedule.ts";
import { stepAt } from "../../src/reference/step.ts";
import { batch, hasSignal, process } from "../support/arbitraries.ts";
import { affine, QUANTITIES, type Quantity, solveX0 } from "../support/independent_model.ts";
import type { IndependentStep } from "../support/independent_process.ts";
import { boundedTest, forAll } from "../support/property.ts";

/** A conversion by the affine forms: the value, the magnitude of its terms and its slope. */
function convertExactly(
  from: Quantity,
  to: Quantity,
  step: IndependentStep,
  xt: number,
  value: number,
): { value: number; size: number; slope: number } {
  const { x0, size } = solveX0(from, step, xt, value);
  const form = affine(to, step);
  if (from === to) return { value, size: 0, slope: 1 };
  return {
    value: form.x0 * x0 + form.xt * xt,
    size: Math.abs(form.x0) * size + Math.abs(form.xt * xt),
    slope: Math.abs(form.x0 / affine(from, step).x0),
  };
}

boundedTest(
  "every conversion is affine in the value and x_t, with the coefficients of its definition",
  "½ulp + n·u·Σ|terms| (docs/numerics.md#store)",
  100,
  batch(2, hasSignal),
  ({ process, t, stepOf, tensors: [xt, value] }, bound) => {
    const schedule = createSchedule(process.config);
    for (const from of QUANTITIES) {
      for (const to of QUANTITIES) {
        const found = reference.convert(schedule, t, xt, from, to, value);
        const exact = Array.from(
          xt.data,
          (x, i) => convertExactly(from, to, stepOf(i), x, value.data[i]),
        );
        bound.checkAll(
          found.data,
          exact.map((e) => e.value),
          (i) => from === to ? 0 : referenceBound(exact[i].value, process.n, exact[i].size),
          `${from} to ${to}`,
        );
      }
    }
  },
);

boundedTest(
  "7. Every pair of conversions round-trips where 0 < ᾱ < 1",
  "|slope|·½ulp(there) + ½ulp + n·u·Σ|terms| (docs/numerics.md#round-trip)",
  100,
  batch(2, hasSignal),
  ({ process, t, stepOf, tensors: [xt, value] }, bound) => {
    const schedule = createSchedule(process.config);
    for (const from of QUANTITIES) {
      for (const to of QUANTITIES.filter((quantity) => quantity !== from)) {
        const there = reference.convert(schedule, t, xt, from, to, value);
        const back = reference.convert(schedule, t, xt, to, from, there);
        bound.checkAll(back.data, value.data, (i) => {
          const x = xt.data[i], step = stepOf(i);
          const away = convertExactly(from, to, step, x, value.data[i]);
          const home = convertExactly(to, from, step, x, there.data[i]);
          return home.slope * referenceBound(away.value, process.n, away.size) +
            referenceBound(value.data[i], process.n, home.size);
        }, `${from} by ${to}`);
      }
    }
  },
);

boundedTest(
  "the scalar conversions take their arguments in the order of their names",
  "n·u·Σ|terms| (docs/numerics.md#tables)",
  150,
  batch(2, hasSignal),
  ({ process, stepOf, tensors: [xt, value] }, bound) => {
    const schedule = createSchedule(process.config);
    xt.data.forEach((x, i) => {
      const exact = stepOf(i), step = stepAt(schedule, exact.t), y = value.data[i];
      const check = (what: string, found: number, from: Quantity, to: Quantity) => {
        const { value: expected, size } = convertExactly(from, to, exact, x, y);
        bound.check(found, expected, process.n * U64 * size, what);
      };
      check("x0FromEpsilon", reference.x0FromEpsilon(step, x, y), "epsilon", "x0");
      check("x0FromV", reference.x0FromV(step, x, y), "v", "x0");
      check("x0FromScore", reference.x0FromScore(step, x, y), "score", "x0");
      check("x0FromPreviousX", reference.x0FromPreviousX(step, x, y), "previousX", "x0");
      check("epsilonFromX0", reference.epsilonFromX0(step, x, y), "x0", "epsilon");
      check("epsilonFromV", reference.epsilonFromV(step, x, y), "v", "epsilon");
      check("epsilonFromScore", reference.epsilonFromScore(step, y), "score", "epsilon");
      check("scoreFromEpsilon", reference.scoreFromEpsilon(step, y), "epsilon", "score");
      for (const from of QUANTITIES) {
        check("x0From", reference.x0From(from, step, x, y), from, "x0");
        check("epsilonFrom", reference.epsilonFrom(from, step, x, y), from, "epsilon");
      }
      // v from any pair (x_0, ε), not only one that belongs to x_t: a rotation by cos² = ᾱ.
      const angle = Math.acos(Math.sqrt(exact.alphaBar));
      bound.check(
        reference.vFromX0(step, x, y),
        Math.cos(angle) * y - Math.sqrt(exact.oneMinusAlphaBar) * x,
        process.n * U64 * (Math.abs(x) + Math.abs(y)),
        "vFromX0",
      );
    });
  },
);

boundedTest(
  "3. The ε-mean equals the posterior mean at x̂_0 (no clipping, ᾱ_t > 0, t = 1 included)",
  "½ulp + n·u·Σ|terms|, + coefX0·½ulp(x̂_0) where x̂_0 was stored (docs/numerics.md#epsilon-mean)",
  200,
  batch(2, hasSignal),
  ({ process, shape, t, stepOf, tensors: [xt, epsilonHat] }, bound) => {
    const schedule = createSchedule(process.config);
    const solved = Array.from(
      xt.data,
      (x, i) => solveX0("epsilon", stepOf(i), x, epsilonHat.data[i]),
    );
    const expected = solved.map(({ x0 }, i) =>
      stepOf(i).coefX0 * x0 + stepOf(i).coefXt * xt.data[i]
    );
    const store = (i: number) =>
      referenceBound(
        expected[i],
        process.n,
        stepOf(i).coefX0 * solved[i].size + stepOf(i).coefXt * Math.abs(xt.data[i]),
      );
    const closed = reference.meanFromEpsilon(schedule, t, xt, epsilonHat);
    assertEquals(closed.shape, shape);
    bound.checkAll(closed.data, expected, store, "closed form");
    const through = pMeanVariance(schedule, t, xt, epsilonHat, { clip: null });
    bound.checkAll(through.mean.data, expected, store, "through x̂_0");
    const x0Hat = reference.convert(schedule, t, xt, "epsilon", "x0", epsilonHat);
    bound.checkAll(
      posteriorMean(schedule, t, x0Hat, xt).data,
      expected,
      (i) => stepOf(i).coefX0 * referenceBound(solved[i].x0, 0, 0) + store(i),
      "posterior mean",
    );
  },
);

Deno.test("at ᾱ = 0 x_0 from ε or score is an error, from v it is −v", () => {
  forAll(process.filter((p) => p.steps.some((s) => s.alphaBar === 0)), 50, (drawn) => {
    const schedule = createSchedule(drawn.config);
    const step = stepAt(schedule, drawn.steps[drawn.steps.length - 1].t);
    assertThrows(() => reference.x0FromEpsilon(step, 1, 1), ArgumentError, "undefined at ᾱ = 0");
    assertThrows(() => reference.x0FromScore(step, 1, 1), ArgumentError, "undefined at ᾱ = 0");
    assertEquals(reference.x0FromV(step, 3, 1), -1);
    assertEquals(reference.epsilonFromX0(step, 3, 1), 3);
  });
});
