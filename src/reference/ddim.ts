/**
 * The DDIM sampling step and its inverse (Song, Meng and Ermon 2021).
 *
 * @module
 */
import { ArgumentError, checkFinite, unexpected } from "../math/errors.ts";
import { checkShape, type Tensor, tensor } from "../math/tensor.ts";
import { checkClip, type Clip, CLIP_TO_DATA } from "./clip.ts";
import type { StepResult } from "./ddpm.ts";
import { epsilonFrom, epsilonFromX0, type Prediction } from "./parameterisation.ts";
import { predictedX0 } from "./reverse.ts";
import type { Schedule } from "./schedule.ts";
import {
  elementwise,
  elementwiseDoubles,
  type NoiseLevel,
  noiseLevelAt,
  samplesOf,
  stepAt,
  type Times,
  timesPerSample,
} from "./step.ts";

/** How DDIM reads the network's output; `previousX` has no ε and is refused. */
export interface DdimReadOptions {
  /** What the output stands for. Default `epsilon`. */
  readonly prediction?: Exclude<Prediction, "previousX">;
  /** Clipping of x̂_0. Default {@linkcode CLIP_TO_DATA}. */
  readonly clip?: Clip;
  /**
   * Whether ε̂ is derived again from the clipped x̂_0. Default true, as OpenAI's code does; diffusers
   * keeps the network's ε̂ unless told otherwise.
   */
  readonly rederiveEpsilon?: boolean;
}

/** Options of {@linkcode ddimStep}. */
export interface DdimOptions extends DdimReadOptions {
  /** η ≥ 0: 0 is deterministic, 1 has the variance β̃ between adjacent times. Default 0. */
  readonly eta?: number;
  /** The ᾱ used for time 0. Default 1. */
  readonly finalAlphaBar?: number;
}

/**
 * 1−ᾱ_t/ᾱ_prev, the variance that leads from x_prev to x_t: among small noise shares from their
 * difference, among small signal shares from their quotient, where each cancels less.
 */
function addedVariance(level: NoiseLevel, previous: NoiseLevel): number {
  return level.oneMinusAlphaBar < previous.alphaBar
    ? (level.oneMinusAlphaBar - previous.oneMinusAlphaBar) / previous.alphaBar
    : 1 - level.alphaBar / previous.alphaBar;
}

/**
 * σ_t(η) = η·√((1−ᾱ_prev)/(1−ᾱ_t))·√(1−ᾱ_t/ᾱ_prev) (Song et al. 2021, eq. 16).
 *
 * @throws {ArgumentError} if ᾱ_prev < ᾱ_t.
 */
export function ddimSigma(eta: number, level: NoiseLevel, previous: NoiseLevel): number {
  if (!(previous.alphaBar >= level.alphaBar)) {
    unexpected(`an ᾱ of at least ${level.alphaBar} at the end of the step`, previous.alphaBar);
  }
  // Between equal levels a negative variance is rounding around 0.
  const added = Math.max(addedVariance(level, previous), 0);
  return eta * Math.sqrt(previous.oneMinusAlphaBar / level.oneMinusAlphaBar) * Math.sqrt(added);
}

/**
 * √(1−ᾱ_prev−σ_t(η)²), the share of ε̂ in x_prev (Song et al. 2021, eq. 12). With σ put in, the radicand
 * is (1−η²)(1−ᾱ_prev) + η²(1−ᾱ_prev)²·ᾱ_t/(ᾱ_prev(1−ᾱ_t)), where nothing cancels for η ≤ 1.
 *
 * @throws {ArgumentError} if σ² exceeds 1−ᾱ_prev, which η ≤ 1 rules out.
 */
export function ddimDirection(eta: number, level: NoiseLevel, previous: NoiseLevel): number {
  const noise = previous.oneMinusAlphaBar;
  const kept = noise * level.alphaBar / (previous.alphaBar * level.oneMinusAlphaBar);
  const square = noise * ((1 - eta * eta) + eta * eta * kept);
  if (square < 0) unexpected("eta with σ² ≤ 1−ᾱ at the end of the step", eta);
  return Math.sqrt(square);
}

