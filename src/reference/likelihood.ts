/**
 * The variational bound on −log p(x_0), L = L_T + Σ_{t>1} L_{t−1} + L_0, in bits per dimension
 * (Ho et al. 2020, eq. 5), and the hybrid loss (Nichol and Dhariwal 2021, eq. 16).
 *
 * @module
 */
import { unexpected } from "../math/errors.ts";
import { checkShape, sizeOf, type Tensor, tensor } from "../math/tensor.ts";
import { type Cdf, checkCdf, decoderNllGradient, decoderNllOf } from "./decoder.ts";
import { qSample } from "./forward.ts";
import { normalKlOf } from "./gaussian.ts";
import { type Loss, lossSimple } from "./loss.ts";
import { epsilonFromX0, x0From } from "./parameterisation.ts";
import { posteriorMeanOf } from "./posterior.ts";
import {
  type CheckedReverseOptions,
  checkReverseOptions,
  reverseDoubles,
  type ReverseOptions,
  splitOutput,
} from "./reverse.ts";
import type { Schedule } from "./schedule.ts";
import type { Model } from "./sample.ts";
import { forEachSample, samplesOf, stepAt, type Times, timesPerSample } from "./step.ts";

/** Options of the bound's terms. */
export interface VlbOptions extends ReverseOptions {
  /** Φ of the decoder. Default `tanh`, as the original code. */
  readonly cdf?: Cdf;
}

function checkVlbOptions(options: VlbOptions): CheckedReverseOptions & { cdf: Cdf } {
  const { cdf = "tanh" } = options;
  checkCdf(cdf);
  return { ...checkReverseOptions(options), cdf };
}

/** Mean over a sample's elements of something in nats, in bits. */
function bitsPerDim(
  shape: readonly number[],
  nats: (i: number, n: number) => number,
): Float64Array {
  const bits = new Float64Array(samplesOf(shape));
  forEachSample(shape, (n, start, end) => {
    let sum = 0;
    for (let i = start; i < end; i++) sum += nats(i, n);
    bits[n] = sum / (end - start) / Math.LN2;
  });
  return bits;
}

/**
 * One term of the bound per sample, in bits per dimension: L_0 = −ln p_θ(x_0 | x_1) under the
 * discretised decoder in the first step, else L_{t−1} = KL(q(x_{t−1} | x_t, x_0) ‖ p_θ(x_{t−1} | x_t))
 * with the clipped ln β̃ (Ho et al. 2020, eq. 5 and 13).
 *
 * @param t kept times in 1..T.
 * @param x0 8-bit levels scaled to [−1, 1], shape `[N, C, …]`.
 * @param xt a draw of q(x_t | x_0), shaped like `x0`.
 * @param modelOutput shaped like `x0`, or with 2C channels for a learned variance.
 * @returns N values.
 * @throws {ArgumentError} for unknown options or times, or wrong shapes.
 */
export function vlbTerm(
  schedule: Schedule,
  t: Times,
  x0: Tensor,
  xt: Tensor,
  modelOutput: Tensor,
  options: VlbOptions = {},
): Float64Array {
  checkShape("xt", xt, x0.shape);
  const checked = checkVlbOptions(options);
  const p = reverseDoubles(schedule, t, xt, modelOutput, checked);
  const steps = timesPerSample(t, samplesOf(x0.shape)).map((tn) => stepAt(schedule, tn));
  return bitsPerDim(x0.shape, (i, n) => {
    const step = steps[n];
    if (step.first) return decoderNllOf(x0.data[i], p.mean[i], p.logVariance[i] / 2, checked.cdf);
    const mean = posteriorMeanOf(step, x0.data[i], xt.data[i]);
    return normalKlOf(mean, step.logBetaTildeClipped, p.mean[i], p.logVariance[i]);
  });
}

/**
 * The gradient of a sample's {@linkcode vlbTerm} by the network's output, for training on the bound.
 * Nothing is clipped, as in the original training code.
 *
 * @returns ∂bitsPerDim_n/∂output of sample n, shaped like `modelOutput`.
 * @throws {ArgumentError} as {@linkcode vlbTerm}, and if `options.clip` is not null.
 */
