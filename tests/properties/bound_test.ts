/** The variational bound where it can be had in closed form: in nats per ε, and for Gaussian data. */
import fc from "fast-check";
import { U32, U64 } from "../../src/math/float32.ts";
import { type Tensor, tensor } from "../../src/math/tensor.ts";
import { qSample } from "../../src/reference/forward.ts";
import { normalKlOf } from "../../src/reference/gaussian.ts";
import { priorKl, vlbTerm } from "../../src/reference/likelihood.ts";
import { vlbWeight } from "../../src/reference/loss.ts";
import { posteriorMean } from "../../src/reference/posterior.ts";
import { pMeanVariance, type ReverseOptions } from "../../src/reference/reverse.ts";
import { createSchedule, type Schedule } from "../../src/reference/schedule.ts";
import { batch, type DrawnProcess, positive, process, real } from "../support/arbitraries.ts";
import { independentLogVariance, solveX0 } from "../support/independent_model.ts";
import type { IndependentStep } from "../support/independent_process.ts";
import { boundedTest } from "../support/property.ts";

boundedTest(
  "4. For t ≥ 2, no clipping, x_t made from (x_0, ε): " +
    "KL(q‖p) = w(t)‖ε−ε̂‖² + (d/2)(β̃/σ² − 1 − ln(β̃/σ²)), in nats",
  "w(2|ε−ε̂|δ + δ²), δ = ½ulp(x_t)/√(1−ᾱ), and the KL's own (docs/numerics.md#kl-in-epsilon)",
  250,
  fc.tuple(
    batch(3, (step) => !step.first && step.alphaBar > 0),
    fc.constantFrom("beta" as const, "betaTilde" as const, "sigma2" as const),
    positive(0.01, 1),
  ),
  ([drawn, variance, drawnSigma2], bound) => {
    const { process, shape: [N, C, ...rest], t, D, steps, tensors: [x0, noise, hat] } = drawn;
    const schedule = createSchedule(process.config);
    const xt = qSample(schedule, t, x0, noise);
    // A σ² of its own goes in as a learned log-variance.
    const log = Math.fround(Math.log(drawnSigma2)), own = variance === "sigma2";
    const output = own ? tensor([N, 2 * C, ...rest]) : hat;
    if (own) {
      for (let n = 0; n < N; n++) {
        output.data.set(hat.data.slice(n * D, (n + 1) * D), 2 * n * D);
        output.data.fill(log, (2 * n + 1) * D, (2 * n + 2) * D);
      }
    }
    const found = vlbTerm(schedule, t, x0, xt, output, {
      variance: own ? "learned" : variance,
      clip: null,
    });
    steps.forEach((step, n) => {
      const sigma2 = own ? Math.exp(log) : variance === "beta" ? step.beta : step.posteriorVariance;
      const w = step.beta ** 2 / (2 * sigma2 * step.alpha * step.oneMinusAlphaBar);
      const weight = vlbWeight(schedule, step.t, own ? { sigma2 } : variance);
      bound.check(weight, w, 2 * process.n * U64 * w, "w(t)", step.t);
      const ratio = step.posteriorVariance / sigma2;
      let nats = D / 2 * (ratio - 1 - Math.log(ratio)), error = 0;
      for (let i = n * D; i < (n + 1) * D; i++) {
        const apart = noise.data[i] - hat.data[i];
        nats += w * apart ** 2;
        // x_t was rounded to float32, and so belongs to an ε a little off.
        const delta = U32 * Math.abs(xt.data[i]) / Math.sqrt(step.oneMinusAlphaBar);
        error += w * (2 * Math.abs(apart) * delta + delta ** 2);
        // The two means are rounded before they are subtracted.
        const { size } = solveX0("epsilon", step, xt.data[i], hat.data[i]);
        const mean = process.n * U64 *
          (step.coefX0 * (size + Math.abs(x0.data[i])) + step.coefXt * Math.abs(xt.data[i]));
        const gap = Math.sqrt(2 * w * sigma2) * Math.abs(apart);
        error += (2 * gap * mean + mean ** 2) / (2 * sigma2);
      }
      // A relative error n·u of β̃ or σ² moves each part by so much of itself and of ratio and 1.
      error += process.n * U64 * (nats + D * (ratio + 1));
      bound.check(found[n] * D * Math.LN2, nats, error, `KL ${variance}`, n);
    });
  },
);

