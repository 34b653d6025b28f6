/**
 * The model's reverse distribution p_θ(x_{t−1} | x_t) = N(μ_θ(x_t, t), Σ_θ(x_t, t))
 * (Ho et al. 2020, eq. 1 and section 3.2).
 *
 * @module
 */
import { ArgumentError, unexpected } from "../math/errors.ts";
import { checkShape, type Shape, type Tensor, tensor } from "../math/tensor.ts";
import { checkClip, type Clip, CLIP_TO_DATA, clipX0 } from "./clip.ts";
import { type Prediction, x0From } from "./parameterisation.ts";
import { posteriorMeanOf } from "./posterior.ts";
import type { Schedule } from "./schedule.ts";
import { elementwiseDoubles, forEachSample, type Step, stepAt, type Times } from "./step.ts";

/**
 * Σ_θ: β or β̃ (Ho et al. 2020, section 3.2), a learned log-variance, or a learned interpolation
 * between ln β̃ and ln β (Nichol and Dhariwal 2021, eq. 15).
 */
export type Variance = "beta" | "betaTilde" | "learned" | "learnedRange";

/** How a network's output is read. */
export interface ReverseOptions {
  /** What the output stands for. Default `epsilon`. */
  readonly prediction?: Prediction;
  /** Σ_θ. Default `beta`. With a learned variance the output has 2C channels, mean part first. */
  readonly variance?: Variance;
  /** Clipping of x̂_0. Default {@linkcode CLIP_TO_DATA}. */
  readonly clip?: Clip;
}

/** {@linkcode ReverseOptions} with the defaults filled in and checked. */
export interface CheckedReverseOptions {
  /** What the output stands for. */
  readonly prediction: Prediction;
  /** Σ_θ. */
  readonly variance: Variance;
  /** Clipping of x̂_0. */
  readonly clip: Clip;
}

/** Fills in the defaults. @throws {ArgumentError} for an unknown option value. */
export function checkReverseOptions(options: ReverseOptions): CheckedReverseOptions {
  const { prediction = "epsilon", variance = "beta", clip = CLIP_TO_DATA } = options;
  if (!["epsilon", "x0", "v", "previousX"].includes(prediction)) {
    unexpected("prediction epsilon, x0, v or previousX", prediction);
  }
  if (!["beta", "betaTilde", "learned", "learnedRange"].includes(variance)) {
    unexpected("variance beta, betaTilde, learned or learnedRange", variance);
  }
  checkClip(clip);
  return { prediction, variance, clip };
}

/** A network's output as its mean part and, for a learned variance, its variance part. */
export interface SplitOutput {
  /** The prediction, shaped like x_t. */
  readonly mean: Tensor;
  /** The raw variance values, shaped like x_t, or null for a fixed variance. */
  readonly variance: Tensor | null;
}

/**
 * Splits an output with 2C channels into its halves along the channel dimension; with a fixed
 * variance the output is the mean part.
 *
 * @param shape of x_t, `[N, C, …]`.
 * @throws {ArgumentError} if the output has another shape.
 */
export function splitOutput(output: Tensor, shape: Shape, variance: Variance): SplitOutput {
  if (variance === "beta" || variance === "betaTilde") {
    checkShape("modelOutput", output, shape);
    return { mean: output, variance: null };
  }
  if (shape.length < 2) {
    throw new ArgumentError(
      `Expected xt of shape [N, C, …] with a learned variance but got [${shape.join(", ")}]`,
    );
  }
  checkShape("modelOutput", output, [shape[0], 2 * shape[1], ...shape.slice(2)]);
  const mean = tensor(shape), raw = tensor(shape);
  forEachSample(shape, (_, start, end) => {
    mean.data.set(output.data.subarray(2 * start, start + end), start);
    raw.data.set(output.data.subarray(start + end, 2 * end), start);
  });
  return { mean, variance: raw };
}

/** ln Σ for Σ = β: ln β_t, where the first step takes ln β̃ of the second (the DDPM code's choice). */
export function fixedLargeLogVariance(step: Step): number {
  return step.first ? step.logBetaTildeClipped : Math.log(step.beta);
}

/**
 * ln Σ = (1+v)/2·ln β_t + (1−v)/2·ln β̃_t, v from the network and not clamped
 * (Nichol and Dhariwal 2021, eq. 15, with v in [−1, 1] as in their code).
 */
export function learnedRangeLogVariance(step: Step, v: number): number {
  const fraction = (1 + v) / 2;
  return fraction * Math.log(step.beta) + (1 - fraction) * step.logBetaTildeClipped;
}

