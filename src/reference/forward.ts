/**
 * The forward process q: data is diffused into noise (Ho et al. 2020, section 2).
 *
 * @module
 */
import { checkShape, type Tensor } from "../math/tensor.ts";
import type { Schedule } from "./schedule.ts";
import { elementwise, samplesOf, stepAt, type Times, timesPerSample } from "./step.ts";

/** Mean of a Gaussian with one variance per sample, in nats and squared units of x. */
export interface IsotropicGaussian {
  /** Mean, shaped like x. */
  readonly mean: Tensor;
  /** Variance of every element of sample n, length N. */
  readonly variance: Float64Array;
  /** ln of the variance, length N; −∞ where the variance is 0. */
  readonly logVariance: Float64Array;
}

/**
 * The reparameterisation x = μ + √σ²·z, z ~ N(0, I) (Ho et al. 2020, section 3.2): a draw from
 * N(μ, σ² I) with the randomness given.
 *
 * @param mean shape `[N, …]`.
 * @param variance one σ² ≥ 0 per sample.
 * @param noise z, shaped like `mean`.
 * @throws {ArgumentError} if the shapes differ or `variance` has not N entries.
 */
export function reparameterise(mean: Tensor, variance: readonly number[], noise: Tensor): Tensor {
  checkShape("noise", noise, mean.shape);
  return elementwise(mean.shape, variance, (sigma2) => {
    const sigma = Math.sqrt(sigma2);
    return (i) => mean.data[i] + sigma * noise.data[i];
  });
}

/**
 * One forward step, x_t = √(1−β_t)·x_{t−1} + √β_t·ε ~ q(x_t | x_{t−1}) (Ho et al. 2020, eq. 2).
 * In a respaced process x_{t−1} is x at the next lower kept time.
 *
 * @param t kept times in 1..T.
 * @param xPrev shape `[N, …]`.
 * @param noise ε, shaped like `xPrev`.
 * @throws {ArgumentError} if `t` is no kept time or the shapes differ.
 */
export function qStep(schedule: Schedule, t: Times, xPrev: Tensor, noise: Tensor): Tensor {
  checkShape("noise", noise, xPrev.shape);
  return elementwise(xPrev.shape, t, (tn) => {
    const { alpha, beta } = stepAt(schedule, tn);
    const signal = Math.sqrt(alpha), sigma = Math.sqrt(beta);
    return (i) => signal * xPrev.data[i] + sigma * noise.data[i];
  });
}

/**
 * x_t straight from x_0: x_t = √ᾱ_t·x_0 + √(1−ᾱ_t)·ε ~ q(x_t | x_0) (Ho et al. 2020, eq. 4).
 *
 * @param t kept times in 1..T.
 * @param x0 shape `[N, …]`.
 * @param noise ε, shaped like `x0`.
 * @throws {ArgumentError} if `t` is no kept time or the shapes differ.
 */
export function qSample(schedule: Schedule, t: Times, x0: Tensor, noise: Tensor): Tensor {
  checkShape("noise", noise, x0.shape);
  return elementwise(x0.shape, t, (tn) => {
    const { alphaBar, oneMinusAlphaBar } = stepAt(schedule, tn);
    const signal = Math.sqrt(alphaBar), sigma = Math.sqrt(oneMinusAlphaBar);
    return (i) => signal * x0.data[i] + sigma * noise.data[i];
  });
}

/**
 * Moments of q(x_t | x_0) = N(√ᾱ_t·x_0, (1−ᾱ_t) I) (Ho et al. 2020, eq. 4).
 *
 * @param t kept times in 1..T.
 * @throws {ArgumentError} if `t` is no kept time.
 */
export function qMeanVariance(schedule: Schedule, t: Times, x0: Tensor): IsotropicGaussian {
  const variance = Float64Array.from(
    timesPerSample(t, samplesOf(x0.shape)),
    (tn) => stepAt(schedule, tn).oneMinusAlphaBar,
  );
  const mean = elementwise(x0.shape, t, (tn) => {
    const signal = Math.sqrt(stepAt(schedule, tn).alphaBar);
    return (i) => signal * x0.data[i];
  });
  return { mean, variance, logVariance: variance.map(Math.log) };
}