/** One-element tensors. */
const one = (...channels: number[]): Tensor => tensor([1, channels.length], channels);

/** Gaussian data N(m, s²). */
interface Data {
  readonly m: number;
  readonly s2: number;
}

/** What the optimal network says at x_t: E[x_0 | x_t], or the ε or v that belongs to it. */
function optimal(
  step: IndependentStep,
  data: Data,
  prediction: "epsilon" | "x0" | "v",
  xt: number,
): number {
  const signal = Math.sqrt(step.alphaBar), sigma = Math.sqrt(step.oneMinusAlphaBar);
  const total = data.s2 * step.alphaBar + step.oneMinusAlphaBar, off = xt - signal * data.m;
  switch (prediction) {
    case "epsilon":
      return off * sigma / total;
    case "x0":
      return data.m + signal * data.s2 / total * off;
    case "v":
      return signal * sigma * (1 - data.s2) / total * off - sigma * data.m;
  }
}

/** A linear map x ↦ slope·x + offset with bounds on its errors. */
interface Linear {
  readonly slope: number;
  readonly slopeError: number;
  readonly offset: number;
  readonly offsetError: number;
}

/** μ_θ(x_t) of the optimal model, extracted from pMeanVariance at unit inputs. */
function reverseMap(
  schedule: Schedule,
  drawn: DrawnProcess,
  step: IndependentStep,
  data: Data,
  options: ReverseOptions & { readonly prediction: "epsilon" | "x0" | "v" },
): Linear {
  const learned = options.variance === "learned";
  const at = (x: number, output: number) =>
    pMeanVariance(schedule, step.t, one(x), learned ? one(output, 0) : one(output), options)
      .mean.data[0];
  const byX = at(1, 0), byOutput = at(0, 1);
  // The network itself is exact: output = slope·x + offset.
  const offset = optimal(step, data, options.prediction, 0);
  const slope = optimal(step, data, options.prediction, 1) - offset;
  const u = U32 + drawn.n * U64;
  return {
    slope: byX + byOutput * slope,
    slopeError: u * (Math.abs(byX) + Math.abs(byOutput * slope)) +
      4 * U64 * Math.abs(byOutput) * (Math.abs(slope) + 2 * Math.abs(offset)),
    offset: byOutput * offset,
    offsetError: u * Math.abs(byOutput * offset),
  };
}

/** V_t = β̃ + coefX0²·Var(x_0 | x_t). */
function optimalVariance(step: IndependentStep, { s2 }: Data): number {
  const total = s2 * step.alphaBar + step.oneMinusAlphaBar;
  return step.posteriorVariance + step.coefX0 ** 2 * s2 * step.oneMinusAlphaBar / total;
}

/** Data, a process and what the network predicts; ε wants ᾱ_T > 0. */
const gaussianData = fc.tuple(
  process.filter((p) => p.steps.length <= 60),
  fc.record({ m: real(-1, 1), s2: positive(0.01, 4) }),
  fc.constantFrom("epsilon" as const, "x0" as const, "v" as const),
).filter(([drawn, , prediction]) =>
  prediction !== "epsilon" || drawn.steps.every((s) => s.alphaBar > 0)
);

