/**
 * What a network may predict, and how each prediction is turned into another: ε, x_0, v, the score
 * and the posterior mean ("previousX"). Every value decodes to the pair (x̂_0, ε̂), and each is a
 * formula in that pair. One element per call; {@linkcode convert} maps a tensor.
 *
 * @module
 */
import { ArgumentError, unexpected } from "../math/errors.ts";
import { checkShape, type Tensor } from "../math/tensor.ts";
import { posteriorMeanOf } from "./posterior.ts";
import type { Schedule } from "./schedule.ts";
import { elementwise, type NoiseLevel, type Step, stepAt, type Times } from "./step.ts";

/** A quantity that determines x̂_0 given x_t. */
export type Quantity = "epsilon" | "x0" | "v" | "score" | "previousX";

/** What a network's output stands for; `previousX` is the mean of the next step itself. */
export type Prediction = "epsilon" | "x0" | "v" | "previousX";

function checkSignal(level: NoiseLevel): number {
  if (level.alphaBar === 0) {
    throw new ArgumentError(
      "Expected a time with ᾱ > 0 but got one with ᾱ = 0: x_0 from epsilon or score is undefined at ᾱ = 0",
    );
  }
  return Math.sqrt(level.alphaBar);
}

/** x̂_0 = (x_t − √(1−ᾱ_t)·ε)/√ᾱ_t (Ho et al. 2020, eq. 15). @throws {ArgumentError} at ᾱ_t = 0. */
export function x0FromEpsilon(level: NoiseLevel, xt: number, epsilon: number): number {
  return (xt - Math.sqrt(level.oneMinusAlphaBar) * epsilon) / checkSignal(level);
}

/** x̂_0 = √ᾱ_t·x_t − √(1−ᾱ_t)·v (Salimans and Ho 2022, section 4). */
export function x0FromV(level: NoiseLevel, xt: number, v: number): number {
  return Math.sqrt(level.alphaBar) * xt - Math.sqrt(level.oneMinusAlphaBar) * v;
}

/** x̂_0 = (x_t + (1−ᾱ_t)·s)/√ᾱ_t, Tweedie's formula for s = ∇ ln q(x_t). @throws at ᾱ_t = 0. */
export function x0FromScore(level: NoiseLevel, xt: number, score: number): number {
  return (xt + level.oneMinusAlphaBar * score) / checkSignal(level);
}

/** x̂_0 from the posterior mean: eq. 7 of Ho et al. 2020 solved for x_0. */
export function x0FromPreviousX(step: Step, xt: number, mean: number): number {
  return (mean - step.posteriorCoefXt * xt) / step.posteriorCoefX0;
}

/** ε = (x_t − √ᾱ_t·x_0)/√(1−ᾱ_t): the noise that takes x_0 to x_t (Ho et al. 2020, eq. 4). */
export function epsilonFromX0(level: NoiseLevel, xt: number, x0: number): number {
  return (xt - Math.sqrt(level.alphaBar) * x0) / Math.sqrt(level.oneMinusAlphaBar);
}

/** ε = √ᾱ_t·v + √(1−ᾱ_t)·x_t (Salimans and Ho 2022, section 4). */
export function epsilonFromV(level: NoiseLevel, xt: number, v: number): number {
  return Math.sqrt(level.alphaBar) * v + Math.sqrt(level.oneMinusAlphaBar) * xt;
}

/** ε = −√(1−ᾱ_t)·s (Song, Sohl-Dickstein et al. 2021, "Score-Based Generative Modeling", section 3). */
export function epsilonFromScore(level: NoiseLevel, score: number): number {
  return -Math.sqrt(level.oneMinusAlphaBar) * score;
}

/** v = √ᾱ_t·ε − √(1−ᾱ_t)·x_0 (Salimans and Ho 2022, section 4). */
export function vFromX0(level: NoiseLevel, x0: number, epsilon: number): number {
  return Math.sqrt(level.alphaBar) * epsilon - Math.sqrt(level.oneMinusAlphaBar) * x0;
}