export function vlbTermGradient(
  schedule: Schedule,
  t: Times,
  x0: Tensor,
  xt: Tensor,
  modelOutput: Tensor,
  options: VlbOptions = {},
): Tensor {
  const checked = checkVlbOptions(options);
  if (checked.clip !== null) unexpected("clip to be null for a gradient", checked.clip.kind);
  checkShape("xt", xt, x0.shape);
  const { prediction, variance, cdf } = checked;
  const p = reverseDoubles(schedule, t, xt, modelOutput, checked);
  const learned = splitOutput(modelOutput, xt.shape, variance).variance !== null;
  const times = timesPerSample(t, samplesOf(x0.shape));
  const gradient = new Float64Array(modelOutput.data.length);
  forEachSample(x0.shape, (n, start, end) => {
    const step = stepAt(schedule, times[n]);
    const perElement = 1 / (end - start) / Math.LN2;
    // μ_θ and ln Σ_θ are affine in the output: their slopes are exact differences.
    const meanAt = (output: number) =>
      prediction === "previousX"
        ? output
        : posteriorMeanOf(step, x0From(prediction, step, 0, output), 0);
    const meanSlope = meanAt(1) - meanAt(0);
    const logVarianceSlope = variance === "learned"
      ? 1
      : (Math.log(step.beta) - step.logBetaTildeClipped) / 2;
    for (let i = start; i < end; i++) {
      const { dMean, dLogVariance } = step.first
        ? decoderPart(x0.data[i], p.mean[i], p.logVariance[i], cdf)
        : klPart(
          posteriorMeanOf(step, x0.data[i], xt.data[i]) - p.mean[i],
          step.logBetaTildeClipped,
          p.logVariance[i],
        );
      const at = learned ? start + i : i;
      gradient[at] = perElement * dMean * meanSlope;
      if (learned) gradient[at + end - start] = perElement * dLogVariance * logVarianceSlope;
    }
  });
  return tensor(modelOutput.shape, gradient);
}

interface MomentGradient {
  readonly dMean: number;
  readonly dLogVariance: number;
}

/** Derivatives of the decoder term by μ_θ and ln Σ_θ = 2 ln σ. */
function decoderPart(x0: number, mean: number, logVariance: number, cdf: Cdf): MomentGradient {
  const { dMean, dLogScale } = decoderNllGradient(x0, mean, logVariance / 2, cdf);
  return { dMean, dLogVariance: dLogScale / 2 };
}

/** Derivatives of KL(N(μ_1, σ_1²) ‖ N(μ_2, σ_2²)) by μ_2 and ln σ_2², given μ_1 − μ_2. */
function klPart(difference: number, logVariance1: number, logVariance2: number): MomentGradient {
  const precision = Math.exp(-logVariance2);
  return {
    dMean: -difference * precision,
    dLogVariance: (-Math.expm1(logVariance1 - logVariance2) - difference ** 2 * precision) / 2,
  };
}

/**
 * L_T = KL(q(x_T | x_0) ‖ N(0, I)) per sample, in bits per dimension (Ho et al. 2020, eq. 5): what
 * the forward process leaves of the data.
 *
 * @param x0 shape `[N, …]`.
 * @returns N values.
 */
export function priorKl(schedule: Schedule, x0: Tensor): Float64Array {
  const last = stepAt(schedule, schedule.timesteps[schedule.timesteps.length - 1]);
  const signal = Math.sqrt(last.alphaBar), logVariance = Math.log(last.oneMinusAlphaBar);
  return bitsPerDim(x0.shape, (i) => normalKlOf(signal * x0.data[i], logVariance, 0, 0));
}

/** A network's loss with a learned variance: L_hybrid and its parts, and the gradient of the batch mean. */
export interface HybridLoss {
  /** L_simple of each sample, length N. */
  readonly simple: Float64Array;
  /** The bound's term of each sample times `vlbScale`, length N. */
  readonly vlb: Float64Array;
  /** Mean of `simple` + `vlb` over the batch. */
  readonly mean: number;
  /** ∂mean/∂output; the bound does not reach the mean half. */
  readonly gradient: Tensor;
}

/**
 * L_hybrid = L_simple + λ·L_vlb for an ε prediction with a learned variance, where L_vlb sees the
 * mean as a constant (Nichol and Dhariwal 2021, eq. 16). λ is `vlbScale`; their code uses T/1000 per
 * term in bits, the paper 0.001 per T terms: the same number.
 *
 * @param t kept times in 1..T.
 * @param noise ε that made `xt` from `x0`.
 * @param modelOutput 2C channels.
 * @throws {ArgumentError} for a fixed variance or another prediction; as {@linkcode vlbTerm}.
 */