boundedTest(
  "11. Gaussian data N(m, s²), the optimal linear ε and Σ = V_t: every marginal is exact",
  "½ulp of the extracted coefficients, carried down (docs/numerics.md#marginals)",
  200,
  gaussianData,
  ([drawn, data, prediction], bound) => {
    const schedule = createSchedule(drawn.config);
    const last = drawn.steps[drawn.steps.length - 1];
    let mean = Math.sqrt(last.alphaBar) * data.m, meanError = 0;
    let variance = data.s2 * last.alphaBar + last.oneMinusAlphaBar, varianceError = 0;
    for (const step of drawn.steps.toReversed()) {
      const options = { prediction, variance: "learned" as const, clip: null };
      const map = reverseMap(schedule, drawn, step, data, options);
      // V_t is the network's second channel, as a logarithm; what p says of it is stored once more.
      const V = optimalVariance(step, data), log = Math.fround(Math.log(V));
      const said = pMeanVariance(schedule, step.t, one(0), one(0, log), options).variance.data[0];
      const logError = U32 * Math.abs(log) + U32 + 4 * U64;
      meanError = Math.abs(map.slope) * meanError + map.slopeError * (Math.abs(mean) + meanError) +
        map.offsetError;
      varianceError = map.slope ** 2 * varianceError +
        (2 * Math.abs(map.slope) + map.slopeError) * map.slopeError * (variance + varianceError) +
        V * (logError + 4 * drawn.n * U64);
      mean = map.slope * mean + map.offset;
      variance = map.slope ** 2 * variance + said;
      const { before, t } = step;
      bound.check(mean, Math.sqrt(before.alphaBar) * data.m, meanError, `mean, ${prediction}`, t);
      bound.check(
        variance,
        data.s2 * before.alphaBar + before.oneMinusAlphaBar,
        varianceError,
        `variance, ${prediction}`,
        t,
      );
    }
  },
);

/** E over data and noise of (A·x_0 + B·x_t + C)², with A, B, C off by up to `a`, `b`, `c`. */
function meanSquare(
  step: IndependentStep,
  { m, s2 }: Data,
  [A, B, C]: [number, number, number],
  [a, b, c]: [number, number, number],
): { value: number; error: number } {
  const signal = Math.sqrt(step.alphaBar), byX0 = A + B * signal;
  const value = (byX0 * m + C) ** 2 + byX0 ** 2 * s2 + B ** 2 * step.oneMinusAlphaBar;
  const total = Math.sqrt(m * m + s2),
    noisy = Math.sqrt(step.alphaBar * total ** 2 + step.oneMinusAlphaBar);
  // Minkowski: the root mean square moves by at most the root mean square of the error.
  const moved = a * total + b * noisy + c +
    4 * U64 * (Math.abs(A) * total + Math.abs(B) * noisy + Math.abs(C));
  return { value, error: 2 * Math.sqrt(value) * moved + moved ** 2 };
}

/** A term of the expected bound in nats, given the reverse map and ln Σ. */
function expectedTerm(
  schedule: Schedule,
  drawn: DrawnProcess,
  step: IndependentStep,
  data: Data,
  map: Linear,
  log: number,
): { nats: number; error: number } {
  const u = U32 + drawn.n * U64, precision = Math.exp(-log);
  const relative = (16 + drawn.n + 2 * Math.abs(log)) * U64;
  if (step.first) {
    // −E ln N(x_0; μ_θ(x_1), Σ), the continuous density.
    const square = meanSquare(step, data, [1, -map.slope, -map.offset], [
      0,
      map.slopeError,
      map.offsetError,
    ]);
    return {
      nats: (Math.log(2 * Math.PI) + log + square.value * precision) / 2,
      error: square.error * precision / 2 +
        relative * (1 + Math.abs(log) + square.value * precision),
    };
  }
  const A = posteriorMean(schedule, step.t, one(1), one(0)).data[0];
  const B = posteriorMean(schedule, step.t, one(0), one(1)).data[0];
  const square = meanSquare(
    step,
    data,
    [A, B - map.slope, -map.offset],
    [u * A, u * B + map.slopeError, map.offsetError],
  );
  // KL is quadratic in the distance of the means: its expectation is KL at the root mean square.
  const own = step.logVarianceClipped;
  return {
    nats: normalKlOf(Math.sqrt(square.value), own, 0, log),
    error: square.error * precision / 2 +
      relative * (1 + Math.abs(own) + square.value * precision + Math.exp(own - log)),
  };
}

