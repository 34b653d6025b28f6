/**
 * The multistep DPM-Solver++ of orders 1, 2 and 3 (Lu et al. 2022b, "DPM-Solver++").
 *
 * In λ = ½ ln(ᾱ/(1−ᾱ)) the sampling ODE has the exact solution
 * x_prev = (σ_prev/σ_t)·x_t + σ_prev·∫ e^λ·x̂_0(λ) dλ from λ_t to λ_prev, with σ = √(1−ᾱ)
 * (proposition 4.1). A step replaces x̂_0(λ) by a polynomial through the predictions at `t` and before.
 *
 * @module
 */
import { ArgumentError, checkInteger, unexpected } from "../math/errors.ts";
import { checkShape, type Tensor, tensor } from "../math/tensor.ts";
import { checkClip, type Clip, CLIP_TO_DATA } from "./clip.ts";
import type { StepResult } from "./ddpm.ts";
import type { Prediction } from "./parameterisation.ts";
import { predictedX0 } from "./reverse.ts";
import type { Schedule } from "./schedule.ts";
import {
  elementwise,
  type NoiseLevel,
  noiseLevelAt,
  samplesOf,
  stepAt,
  type Times,
  timesPerSample,
} from "./step.ts";

/** Number of predictions that a step is made of. */
export type SolverOrder = 1 | 2 | 3;

/** Options of {@linkcode dpmSolverStep}. */
export interface DpmSolverOptions {
  /** Default 2. */
  readonly order?: SolverOrder;
  /** What the output stands for; `previousX` is refused. Default `epsilon`. */
  readonly prediction?: Exclude<Prediction, "previousX">;
  /** Clipping of x̂_0. Default {@linkcode CLIP_TO_DATA}. */
  readonly clip?: Clip;
}

/** x̂_0 as an earlier step predicted it. */
export interface PastPrediction {
  /** Where that step started. */
  readonly t: Times;
  /** Its x̂_0 after clipping, shaped like x_t. */
  readonly x0: Tensor;
}

/**
 * λ = ½ ln(ᾱ/(1−ᾱ)) (Lu et al. 2022b, section 2, with α² = ᾱ and σ² = 1−ᾱ): ∞ for clean data, −∞ for
 * pure noise.
 */
export function halfLogSnr(level: NoiseLevel): number {
  return (Math.log(level.alphaBar) - Math.log(level.oneMinusAlphaBar)) / 2;
}

/** λ at `from` less λ at the noisier level `to`, or an error where the two are one. */
function gapAbove(from: number, to: number): number {
  if (!(from > to)) unexpected(`times whose λ differ, from ${to} on`, from);
  return from - to;
}

/** The weights of x_t, of x̂_0 and of the earlier predictions, latest first. */
function solverWeights(
  order: SolverOrder,
  level: NoiseLevel,
  previous: NoiseLevel,
  past: readonly NoiseLevel[],
): { xt: number; x0: number[] } {
  const lambda = halfLogSnr(level), signal = Math.sqrt(previous.alphaBar);
  const h = gapAbove(halfLogSnr(previous), lambda);
  const xt = Math.sqrt(previous.oneMinusAlphaBar / level.oneMinusAlphaBar);
  const phi1 = -Math.expm1(-h);
  if (order === 1) return { xt, x0: [signal * phi1] };
  if (h === Infinity) unexpected("order 1 where the step starts at ᾱ = 0 or ends at time 0", order);
  // D1 = (h/h_0)(m_0 − m_1); from a prediction at ᾱ = 0 it is 0.
  const latest = halfLogSnr(past[0]), u = h / gapAbove(lambda, latest);
  if (order === 2) {
    const slope = signal * phi1 / 2 * u;
    return { xt, x0: [signal * phi1 + slope, -slope] };
  }
  // The difference before that, and the share of it in slope and curvature.
  const v = h / gapAbove(latest, halfLogSnr(past[1]));
  // r_0/(r_0 + r_1) and 1/(r_0 + r_1), with r_0 = 1/u and r_1 = 1/v.
  const share = v / (u + v), curve = u * share;
  const phi2 = 1 - phi1 / h, phi3 = phi2 / h - 1 / 2;
  const first = signal * (phi2 * (1 + share) - phi3 * curve) * u;
  const second = signal * (phi2 * share - phi3 * curve) * v;
  return { xt, x0: [signal * phi1 + first, -first - second, second] };
}