export function lossHybrid(
  schedule: Schedule,
  t: Times,
  x0: Tensor,
  xt: Tensor,
  noise: Tensor,
  modelOutput: Tensor,
  options: VlbOptions & { readonly vlbScale?: number } = {},
): HybridLoss {
  const { variance = "learnedRange", vlbScale = schedule.timesteps.length / 1000 } = options;
  const vlbOptions: VlbOptions = { ...options, variance, clip: null };
  if ((options.prediction ?? "epsilon") !== "epsilon") {
    unexpected("prediction epsilon for the hybrid loss", options.prediction);
  }
  const output = splitOutput(modelOutput, x0.shape, variance);
  if (output.variance === null) unexpected("variance learned or learnedRange", variance);
  const N = samplesOf(x0.shape), D = sizeOf(x0.shape) / N;
  const gradient = Float64Array.from(
    vlbTermGradient(schedule, t, x0, xt, modelOutput, vlbOptions).data,
    (g) => vlbScale * g / N,
  );
  const squares: Loss = lossSimple(noise, output.mean);
  const simple = new Float64Array(N);
  forEachSample(x0.shape, (n, start, end) => {
    for (let i = start; i < end; i++) {
      simple[n] += (noise.data[i] - output.mean.data[i]) ** 2 / D;
      gradient[start + i] = squares.gradient.data[i];
    }
  });
  const vlb = vlbTerm(schedule, t, x0, xt, modelOutput, vlbOptions).map((bits) => vlbScale * bits);
  const mean = simple.reduce((sum, s, n) => sum + s + vlb[n], 0) / N;
  return { simple, vlb, mean, gradient: tensor(modelOutput.shape, gradient) };
}

/** The whole bound of each sample, in bits per dimension, and its parts. */
export interface VariationalBound {
  /** L_T + Σ terms, length N. */
  readonly total: Float64Array;
  /** L_T, length N. */
  readonly prior: Float64Array;
  /** The kept times that `terms` belong to, descending. */
  readonly timesteps: readonly number[];
  /** L_{t−1} (or L_0) for each entry of `timesteps`, N values each. */
  readonly terms: readonly Float64Array[];
  /** Mean of (x̂_0 − x_0)² for each entry of `timesteps`, N values each. */
  readonly x0Mse: readonly Float64Array[];
  /** Mean of (ε̂ − ε)² for each entry of `timesteps`, N values each; ε̂ belongs to the clipped x̂_0. */
  readonly epsilonMse: readonly Float64Array[];
}

/**
 * The variational bound L = L_T + Σ_{t>1} L_{t−1} + L_0 with one draw of x_t per time
 * (Ho et al. 2020, eq. 5).
 *
 * @param model as in `sampleDdpm`; its output may have 2C channels for a learned variance.
 * @param x0 8-bit levels scaled to [−1, 1], shape `[N, C, …]`.
 * @param noiseAt the ε for the draw of x_t at time t, shaped like `x0`.
 * @throws {ArgumentError} for unknown options or wrong shapes.
 */
export async function variationalBound(
  schedule: Schedule,
  model: Model,
  x0: Tensor,
  noiseAt: (t: number) => Tensor,
  options: VlbOptions & { readonly signal?: AbortSignal } = {},
): Promise<VariationalBound> {
  const checked = checkVlbOptions(options);
  const timesteps = [...schedule.timesteps].reverse();
  const terms: Float64Array[] = [], x0Mse: Float64Array[] = [], epsilonMse: Float64Array[] = [];
  const D = sizeOf(x0.shape) / samplesOf(x0.shape);
  const meanSquare = (error: (i: number) => number) => {
    const out = new Float64Array(samplesOf(x0.shape));
    forEachSample(x0.shape, (n, start, end) => {
      for (let i = start; i < end; i++) out[n] += error(i) ** 2 / D;
    });
    return out;
  };
  for (const t of timesteps) {
    options.signal?.throwIfAborted();
    const noise = noiseAt(t);
    const xt = qSample(schedule, t, x0, noise);
    const output = await model(xt, t);
    terms.push(vlbTerm(schedule, t, x0, xt, output, options));
    const p = reverseDoubles(schedule, t, xt, output, checked);
    const step = stepAt(schedule, t);
    x0Mse.push(meanSquare((i) => p.x0[i] - x0.data[i]));
    epsilonMse.push(
      meanSquare((i) => epsilonFromX0(step, xt.data[i], p.x0[i]) - noise.data[i]),
    );
  }
  const prior = priorKl(schedule, x0);
  const total = prior.map((bits, n) => terms.reduce((sum, term) => sum + term[n], bits));
  return { total, prior, timesteps, terms, x0Mse, epsilonMse };
}