/** ln Σ_θ of one element; `raw` is the network's variance value, ignored by the fixed kinds. */
export function logVarianceOf(variance: Variance, step: Step, raw: number): number {
  switch (variance) {
    case "beta":
      return fixedLargeLogVariance(step);
    case "betaTilde":
      return step.logBetaTildeClipped;
    case "learned":
      return raw;
    case "learnedRange":
      return learnedRangeLogVariance(step, raw);
  }
}

/** p_θ(x_{t−1} | x_t) in double, before the one rounding to float32. All arrays are shaped like x_t. */
export interface ReverseDoubles {
  /** μ_θ. */
  readonly mean: Float64Array;
  /** Σ_θ, diagonal. */
  readonly variance: Float64Array;
  /** ln Σ_θ, clipped in the first step for β̃. */
  readonly logVariance: Float64Array;
  /** x̂_0 after clipping. */
  readonly x0: Float64Array;
}

/** x̂_0 of a prediction in double, clipped per sample. */
export function predictedX0(
  schedule: Schedule,
  t: Times,
  xt: Tensor,
  output: Tensor,
  prediction: Prediction,
  clip: Clip,
): Float64Array {
  const x0 = elementwiseDoubles(xt.shape, t, (tn) => {
    const step = stepAt(schedule, tn);
    return (i) => x0From(prediction, step, xt.data[i], output.data[i]);
  });
  forEachSample(xt.shape, (_, start, end) => {
    x0.set(clipX0(x0.subarray(start, end), clip), start);
  });
  return x0;
}

/** {@linkcode pMeanVariance} in double, for equations that go on computing with it. */
export function reverseDoubles(
  schedule: Schedule,
  t: Times,
  xt: Tensor,
  modelOutput: Tensor,
  options: CheckedReverseOptions,
): ReverseDoubles {
  const { prediction, variance, clip } = options;
  const output = splitOutput(modelOutput, xt.shape, variance);
  const x0 = predictedX0(schedule, t, xt, output.mean, prediction, clip);
  const logVariance = elementwiseDoubles(xt.shape, t, (tn) => {
    const step = stepAt(schedule, tn);
    return (i) => logVarianceOf(variance, step, output.variance?.data[i] ?? 0);
  });
  const mean = elementwiseDoubles(xt.shape, t, (tn) => {
    const step = stepAt(schedule, tn);
    return prediction === "previousX"
      ? (i) => output.mean.data[i]
      : (i) => posteriorMeanOf(step, x0[i], xt.data[i]);
  });
  const sigma2 = elementwiseDoubles(xt.shape, t, (tn) => {
    const step = stepAt(schedule, tn);
    return variance === "betaTilde" ? () => step.betaTilde : (i) => Math.exp(logVariance[i]);
  });
  return { mean, variance: sigma2, logVariance, x0 };
}

/** Moments of p_θ(x_{t−1} | x_t), all shaped like x_t. */
export interface Reverse {
  /** μ_θ. */
  readonly mean: Tensor;
  /** Σ_θ, diagonal; 0 in the first step for β̃. */
  readonly variance: Tensor;
  /** ln Σ_θ; for β̃ in the first step the clipped value. */
  readonly logVariance: Tensor;
  /** x̂_0 after clipping. */
  readonly x0: Tensor;
}

/**
 * μ_θ, Σ_θ and x̂_0 of p_θ(x_{t−1} | x_t): x̂_0 is decoded from the output and clipped, then μ_θ is
 * the posterior mean at x̂_0 (Ho et al. 2020, eq. 7 and 15). With prediction `previousX` the output is
 * the mean itself and clipping acts on the reported x̂_0 only.
 *
 * @param t kept times in 1..T.
 * @param xt shape `[N, C, …]`.
 * @param modelOutput shaped like `xt`, or with 2C channels for a learned variance.
 * @throws {ArgumentError} at ᾱ_t = 0 for ε; for unknown options or times, or wrong shapes.
 */
export function pMeanVariance(
  schedule: Schedule,
  t: Times,
  xt: Tensor,
  modelOutput: Tensor,
  options: ReverseOptions = {},
): Reverse {
  const checked = checkReverseOptions(options);
  const { mean, variance, logVariance, x0 } = reverseDoubles(schedule, t, xt, modelOutput, checked);
  return {
    mean: tensor(xt.shape, mean),
    variance: tensor(xt.shape, variance),
    logVariance: tensor(xt.shape, logVariance),
    x0: tensor(xt.shape, x0),
  };
}