/** x̂_0 (clipped) and ε̂ of every element in double. */
function readOutput(
  schedule: Schedule,
  t: Times,
  xt: Tensor,
  modelOutput: Tensor,
  options: DdimReadOptions,
): { x0: Float64Array; epsilonHat: Float64Array } {
  const { prediction = "epsilon", clip = CLIP_TO_DATA, rederiveEpsilon = true } = options;
  if (!["epsilon", "x0", "v"].includes(prediction)) {
    unexpected("prediction epsilon, x0 or v for DDIM", prediction);
  }
  checkClip(clip);
  checkShape("modelOutput", modelOutput, xt.shape);
  const x0 = predictedX0(schedule, t, xt, modelOutput, prediction, clip);
  const epsilonHat = elementwiseDoubles(xt.shape, t, (tn) => {
    const step = stepAt(schedule, tn);
    return rederiveEpsilon
      ? (i) => epsilonFromX0(step, xt.data[i], x0[i])
      : (i) => epsilonFrom(prediction, step, xt.data[i], modelOutput.data[i]);
  });
  return { x0, epsilonHat };
}

/**
 * x_prev = √ᾱ_prev·x̂_0 + √(1−ᾱ_prev−σ²)·ε̂ + σ·z (Song et al. 2021, eq. 12), from time `t` to any
 * earlier kept time or 0.
 *
 * @param t kept times in 1..T.
 * @param tPrev where the step ends, below `t`: a kept time, or 0.
 * @param xt shape `[N, …]`.
 * @param modelOutput shaped like `xt`.
 * @param z standard normal noise shaped like `xt`; without effect at η = 0.
 * @throws {ArgumentError} at ᾱ_t = 0 for ε; for unknown options or times, or wrong shapes.
 */
export function ddimStep(
  schedule: Schedule,
  t: Times,
  tPrev: Times,
  xt: Tensor,
  modelOutput: Tensor,
  z: Tensor,
  options: DdimOptions = {},
): StepResult {
  const eta = checkFinite("eta", options.eta ?? 0);
  if (eta < 0) unexpected("eta of at least 0", eta);
  const finalAlphaBar = checkFinite("finalAlphaBar", options.finalAlphaBar ?? 1);
  if (finalAlphaBar <= 0 || finalAlphaBar > 1) {
    unexpected("finalAlphaBar in (0, 1]", finalAlphaBar);
  }
  checkShape("z", z, xt.shape);
  const ends = timesPerSample(tPrev, samplesOf(xt.shape));
  const { x0, epsilonHat } = readOutput(schedule, t, xt, modelOutput, options);
  const x = elementwise(xt.shape, t, (tn, n) => {
    if (!(ends[n] < tn)) {
      throw new ArgumentError(`Expected tPrev below t = ${tn} but got ${ends[n]}`);
    }
    const level = noiseLevelAt(schedule, tn);
    const previous = ends[n] === 0
      ? { alphaBar: finalAlphaBar, oneMinusAlphaBar: 1 - finalAlphaBar }
      : noiseLevelAt(schedule, ends[n]);
    const sigma = ddimSigma(eta, level, previous);
    const signal = Math.sqrt(previous.alphaBar), direction = ddimDirection(eta, level, previous);
    return (i) => signal * x0[i] + direction * epsilonHat[i] + sigma * z.data[i];
  });
  return { x, x0: tensor(xt.shape, x0) };
}

/**
 * The inverse of the deterministic step, x_next = √ᾱ_next·x̂_0 + √(1−ᾱ_next)·ε̂: from time `t` to a
 * later one, with ε̂ read at `t` (Song et al. 2021, section 4.3). Decoding undoes it exactly for a
 * model whose ε̂ does not change over the step.
 *
 * @param t kept times in 1..T.
 * @param tNext where the step ends, above `t`: a kept time, or T + 1, where ᾱ = 0.
 * @param xt shape `[N, …]`.
 * @param modelOutput shaped like `xt`.
 * @throws {ArgumentError} at ᾱ_t = 0 for ε; for unknown options or times, or wrong shapes.
 */
export function ddimEncodeStep(
  schedule: Schedule,
  t: Times,
  tNext: Times,
  xt: Tensor,
  modelOutput: Tensor,
  options: DdimReadOptions = {},
): Tensor {
  const ends = timesPerSample(tNext, samplesOf(xt.shape));
  const { x0, epsilonHat } = readOutput(schedule, t, xt, modelOutput, options);
  return elementwise(xt.shape, t, (tn, n) => {
    if (!(ends[n] > tn)) {
      throw new ArgumentError(`Expected tNext above t = ${tn} but got ${ends[n]}`);
    }
    const next = noiseLevelAt(schedule, ends[n]);
    const signal = Math.sqrt(next.alphaBar), sigma = Math.sqrt(next.oneMinusAlphaBar);
    return (i) => signal * x0[i] + sigma * epsilonHat[i];
  });
}