/** s = −ε/√(1−ᾱ_t) (Song, Sohl-Dickstein et al. 2021, "Score-Based Generative Modeling", section 3). */
export function scoreFromEpsilon(level: NoiseLevel, epsilon: number): number {
  return -epsilon / Math.sqrt(level.oneMinusAlphaBar);
}

/** x̂_0 of one element from any quantity. @throws {ArgumentError} at ᾱ_t = 0 for ε and score. */
export function x0From(quantity: Quantity, step: Step, xt: number, value: number): number {
  switch (quantity) {
    case "epsilon":
      return x0FromEpsilon(step, xt, value);
    case "x0":
      return value;
    case "v":
      return x0FromV(step, xt, value);
    case "score":
      return x0FromScore(step, xt, value);
    case "previousX":
      return x0FromPreviousX(step, xt, value);
  }
}

/** ε̂ of one element from any quantity. */
export function epsilonFrom(quantity: Quantity, step: Step, xt: number, value: number): number {
  switch (quantity) {
    case "epsilon":
      return value;
    case "v":
      return epsilonFromV(step, xt, value);
    case "score":
      return epsilonFromScore(step, value);
    default:
      return epsilonFromX0(step, xt, x0From(quantity, step, xt, value));
  }
}

function convertOne(from: Quantity, to: Quantity, step: Step, xt: number, value: number): number {
  if (from === to) return value;
  switch (to) {
    case "x0":
      return x0From(from, step, xt, value);
    case "epsilon":
      return epsilonFrom(from, step, xt, value);
    case "v":
      return vFromX0(step, x0From(from, step, xt, value), epsilonFrom(from, step, xt, value));
    case "score":
      return scoreFromEpsilon(step, epsilonFrom(from, step, xt, value));
    case "previousX":
      return posteriorMeanOf(step, x0From(from, step, xt, value), xt);
  }
}

const QUANTITIES: readonly Quantity[] = ["epsilon", "x0", "v", "score", "previousX"];

/**
 * Turns one quantity into another at the same (x_t, t).
 *
 * @param t kept times in 1..T.
 * @param xt shape `[N, …]`.
 * @param value the `from` quantity, shaped like `xt`.
 * @returns the `to` quantity, shaped like `xt`.
 * @throws {ArgumentError} where ᾱ_t = 0 and x_0 would have to come from ε or the score; for unknown
 * quantities, times or differing shapes.
 */
export function convert(
  schedule: Schedule,
  t: Times,
  xt: Tensor,
  from: Quantity,
  to: Quantity,
  value: Tensor,
): Tensor {
  for (const quantity of [from, to]) {
    if (!QUANTITIES.includes(quantity)) {
      unexpected("one of epsilon, x0, v, score, previousX", quantity);
    }
  }
  checkShape("value", value, xt.shape);
  return elementwise(xt.shape, t, (tn) => {
    const step = stepAt(schedule, tn);
    return (i) => convertOne(from, to, step, xt.data[i], value.data[i]);
  });
}

/**
 * The mean of p_θ(x_{t−1} | x_t) in closed form,
 * μ_θ = (x_t − β_t/√(1−ᾱ_t)·ε̂)/√α_t (Ho et al. 2020, eq. 11).
 *
 * Equal to the posterior mean at x̂_0 when nothing is clipped; `pMeanVariance` takes that way, which
 * stays defined at α_t = 0 for other predictions.
 *
 * @param t kept times in 1..T.
 * @param xt shape `[N, …]`.
 * @param epsilonHat ε̂, shaped like `xt`.
 * @throws {ArgumentError} where α_t = 0, for unknown times or differing shapes.
 */
export function meanFromEpsilon(
  schedule: Schedule,
  t: Times,
  xt: Tensor,
  epsilonHat: Tensor,
): Tensor {
  checkShape("epsilonHat", epsilonHat, xt.shape);
  return elementwise(xt.shape, t, (tn) => {
    const { alpha, beta, oneMinusAlphaBar } = stepAt(schedule, tn);
    if (alpha === 0) unexpected("a time with α > 0 for the mean from epsilon", alpha);
    const ratio = beta / Math.sqrt(oneMinusAlphaBar), scale = 1 / Math.sqrt(alpha);
    return (i) => scale * (xt.data[i] - ratio * epsilonHat.data[i]);
  });
}
