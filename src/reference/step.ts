/**
 * Looking a schedule up by time, once for every equation: the coefficients of one step, and the
 * elementwise map with one time per sample.
 *
 * @module
 */
import { ArgumentError, checkInteger, show } from "../math/errors.ts";
import { type Shape, sizeOf, type Tensor, tensor } from "../math/tensor.ts";
import type { Schedule } from "./schedule.ts";

/** A time for the whole batch, or one per sample: kept times in 1..T. */
export type Times = number | readonly number[];

/** The signal and noise share of a time: x_t = √ᾱ x_0 + √(1−ᾱ) ε. */
export interface NoiseLevel {
  /** ᾱ, 1 at time 0. */
  readonly alphaBar: number;
  /** 1 − ᾱ, 0 at time 0. */
  readonly oneMinusAlphaBar: number;
}

/** The coefficients of the step that starts at time `t` and ends at time `previous`. */
export interface Step extends NoiseLevel {
  /** The kept time at which the step starts. */
  readonly t: number;
  /** The next lower kept time, or 0. */
  readonly previous: number;
  /** Whether this is the process's first step, the one between time 0 and the first kept time. */
  readonly first: boolean;
  /** β. */
  readonly beta: number;
  /** α = 1 − β. */
  readonly alpha: number;
  /** β̃; 0 in the first step. */
  readonly betaTilde: number;
  /** ln β̃, with the second step's value in the first step. */
  readonly logBetaTildeClipped: number;
  /** Coefficient of x_0 in the posterior mean. */
  readonly posteriorCoefX0: number;
  /** Coefficient of x_t in the posterior mean. */
  readonly posteriorCoefXt: number;
  /** ᾱ/(1 − ᾱ). */
  readonly snr: number;
}

/** Index of a kept time in the tables, by bisection. */
function indexOf(schedule: Schedule, t: number): number {
  const { timesteps, T } = schedule;
  checkInteger("t", t, 1, T);
  let low = 0, high = timesteps.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (timesteps[middle] < t) low = middle + 1;
    else high = middle;
  }
  if (timesteps[low] !== t) {
    throw new ArgumentError(`Expected t among the kept times ${show(timesteps)} but got ${t}`);
  }
  return low;
}

/**
 * The step that starts at time `t`.
 *
 * @throws {ArgumentError} "Expected t in 1..1000 but got 0", or if `t` is not a kept time.
 */
export function stepAt(schedule: Schedule, t: number): Step {
  const k = indexOf(schedule, t);
  return {
    t,
    previous: k === 0 ? 0 : schedule.timesteps[k - 1],
    first: k === 0,
    beta: schedule.beta[k],
    alpha: schedule.alpha[k],
    alphaBar: schedule.alphaBar[k],
    oneMinusAlphaBar: schedule.oneMinusAlphaBar[k],
    betaTilde: schedule.betaTilde[k],
    logBetaTildeClipped: schedule.logBetaTildeClipped[k],
    posteriorCoefX0: schedule.posteriorCoefX0[k],
    posteriorCoefXt: schedule.posteriorCoefXt[k],
    snr: schedule.snr[k],
  };
}

/**
 * ᾱ and 1 − ᾱ at a kept time, or at 0 (clean data) or T + 1 (pure noise).
 *
 * @throws {ArgumentError} if `t` is neither.
 */
export function noiseLevelAt(schedule: Schedule, t: number): NoiseLevel {
  if (t === 0) return { alphaBar: 1, oneMinusAlphaBar: 0 };
  if (t === schedule.T + 1) return { alphaBar: 0, oneMinusAlphaBar: 1 };
  const k = indexOf(schedule, t);
  return { alphaBar: schedule.alphaBar[k], oneMinusAlphaBar: schedule.oneMinusAlphaBar[k] };
}

/** The time of each of `N` samples. @throws {ArgumentError} unless `t` is one time or N of them. */
export function timesPerSample(t: Times, N: number): readonly number[] {
  if (typeof t === "number") return new Array(N).fill(t);
  if (!Array.isArray(t) || t.length !== N) {
    throw new ArgumentError(`Expected one t, or one per sample (${N}), but got ${show(t)}`);
  }
  return t;
}

/** Number of samples of a shape `[N, …]`; a scalar is one sample. */
export function samplesOf(shape: Shape): number {
  return shape.length === 0 ? 1 : shape[0];
}

/** Calls `visit` with every sample's number and its range of elements. */
export function forEachSample(
  shape: Shape,
  visit: (n: number, start: number, end: number) => void,
): void {
  const N = samplesOf(shape), D = sizeOf(shape) / N;
  for (let n = 0; n < N; n++) visit(n, n * D, (n + 1) * D);
}

/**
 * Evaluates an elementwise equation in double. `equation` is called once per sample with its time
 * and returns the value of element i (a flat index into the whole array).
 */
export function elementwiseDoubles(
  shape: Shape,
  t: Times,
  equation: (t: number, n: number) => (i: number) => number,
): Float64Array {
  const times = timesPerSample(t, samplesOf(shape));
  const out = new Float64Array(sizeOf(shape));
  forEachSample(shape, (n, start, end) => {
    const element = equation(times[n], n);
    for (let i = start; i < end; i++) out[i] = element(i);
  });
  return out;
}

/** {@linkcode elementwiseDoubles}, rounded once to float32. */
export function elementwise(
  shape: Shape,
  t: Times,
  equation: (t: number, n: number) => (i: number) => number,
): Tensor {
  return tensor(shape, elementwiseDoubles(shape, t, equation));
}