/** Entropy of the data plus KL(q(x_T) ‖ N(0, 1)), in nats. */
function least({ m, s2 }: Data, last: IndependentStep): number {
  const variance = s2 * last.alphaBar + last.oneMinusAlphaBar;
  const entropy = (1 + Math.log(2 * Math.PI * s2)) / 2;
  return entropy + (variance - 1 - Math.log(variance) + last.alphaBar * m * m) / 2;
}

/** E L_T: quadratic in x_0, so L_T at its root mean square. */
function expectedPrior(schedule: Schedule, drawn: DrawnProcess, { m, s2 }: Data) {
  const last = drawn.steps[drawn.steps.length - 1];
  const x0 = Math.sqrt(m * m + s2);
  const nats = priorKl(schedule, one(x0))[0] * Math.LN2;
  const log = Math.abs(Math.log(last.oneMinusAlphaBar));
  return { nats, error: last.alphaBar * x0 * x0 * U32 * 1.1 + drawn.n * U64 * (3 + log + x0 * x0) };
}

boundedTest(
  "11. With prior N(0,1) and the continuous density at t = 1 the bound equals " +
    "the entropy + KL(q(x_T)‖N(0,1))",
  "Σ E|d|·δd/V of the extracted coefficients (docs/numerics.md#gaussian-data)",
  150,
  gaussianData,
  ([drawn, data, prediction], bound) => {
    const schedule = createSchedule(drawn.config);
    let { nats, error } = expectedPrior(schedule, drawn, data);
    for (const step of drawn.steps) {
      const options = { prediction, variance: "learned" as const, clip: null };
      const map = reverseMap(schedule, drawn, step, data, options);
      // V is optimal, so that the rounding of its logarithm enters squared.
      const log = Math.fround(Math.log(optimalVariance(step, data)));
      const term = expectedTerm(schedule, drawn, step, data, map, log);
      nats += term.nats;
      error += term.error + (U32 * log) ** 2;
    }
    bound.check(nats, least(data, drawn.steps[drawn.steps.length - 1]), error, prediction);
  },
);

boundedTest(
  "11. A fixed σ² adds exactly Σ ½(V/σ² − 1 − ln(V/σ²))",
  "Σ E|d|·δd/σ² + Σ (V/σ² + 1)·½ulp(ln σ²) (docs/numerics.md#gaussian-data)",
  150,
  fc.tuple(gaussianData, fc.constantFrom("beta" as const, "betaTilde" as const)),
  ([[drawn, data, prediction], variance], bound) => {
    const schedule = createSchedule(drawn.config);
    let { nats, error } = expectedPrior(schedule, drawn, data);
    let expected = least(data, drawn.steps[drawn.steps.length - 1]);
    for (const step of drawn.steps) {
      const options = { prediction, variance, clip: null };
      const map = reverseMap(schedule, drawn, step, data, options);
      const said = pMeanVariance(schedule, step.t, one(0), one(0), options).logVariance.data[0];
      const { value: log } = independentLogVariance(variance, step, NaN, drawn.n);
      const term = expectedTerm(schedule, drawn, step, data, map, said);
      const ratio = optimalVariance(step, data) / Math.exp(log);
      nats += term.nats;
      error += term.error + (ratio + 1) * (U32 * Math.abs(log) + drawn.n * U64);
      expected += (ratio - 1 - Math.log(ratio)) / 2;
    }
    bound.check(nats, expected, error, `${variance}, ${prediction}`);
  },
);
