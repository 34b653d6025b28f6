import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ArgumentError } from "../../src/math/errors.ts";
import { roundingBound, U32, U64 } from "../../src/math/float32.ts";
import { type Tensor, tensor } from "../../src/math/tensor.ts";
import { ddpmStep } from "../../src/reference/ddpm.ts";
import { createSchedule } from "../../src/reference/schedule.ts";
import { batch, hasSignal } from "../support/arbitraries.ts";
import {
  type IndependentReverse,
  independentReverse,
  readingOf,
} from "../support/independent_model.ts";
import { boundedTest } from "../support/property.ts";
import type { Bound } from "../support/bound.ts";

const STORE = "½ulp + n·u·Σ|terms|, through the clip (docs/numerics.md#reverse)";

/** Checks a step against μ + σ·z, z only where `noisy`. */
function checkStep(
  found: { x: Tensor; x0: Tensor },
  p: IndependentReverse,
  z: Tensor,
  noisy: (i: number) => boolean,
  bound: Bound,
): void {
  const shift = (i: number) => noisy(i) ? Math.sqrt(Math.exp(p.logVariance[i])) * z.data[i] : 0;
  const x = p.mean.map((mean, i) => mean + shift(i));
  bound.checkAll(found.x.data, x, (i) => {
    const sizes = (p.logVarianceError[i] + 8 * U64) * Math.abs(shift(i)) + p.meanError[i];
    return roundingBound(x[i]) * (1 + U32) + sizes + 2 * U64 * Math.abs(p.mean[i]);
  }, "x");
  bound.checkAll(
    found.x0.data,
    p.x0,
    (i) => roundingBound(p.x0[i]) * (1 + U32) + p.x0Error[i],
    "x0",
  );
}

boundedTest(
  "a DDPM step is μ_θ + σ·z, without z in the step that ends at time 0 unless asked for",
  STORE,
  400,
  fc.tuple(readingOf(batch(2)), fc.constantFrom(undefined, false, true)),
  ([drawn, finalNoise], bound) => {
    const { process, shape, t, stepOf, output, options, tensors: [xt, z] } = drawn;
    const schedule = createSchedule(process.config);
    const found = ddpmStep(schedule, t, xt, output, z, { ...options, finalNoise });
    assertEquals([found.x.shape, found.x0.shape], [shape, shape]);
    const p = independentReverse(drawn, xt, output, options);
    checkStep(found, p, z, (i) => finalNoise === true || !stepOf(i).first, bound);
  },
);

boundedTest(
  "left to itself a DDPM step reads ε, clips to [−1, 1], has Σ = β and ends without noise",
  STORE,
  60,
  batch(3, hasSignal),
  (drawn, bound) => {
    const { process, t, stepOf, tensors: [xt, output, z] } = drawn;
    const found = ddpmStep(createSchedule(process.config), t, xt, output, z);
    const p = independentReverse(drawn, xt, output, {
      prediction: "epsilon",
      variance: "beta",
      clip: { kind: "static", range: 1 },
    });
    checkStep(found, p, z, (i) => !stepOf(i).first, bound);
  },
);

Deno.test("a DDPM step refuses noise of another shape", () => {
  const schedule = createSchedule({ kind: "constant", T: 3, beta: 0.1 });
  const x = tensor([1, 2], [1, 2]);
  assertThrows(
    () => ddpmStep(schedule, 1, x, x, tensor([2, 1])),
    ArgumentError,
    "Expected z of shape [1, 2] but got [2, 1]",
  );
});
