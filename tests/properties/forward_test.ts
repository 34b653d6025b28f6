import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { gamma, referenceBound, U64 } from "../../src/math/float32.ts";
import { tensor } from "../../src/math/tensor.ts";
import { qMeanVariance, qSample, qStep, reparameterise } from "../../src/reference/forward.ts";
import { createSchedule } from "../../src/reference/schedule.ts";
import { batch, process, real, shape, tensorOf } from "../support/arbitraries.ts";
import { boundedTest } from "../support/property.ts";

const STORE = "½ulp + n·u·Σ|terms| (docs/numerics.md#store)";

boundedTest(
  "reparameterise adds each sample's standard deviation times the noise",
  STORE,
  100,
  shape.chain((of) =>
    fc.tuple(
      tensorOf(of),
      tensorOf(of),
      fc.array(fc.oneof(fc.constant(0), real(0, 9)), { minLength: of[0], maxLength: of[0] }),
    )
  ),
  ([mean, noise, variance], bound) => {
    const D = mean.data.length / mean.shape[0];
    const x = reparameterise(mean, variance, noise);
    const shift = (i: number) => variance[Math.floor(i / D)] ** 0.5 * noise.data[i];
    const expected = mean.data.reduce<number[]>((all, m, i) => [...all, m + shift(i)], []);
    assertEquals(x.shape, mean.shape);
    bound.checkAll(
      x.data,
      expected,
      (i) => referenceBound(expected[i], 4, Math.abs(mean.data[i]) + Math.abs(shift(i))),
    );
  },
);

boundedTest(
  "qStep is √α·x_{t−1} + √β·ε and qSample √ᾱ·x_0 + √(1−ᾱ)·ε at each sample's time",
  STORE,
  150,
  batch(2),
  ({ process, shape, t, stepOf, tensors: [x, noise] }, bound) => {
    const schedule = createSchedule(process.config);
    const check = (found: Float32Array, parts: (i: number) => [signal: number, sigma: number]) => {
      const expected = Array.from(found, (_, i) => parts(i)[0] + parts(i)[1]);
      bound.checkAll(found, expected, (i) => {
        const [signal, sigma] = parts(i);
        return referenceBound(expected[i], process.n, Math.abs(signal) + Math.abs(sigma));
      });
    };
    assertEquals(qStep(schedule, t, x, noise).shape, shape);
    check(qStep(schedule, t, x, noise).data, (i) => {
      const { logAlpha, beta } = stepOf(i);
      return [Math.exp(logAlpha / 2) * x.data[i], Math.sqrt(beta) * noise.data[i]];
    });
    check(qSample(schedule, t, x, noise).data, (i) => {
      const { logAlphaBar, oneMinusAlphaBar } = stepOf(i);
      return [Math.exp(logAlphaBar / 2) * x.data[i], Math.sqrt(oneMinusAlphaBar) * noise.data[i]];
    });
  },
);

boundedTest(
  "qMeanVariance has mean √ᾱ·x_0 and, per sample, variance 1−ᾱ with its logarithm",
  STORE,
  150,
  batch(1),
  ({ process, t, steps, stepOf, tensors: [x0] }, bound) => {
    const { mean, variance, logVariance } = qMeanVariance(createSchedule(process.config), t, x0);
    const expected = Array.from(x0.data, (x, i) => Math.exp(stepOf(i).logAlphaBar / 2) * x);
    bound.checkAll(
      mean.data,
      expected,
      (i) => referenceBound(expected[i], process.n, Math.abs(expected[i])),
    );
    const n = process.n * U64;
    const exact = steps.map((s) => s.oneMinusAlphaBar);
    bound.checkAll(variance, exact, (k) => n * exact[k], "variance");
    const logs = steps.map((s) => Math.log(s.oneMinusAlphaBar));
    bound.checkAll(logVariance, logs, (k) => n + 2 * Math.abs(logs[k]) * U64, "logVariance");
  },
);

boundedTest(
  "1. Chaining q(x_t|x_{t−1}) gives q(x_t|x_0)",
  "γ_{2k+2}(2^−24)·|moment| after k steps, from the float32 coefficients (docs/numerics.md#chaining)",
  150,
  process,
  (drawn, bound) => {
    const schedule = createSchedule(drawn.config);
    const one = tensor([1, 1], [1]), zero = tensor([1, 1], [0]);
    // x_t = a·x_{t−1} + b·ε, so the mean's factor and the variance go m → a·m, v → a²·v + b².
    let m = 1, v = 0;
    drawn.steps.forEach(({ t }, k) => {
      const a = qStep(schedule, t, one, zero).data[0], b = qStep(schedule, t, zero, one).data[0];
      m *= a;
      v = a * a * v + b * b;
      const { mean, variance } = qMeanVariance(schedule, t, one);
      // a and b are float32: one rounding each per step, two in their squares; and the mean's store.
      const relative = gamma(2 * (k + 1) + 2) + drawn.n * U64;
      bound.check(m, mean.data[0], relative * mean.data[0] + 2 ** -149, "mean", t);
      bound.check(v, variance[0], relative * variance[0], "variance", t);
    });
  },
);
