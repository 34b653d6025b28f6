/**
 * Training losses on ε (Ho et al. 2020, section 3.4) and their weightings over time.
 *
 * @module
 */
import { checkFinite, unexpected } from "../math/errors.ts";
import { checkShape, type Tensor, tensor } from "../math/tensor.ts";
import type { Schedule } from "./schedule.ts";
import { forEachSample, samplesOf, type Step, stepAt, type Times, timesPerSample } from "./step.ts";

/** A loss over a batch. */
export interface Loss {
  /** Mean over all elements. */
  readonly mean: number;
  /** Sum over all elements: the squared norm of the papers. */
  readonly sum: number;
  /** ∂mean/∂ε̂, shaped like ε̂. */
  readonly gradient: Tensor;
}

/** Σ_n w_n‖ε_n − ε̂_n‖² over the batch, its mean over elements and that mean's gradient. */
function weightedSquares(epsilon: Tensor, epsilonHat: Tensor, weights: readonly number[]): Loss {
  checkShape("epsilonHat", epsilonHat, epsilon.shape);
  const size = epsilon.data.length;
  if (size === 0) unexpected("at least one element", size);
  const gradient = new Float64Array(size);
  let sum = 0;
  forEachSample(epsilon.shape, (n, start, end) => {
    let squares = 0;
    for (let i = start; i < end; i++) {
      const error = epsilonHat.data[i] - epsilon.data[i];
      squares += error * error;
      gradient[i] = 2 * weights[n] * error / size;
    }
    sum += weights[n] * squares;
  });
  return { mean: sum / size, sum, gradient: tensor(epsilon.shape, gradient) };
}

/**
 * L_simple = E‖ε − ε̂‖² (Ho et al. 2020, eq. 14). The paper's squared norm is `sum`; training code
 * uses the mean over elements, except ermongroup's, which sums.
 *
 * @param epsilon the noise that was added, shape `[N, …]`.
 * @param epsilonHat the network's prediction of it.
 * @throws {ArgumentError} if the shapes differ or are empty.
 */
export function lossSimple(epsilon: Tensor, epsilonHat: Tensor): Loss {
  return weightedSquares(epsilon, epsilonHat, new Array(samplesOf(epsilon.shape)).fill(1));
}

/** σ² of the reverse step in a loss weight: β (the real β_1 at t = 1), β̃, or a number. */
export type WeightVariance = "beta" | "betaTilde" | { readonly sigma2: number };

function weightSigma2(step: Step, variance: WeightVariance): number {
  if (variance === "beta") return step.beta;
  if (variance === "betaTilde") return step.betaTilde;
  if (typeof variance !== "object" || variance === null) {
    unexpected("variance beta, betaTilde or a sigma2", variance);
  }
  const sigma2 = checkFinite("sigma2", variance.sigma2);
  if (!(sigma2 > 0)) unexpected("sigma2 above 0", sigma2);
  return sigma2;
}

/**
 * w(t) = β_t²/(2σ_t²α_t(1−ᾱ_t)), the weight of ‖ε − ε̂‖² in the variational bound
 * (Ho et al. 2020, eq. 12). Infinite for β̃_1 = 0, where the bound has the decoder term instead, and
 * at α_t = 0.
 *
 * @param t a kept time in 1..T.
 * @throws {ArgumentError} for an unknown variance or time.
 */
export function vlbWeight(schedule: Schedule, t: number, variance: WeightVariance): number {
  const step = stepAt(schedule, t);
  const sigma2 = weightSigma2(step, variance);
  return step.beta ** 2 / (2 * sigma2 * step.alpha * step.oneMinusAlphaBar);
}

/**
 * min(SNR_t, γ)/SNR_t, the min-SNR weight for ε prediction (Hang et al. 2023, section 3.4); 1 in the
 * limit SNR = 0.
 *
 * @throws {ArgumentError} for an unknown time or γ ≤ 0.
 */
export function minSnrWeight(schedule: Schedule, t: number, gamma = 5): number {
  if (!(checkFinite("gamma", gamma) > 0)) unexpected("gamma above 0", gamma);
  const { snr } = stepAt(schedule, t);
  return snr <= gamma ? 1 : gamma / snr;
}

/**
 * (k + SNR_t)^−γ, the P2 weight (Choi et al. 2022, eq. 8).
 *
 * @throws {ArgumentError} for an unknown time, k ≤ 0 or γ < 0.
 */
export function p2Weight(schedule: Schedule, t: number, k = 1, gamma = 1): number {
  if (!(checkFinite("p2K", k) > 0)) unexpected("p2K above 0", k);
  if (checkFinite("p2Gamma", gamma) < 0) unexpected("p2Gamma of at least 0", gamma);
  return (k + stepAt(schedule, t).snr) ** -gamma;
}

/** Which weight over time multiplies ‖ε − ε̂‖². */
export type Weighting =
  | { readonly kind: "none" }
  | { readonly kind: "vlb"; readonly variance: WeightVariance }
  | { readonly kind: "minSnr"; readonly gamma?: number }
  | { readonly kind: "p2"; readonly k?: number; readonly gamma?: number };

/** The weight of time `t` under a weighting. @throws {ArgumentError} for an unknown kind or time. */
export function weightAt(schedule: Schedule, t: number, weighting: Weighting): number {
  switch (weighting.kind) {
    case "none":
      return stepAt(schedule, t) && 1;
    case "vlb":
      return vlbWeight(schedule, t, weighting.variance);
    case "minSnr":
      return minSnrWeight(schedule, t, weighting.gamma);
    case "p2":
      return p2Weight(schedule, t, weighting.k, weighting.gamma);
    default:
      return unexpected("weighting none, vlb, minSnr or p2", (weighting as Weighting).kind);
  }
}

/**
 * L = E[w(t)‖ε − ε̂‖²] (Ho et al. 2020, eq. 12 with `vlb`), one weight per sample.
 *
 * @param t kept times in 1..T.
 * @param epsilon the noise that was added, shape `[N, …]`.
 * @throws {ArgumentError} where the weight is infinite; for unknown times or differing shapes.
 */
export function lossWeighted(
  schedule: Schedule,
  t: Times,
  epsilon: Tensor,
  epsilonHat: Tensor,
  weighting: Weighting,
): Loss {
  const weights = timesPerSample(t, samplesOf(epsilon.shape)).map((tn) => {
    const weight = weightAt(schedule, tn, weighting);
    if (!Number.isFinite(weight)) unexpected(`a finite loss weight at t = ${tn}`, weight);
    return weight;
  });
  return weightedSquares(epsilon, epsilonHat, weights);
}
