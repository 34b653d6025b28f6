/**
 * The posterior q(x_{t−1} | x_t, x_0) of the forward process (Ho et al. 2020, eq. 6 and 7).
 *
 * @module
 */
import { checkShape, type Tensor } from "../math/tensor.ts";
import type { Schedule } from "./schedule.ts";
import { elementwise, samplesOf, type Step, stepAt, type Times, timesPerSample } from "./step.ts";

/**
 * μ̃_t(x_t, x_0) = √ᾱ_{t−1}·β_t/(1−ᾱ_t)·x_0 + √α_t(1−ᾱ_{t−1})/(1−ᾱ_t)·x_t for one element
 * (Ho et al. 2020, eq. 7). At the first step it is x_0 itself.
 */
export function posteriorMeanOf(step: Step, x0: number, xt: number): number {
  return step.posteriorCoefX0 * x0 + step.posteriorCoefXt * xt;
}

/**
 * μ̃_t(x_t, x_0), the mean of q(x_{t−1} | x_t, x_0) (Ho et al. 2020, eq. 7).
 *
 * @param t kept times in 1..T.
 * @param x0 shape `[N, …]`.
 * @param xt shaped like `x0`.
 * @throws {ArgumentError} if `t` is no kept time or the shapes differ.
 */
export function posteriorMean(schedule: Schedule, t: Times, x0: Tensor, xt: Tensor): Tensor {
  checkShape("xt", xt, x0.shape);
  return elementwise(x0.shape, t, (tn) => {
    const step = stepAt(schedule, tn);
    return (i) => posteriorMeanOf(step, x0.data[i], xt.data[i]);
  });
}

/** Moments of q(x_{t−1} | x_t, x_0), one variance per sample. */
export interface Posterior {
  /** μ̃, shaped like x_0. */
  readonly mean: Tensor;
  /** β̃ per sample; 0 in the first step. */
  readonly variance: Float64Array;
  /** ln β̃ per sample, clipped in the first step (see `logBetaTildesClipped`). */
  readonly logVarianceClipped: Float64Array;
}

/**
 * q(x_{t−1} | x_t, x_0) = N(μ̃_t(x_t, x_0), β̃_t I) (Ho et al. 2020, eq. 6 and 7).
 *
 * @param t kept times in 1..T.
 * @throws {ArgumentError} if `t` is no kept time or the shapes differ.
 */
export function qPosterior(schedule: Schedule, t: Times, x0: Tensor, xt: Tensor): Posterior {
  const steps = timesPerSample(t, samplesOf(x0.shape)).map((tn) => stepAt(schedule, tn));
  return {
    mean: posteriorMean(schedule, t, x0, xt),
    variance: Float64Array.from(steps, (step) => step.betaTilde),
    logVarianceClipped: Float64Array.from(steps, (step) => step.logBetaTildeClipped),
  };
}