/** The earlier times per sample, checked: each above the one before, `history[0]` above t. */
function checkHistory(
  history: readonly PastPrediction[],
  order: SolverOrder,
  xt: Tensor,
): readonly (readonly number[])[] {
  if (!Array.isArray(history) || history.length < order - 1) {
    unexpected(`a history of at least ${order - 1} for order ${order}`, history?.length);
  }
  return history.slice(0, order - 1).map(({ t, x0 }, k) => {
    checkShape(`history[${k}].x0`, x0, xt.shape);
    return timesPerSample(t, samplesOf(xt.shape));
  });
}

/**
 * One step of DPM-Solver++ from time `t` to an earlier one. With m_0 = x̂_0 at t, m_1 and m_2 the
 * predictions before, latest first, h = λ_prev − λ_t, h_0 = λ_t − λ_1, h_1 = λ_1 − λ_2, and
 * r_0 = h_0/h, r_1 = h_1/h:
 *
 * order 1: x_prev = (σ_prev/σ_t)·x_t + √ᾱ_prev·(1−e^(−h))·m_0, which is DDIM at η = 0;
 *
 * order 2: m_0 + (m_0 − m_1)/(2r_0) for m_0 (Lu et al. 2022b, algorithm 2), the line through both
 * predictions at the middle of the step;
 *
 * order 3: + √ᾱ_prev·(φ_2·D_1 − φ_3·D_2) to order 1, with φ_2 = 1 − (1−e^(−h))/h, φ_3 = φ_2/h − ½, and D_1,
 * D_2 from the differences (m_0 − m_1)/r_0 and (m_1 − m_2)/r_1, as in the authors' code, whose D_2 is half
 * the curvature of the parabola through the three predictions (see docs/conventions.md#solver).
 *
 * @param t kept times in 1..T.
 * @param tPrev where the step ends, below `t`: a kept time, or with order 1 also 0, which gives x̂_0.
 * @param xt shape `[N, …]`.
 * @param modelOutput shaped like `xt`.
 * @param history earlier predictions, latest first; `order` − 1 of them are used.
 * @throws {ArgumentError} at ᾱ_t = 0 for ε or an order above 1; for times that do not fall in order,
 * unknown options or times, or wrong shapes.
 */
export function dpmSolverStep(
  schedule: Schedule,
  t: Times,
  tPrev: Times,
  xt: Tensor,
  modelOutput: Tensor,
  history: readonly PastPrediction[],
  options: DpmSolverOptions = {},
): StepResult {
  const { order = 2, prediction = "epsilon", clip = CLIP_TO_DATA } = options;
  checkInteger("order", order, 1, 3);
  if (!["epsilon", "x0", "v"].includes(prediction)) {
    unexpected("prediction epsilon, x0 or v for DPM-Solver++", prediction);
  }
  checkClip(clip);
  checkShape("modelOutput", modelOutput, xt.shape);
  const ends = timesPerSample(tPrev, samplesOf(xt.shape));
  const past = checkHistory(history, order, xt);
  const x0 = predictedX0(schedule, t, xt, modelOutput, prediction, clip);
  const x = elementwise(xt.shape, t, (tn, n) => {
    if (!(ends[n] < tn)) {
      throw new ArgumentError(`Expected tPrev below t = ${tn} but got ${ends[n]}`);
    }
    const times = [tn, ...past.map((of) => of[n])];
    times.forEach((later, k) => {
      if (k > 0 && !(later > times[k - 1])) {
        unexpected(`history[${k - 1}].t above ${times[k - 1]}`, later);
      }
    });
    const [level, ...before] = times.map((time) => stepAt(schedule, time));
    const weights = solverWeights(order, level, noiseLevelAt(schedule, ends[n]), before);
    return (i) =>
      weights.x0.reduce(
        (sum, weight, k) => sum + weight * (k === 0 ? x0[i] : history[k - 1].x0.data[i]),
        weights.xt * xt.data[i],
      );
  });
  return { x, x0: tensor(xt.shape, x0) };
}
