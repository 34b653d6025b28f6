import { assert, assertAlmostEquals, assertEquals, assertLessOrEqual } from "@std/assert";
import {
  exampleWeights,
  LOSSES,
  type Objective,
  SIMPLE,
  targetOf,
  weightedLoss,
} from "../../src/cli/objective.ts";
import { lossByQuartile } from "../../src/cli/metrics.ts";
import { qSample } from "../../src/reference/forward.ts";
import { lossSimple, lossWeighted } from "../../src/reference/loss.ts";
import { convert } from "../../src/reference/parameterisation.ts";
import { createSchedule } from "../../src/reference/schedule.ts";
import { DDPM_SCHEDULE } from "../../src/spec/schedule_config.ts";
import { normals } from "../support/layers.ts";

const schedule = createSchedule(DDPM_SCHEDULE);
const SHAPE = [5, 1, 4, 4];
const times = [1, 60, 300, 500, 700];
const x0 = normals(7, 0, SHAPE), noise = normals(7, 1, SHAPE), epsilonHat = normals(7, 2, SHAPE);
const xt = qSample(schedule, times, x0, noise);
const U = 2 ** -24;

Deno.test("L_simple on ε is the reference's, bit for bit, and the mean of what each example adds", () => {
  assertEquals(targetOf(schedule, SIMPLE, { x0, times, noise }), noise);
  const weights = exampleWeights(schedule, SIMPLE, times);
  assertEquals(weights, [1, 1, 1, 1, 1]);
  const { mean, losses, gradient } = weightedLoss(noise, epsilonHat, weights);
  const expected = lossSimple(noise, epsilonHat);
  assertEquals({ mean, gradient }, { mean: expected.mean, gradient: expected.gradient });
  // 80 squares in double, in another order.
  assertAlmostEquals(losses.reduce((a, b) => a + b) / 5, mean, 90 * 2 ** -53 * mean);
});

Deno.test("a target is the quantity that gives the image and the noise back", () => {
  for (const prediction of ["epsilon", "v", "x0"] as const) {
    const target = targetOf(schedule, { ...SIMPLE, prediction }, { x0, times, noise });
    for (const [to, expected] of [["x0", x0], ["epsilon", noise]] as const) {
      const found = convert(schedule, times, xt, prediction, to, target);
      found.data.forEach((value, i) => {
        const k = times[Math.floor(i / 16)] - 1;
        const [a, s] = [schedule.sqrtAlphaBar[k], schedule.sqrtOneMinusAlphaBar[k]];
        // x_t and the target, below 5, are rounded; no conversion multiplies them by more than 1/√ᾱ, or
        // 1/√(1−ᾱ); then the result is.
        const bound = 5 * U * 2 * (1 / a + 1 / s) + Math.abs(value) * U;
        assertLessOrEqual(Math.abs(value - expected.data[i]), bound, `${prediction} to ${to}`);
      });
    }
  }
});

Deno.test("a weighted loss is the same loss whatever the network predicts", () => {
  for (const loss of Object.keys(LOSSES) as Objective["loss"][]) {
    if (loss === "simple") continue;
    const expected = lossWeighted(schedule, times, noise, epsilonHat, LOSSES[loss]).mean;
    for (const prediction of ["epsilon", "v", "x0"] as const) {
      const objective = { prediction, loss };
      const target = targetOf(schedule, objective, { x0, times, noise });
      const output = convert(schedule, times, xt, "epsilon", prediction, epsilonHat);
      const weights = exampleWeights(schedule, objective, times);
      const { mean } = weightedLoss(target, output, weights);
      let bound = 0;
      target.data.forEach((value, i) => {
        const n = Math.floor(i / 16), k = times[n] - 1;
        const error = Math.abs(output.data[i] - value);
        // Roundings of target and output, and of x_t, below 5, which is divided by √ᾱ on the way.
        const delta = U *
          (Math.abs(value) + Math.abs(output.data[i]) + 10 / schedule.sqrtAlphaBar[k]);
        bound += weights[n] * (2 * error * delta + delta * delta) / 80;
      });
      assert(bound < 1e-3 * expected, `${loss} of ${prediction}: the bound says nothing`);
      assertAlmostEquals(mean, expected, bound + 1e-12 * expected, `${loss} of ${prediction}`);
    }
  }
});

Deno.test("losses by quarter of t are means, and nothing where there are none", () => {
  const found = lossByQuartile([1, 2, 4, 8], [1, 250, 251, 1000], 1000);
  assertEquals(found, [1.5, 4, null, 8]);
  assertEquals(lossByQuartile([1, 2, 3, 4, 5], [1, 2, 3, 4, 5], 5), [1.5, 3, 4, 5]);
});
