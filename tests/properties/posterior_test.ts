import { assertEquals } from "@std/assert";
import { referenceBound, U32, U64 } from "../../src/math/float32.ts";
import { type Tensor, tensor } from "../../src/math/tensor.ts";
import { gaussianLogDensity } from "../../src/reference/gaussian.ts";
import { qSample, reparameterise } from "../../src/reference/forward.ts";
import { posteriorMean, posteriorMeanOf, qPosterior } from "../../src/reference/posterior.ts";
import { createSchedule } from "../../src/reference/schedule.ts";
import { stepAt } from "../../src/reference/step.ts";
import { batch } from "../support/arbitraries.ts";
import { boundedTest } from "../support/property.ts";

boundedTest(
  "qPosterior is the product of the step's likelihood and the marginal, as Gaussians in x_{t−1}",
  "½ulp + n·u·Σ|terms| (docs/numerics.md#store)",
  200,
  batch(2),
  ({ process, shape, t, steps, stepOf, tensors: [x0, xt] }, bound) => {
    const schedule = createSchedule(process.config);
    const found = qPosterior(schedule, t, x0, xt);
    const parts = (i: number) => [stepOf(i).coefX0 * x0.data[i], stepOf(i).coefXt * xt.data[i]];
    const expected = Array.from(x0.data, (_, i) => parts(i)[0] + parts(i)[1]);
    const magnitude = (i: number) => Math.abs(parts(i)[0]) + Math.abs(parts(i)[1]);
    const store = (i: number) => referenceBound(expected[i], process.n, magnitude(i));
    assertEquals(found.mean.shape, shape);
    bound.checkAll(found.mean.data, expected, store, "mean");
    bound.checkAll(posteriorMean(schedule, t, x0, xt).data, expected, store, "posteriorMean");
    x0.data.forEach((x, i) => {
      const mean = posteriorMeanOf(stepAt(schedule, stepOf(i).t), x, xt.data[i]);
      bound.check(mean, expected[i], process.n * U64 * magnitude(i), "posteriorMeanOf");
    });
    const n = process.n * U64;
    const variance = steps.map((s) => s.posteriorVariance);
    bound.checkAll(found.variance, variance, (k) => n * variance[k], "variance");
    const logs = steps.map((s) => s.logVarianceClipped);
    bound.checkAll(found.logVarianceClipped, logs, (k) => n + 2 * U64 * Math.abs(logs[k]), "log");
  },
);

/**
 * ln N(x; μ, σ²) of one element, the sum of the magnitudes it is made of, and what an error of one
 * rounding in x − μ does to it: |x − μ|(|x| + |μ|)/σ².
 */
function logDensity(x: number, mean: number, variance: number) {
  const square = (x - mean) ** 2 / (2 * variance);
  const constant = Math.log(2 * Math.PI * variance) / 2;
  const inherited = Math.abs(x - mean) * (Math.abs(x) + Math.abs(mean)) / variance;
  return { value: -square - constant, size: square + Math.abs(constant) + inherited };
}

boundedTest(
  "2. Bayes: log q(x_{t−1}|x_t,x_0) = log q(x_t|x_{t−1}) + log q(x_{t−1}|x_0) − log q(x_t|x_0), t ≥ 2",
  "Σ(|x−μ̃|δ/β̃ + δ²/2β̃) + n·u·Σ magnitudes, δ = ½ulp(μ̃) (docs/numerics.md#bayes)",
  200,
  batch(3, (step) => !step.first),
  ({ process, t, steps, stepOf, D, tensors: [x0, noise, z] }, bound) => {
    const schedule = createSchedule(process.config);
    const xt = qSample(schedule, t, x0, noise);
    const posterior = qPosterior(schedule, t, x0, xt);
    const xPrev = reparameterise(posterior.mean, Array.from(posterior.variance), z);
    steps.forEach((_, n) => {
      const variance = posterior.variance[n];
      const sample = (of: Tensor) => tensor([D], of.data.slice(n * D, (n + 1) * D));
      const left = gaussianLogDensity(sample(xPrev), sample(posterior.mean), variance);
      let right = 0, size = 0, stored = 0;
      for (let i = n * D; i < (n + 1) * D; i++) {
        const { alpha, beta, alphaBar, oneMinusAlphaBar, before } = stepOf(i);
        const x = xt.data[i], previous = xPrev.data[i], data = x0.data[i];
        const likelihood = logDensity(x, Math.sqrt(alpha) * previous, beta);
        const prior = logDensity(
          previous,
          Math.sqrt(before.alphaBar) * data,
          before.oneMinusAlphaBar,
        );
        const evidence = logDensity(x, Math.sqrt(alphaBar) * data, oneMinusAlphaBar);
        const own = logDensity(previous, posterior.mean.data[i], variance);
        right += likelihood.value + prior.value - evidence.value;
        size += likelihood.size + prior.size + evidence.size + own.size;
        // μ̃ was stored in float32.
        const delta = U32 * Math.abs(posterior.mean.data[i]);
        const offset = Math.abs(previous - posterior.mean.data[i]);
        stored += offset * delta / variance + delta * delta / (2 * variance);
      }
      bound.check(left, right, stored + process.n * U64 * size, "log-density", n);
    });
  },
);
