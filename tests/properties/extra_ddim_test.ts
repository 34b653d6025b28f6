/** Properties of DDIM at the ends of its range. */
import { assert } from "@std/assert";
import fc from "fast-check";
import { U64, ulp32 } from "../../src/math/float32.ts";
import { ddimStep } from "../../src/reference/ddim.ts";
import { createSchedule } from "../../src/reference/schedule.ts";
import { batch, hasSignal, real } from "../support/arbitraries.ts";
import { forAll } from "../support/property.ts";

Deno.test("a DDIM step whose ᾱ at time 0 is the one it starts from leaves x as it is", () => {
  forAll(fc.tuple(batch(3, hasSignal), real(0, 1)), 200, ([drawn, eta]) => {
    const [xt, output, z] = drawn.tensors;
    const schedule = createSchedule(drawn.process.config);
    const [step] = drawn.steps;
    // ᾱ as the caller can read it; 1 − ᾱ is then what is left in double.
    const finalAlphaBar = schedule.alphaBar[schedule.timesteps.indexOf(step.t)];
    const options = { clip: null, finalAlphaBar, eta };
    const { x } = ddimStep(schedule, step.t, 0, xt, output, z, options);
    const { alphaBar, oneMinusAlphaBar } = step, { n } = drawn.process;
    const share = Math.sqrt(oneMinusAlphaBar);
    x.data.forEach((value, i) => {
      // √ᾱ·x̂_0 + √(1−ᾱ)·ε̂ = x_t: the terms are at most 3|x_t| + 2√(1−ᾱ)|ε̂|, and the share of ε̂ comes
      // from an 1 − ᾱ that is off by n·u. That difference is all the variance that z may get.
      const terms = 3 * Math.abs(xt.data[i]) + 2 * share * Math.abs(output.data[i]);
      const added = n * U64 / Math.min(alphaBar, oneMinusAlphaBar);
      const bound = ulp32(xt.data[i]) / 2 + (n * U64 + added) * terms +
        eta * Math.sqrt(added) * Math.abs(z.data[i]);
      assert(Math.abs(value - xt.data[i]) <= bound, `${value} for ${xt.data[i]}, bound ${bound}`);
    });
  });
});
