/**
 * The noise schedule: β_t by every rule of the field, and each table that follows from it, in double.
 *
 * Time is the paper's: t = 1..T, ᾱ_0 = 1. A respaced process keeps some of those times and is itself
 * a DDPM whose step k goes from one kept time to the next; its tables have one entry per kept time.
 *
 * 1 − ᾱ is accumulated on its own, as β_t + α_t(1 − ᾱ_{t−1}), because 1 − Πα cancels near t = 1.
 *
 * @module
 */
import { checkFinite, checkInteger, unexpected } from "../math/errors.ts";
import { logistic } from "../math/special.ts";
import type { BetaSchedule, ScheduleConfig } from "../spec/schedule_config.ts";

/** Largest T that a schedule is built for: its tables then hold about 100 MB. */
export const MAX_T = 1_000_000;

/** Tables of a (respaced) diffusion process, entry k for the k-th kept time, all in double. */
export interface Schedule {
  /** Number of steps of the original process. */
  readonly T: number;
  /** Kept times, ascending; 1..T when nothing was respaced. */
  readonly timesteps: readonly number[];
  /** β: variance that a step adds. */
  readonly beta: Float64Array;
  /** α = 1 − β. */
  readonly alpha: Float64Array;
  /** ᾱ = Πα. */
  readonly alphaBar: Float64Array;
  /** 1 − ᾱ. */
  readonly oneMinusAlphaBar: Float64Array;
  /** β̃: variance of the posterior; 0 in the first step. */
  readonly betaTilde: Float64Array;
  /** ln β̃, with the second step's value in the first step. */
  readonly logBetaTildeClipped: Float64Array;
  /** Coefficient of x_0 in the posterior mean. */
  readonly posteriorCoefX0: Float64Array;
  /** Coefficient of x_t in the posterior mean. */
  readonly posteriorCoefXt: Float64Array;
  /** √ᾱ. */
  readonly sqrtAlphaBar: Float64Array;
  /** √(1 − ᾱ). */
  readonly sqrtOneMinusAlphaBar: Float64Array;
  /** ᾱ/(1 − ᾱ). */
  readonly snr: Float64Array;
}

/** `count` numbers from `start` to `end`, evenly spaced, the last exactly `end`; a single one is `start`. */
function linspace(start: number, end: number, count: number): Float64Array {
  const spacing = count > 1 ? (end - start) / (count - 1) : 0;
  return Float64Array.from(
    { length: count },
    (_, i) => i > 0 && i === count - 1 ? end : start + i * spacing,
  );
}

/** β_t evenly spaced from `betaStart` to `betaEnd` (Ho et al. 2020, section 4). Not rescaled with T. */
export function linearBetas(T: number, betaStart: number, betaEnd: number): Float64Array {
  return linspace(betaStart, betaEnd, T);
}

/** √β_t evenly spaced: "quad" of the DDPM code, "scaled_linear" of diffusers. */
export function quadraticBetas(T: number, betaStart: number, betaEnd: number): Float64Array {
  return linspace(Math.sqrt(betaStart), Math.sqrt(betaEnd), T).map((root) => root * root);
}

/** β_t along a logistic of linspace(−6, 6) (GeoDiff; "sigmoid" of the DDIM code and diffusers). */
export function sigmoidBetas(T: number, betaStart: number, betaEnd: number): Float64Array {
  return linspace(-6, 6, T).map((u) => betaStart + (betaEnd - betaStart) * logistic(u));
}

/**
 * β_t = min(1 − ᾱ(t/T)/ᾱ((t−1)/T), maxBeta) for a continuous ᾱ(u), u in [0, 1]
 * (Nichol and Dhariwal 2021, eq. 17). A factor common to all of ᾱ cancels.
 */
export function betasForAlphaBar(
  T: number,
  alphaBar: (u: number) => number,
  maxBeta: number,
): Float64Array {
  return Float64Array.from(
    { length: T },
    (_, k) => Math.min(1 - alphaBar((k + 1) / T) / alphaBar(k / T), maxBeta),
  );
}

/** ᾱ(u) = cos²((u + s)/(1 + s)·π/2) (Nichol and Dhariwal 2021, eq. 17), β capped at `maxBeta`. */
export function cosineBetas(T: number, s = 0.008, maxBeta = 0.999): Float64Array {
  return betasForAlphaBar(T, (u) => Math.cos((u + s) / (1 + s) * Math.PI / 2) ** 2, maxBeta);
}

/**
 * ᾱ(u) = (σ(end/τ) − σ((u(end − start) + start)/τ)) / (σ(end/τ) − σ(start/τ)) (Jabri et al. 2022,
 * algorithm 1): a sigmoid in ᾱ, unrelated to {@linkcode sigmoidBetas}.
 */
export function sigmoidAlphaBarBetas(
  T: number,
  start: number,
  end: number,
  tau: number,
  maxBeta: number,
): Float64Array {
  const top = logistic(end / tau), bottom = logistic(start / tau);
  const alphaBar = (u: number) =>
    (top - logistic((u * (end - start) + start) / tau)) / (top - bottom);
  return betasForAlphaBar(T, alphaBar, maxBeta);
}

/** β_t = β for every t ("const" of the DDPM code). */
export function constantBetas(T: number, beta: number): Float64Array {
  return new Float64Array(T).fill(beta);
}

/** β_t = 1/(T − t + 1): 1/T, 1/(T−1), …, 1 ("jsd" of the DDPM code; Sohl-Dickstein et al. 2015). */
export function inverseBetas(T: number): Float64Array {
  return Float64Array.from({ length: T }, (_, k) => 1 / (T - k));
}

function checkBeta(name: string, value: unknown): number {
  const beta = checkFinite(name, value);
  if (beta <= 0 || beta > 1) unexpected(`${name} in (0, 1]`, beta);
  return beta;
}

function betasOfRule(rule: BetaSchedule): Float64Array {
  if (rule.kind === "betas") {
    if (!Array.isArray(rule.betas)) unexpected("betas to be an array of numbers", rule.betas);
    checkInteger("the number of betas", rule.betas.length, 1, MAX_T);
    return Float64Array.from(rule.betas, (beta, k) => checkBeta(`beta ${k + 1}`, beta));
  }
  const T = checkInteger("T", rule.T, 1, MAX_T);
  switch (rule.kind) {
    case "linear":
    case "quadratic":
    case "sigmoid": {
      const start = checkBeta("betaStart", rule.betaStart);
      const end = checkBeta("betaEnd", rule.betaEnd);
      if (rule.kind === "linear") return linearBetas(T, start, end);
      return rule.kind === "quadratic"
        ? quadraticBetas(T, start, end)
        : sigmoidBetas(T, start, end);
    }
    case "cosine": {
      const s = checkFinite("s", rule.s ?? 0.008);
      if (s < 0) unexpected("s of at least 0", s);
      return cosineBetas(T, s, checkBeta("maxBeta", rule.maxBeta ?? 0.999));
    }
    case "sigmoidAlphaBar": {
      const start = checkFinite("start", rule.start), end = checkFinite("end", rule.end);
      const tau = checkFinite("tau", rule.tau);
      if (start >= end) unexpected(`end above start = ${start}`, end);
      if (tau <= 0) unexpected("tau above 0", tau);
      return sigmoidAlphaBarBetas(T, start, end, tau, checkBeta("maxBeta", rule.maxBeta));
    }
    case "constant":
      return constantBetas(T, checkBeta("beta", rule.beta));
    case "inverse":
      return inverseBetas(T);
  }
}

const KINDS = "linear, quadratic, sigmoid, cosine, constant, inverse, sigmoidAlphaBar or betas";
const KIND_LIST = KINDS.replace(" or ", ", ").split(", ");

/**
 * β_1..β_T of a schedule's rule, before zero-terminal-SNR rescaling and respacing.
 *
 * @throws {ArgumentError} for an unknown kind, a missing or out-of-range number, a β outside (0, 1),
 * or a β = 1 before the last step.
 */
export function betas(rule: BetaSchedule): Float64Array {
  if (typeof rule !== "object" || rule === null) unexpected("a schedule object", rule);
  if (!KIND_LIST.includes(rule.kind)) unexpected(`schedule kind ${KINDS}`, rule.kind);
  const all = betasOfRule(rule);
  all.forEach((beta, k) => {
    if (!(beta > 0) || beta > 1 || (beta === 1 && k + 1 < all.length)) {
      unexpected(`beta ${k + 1} of ${all.length} in (0, 1), or 1 as the last`, beta);
    }
  });
  return all;
}

/** α_t = 1 − β_t (Ho et al. 2020, before eq. 4). */
export function alphas(beta: Float64Array): Float64Array {
  return beta.map((b) => 1 - b);
}

/**
 * ᾱ_t = Π_{s ≤ t} α_s (Ho et al. 2020, before eq. 4).
 *
 * @param alpha α where it is known better than 1 − β: between distant kept times, where β is near 1.
 */
export function alphaBars(
  beta: Float64Array,
  alpha: Float64Array = alphas(beta),
): Float64Array {
  let product = 1;
  return alpha.map((a) => product *= a);
}

/** 1 − ᾱ_t = β_t + α_t(1 − ᾱ_{t−1}), a sum of positive terms. */
export function oneMinusAlphaBars(beta: Float64Array): Float64Array {
  let variance = 0;
  return beta.map((b) => variance = b + (1 - b) * variance);
}

/** The table one step earlier, with its value at time 0 in front. */
function previous(table: Float64Array, atZero: number): Float64Array {
  return table.map((_, k) => k === 0 ? atZero : table[k - 1]);
}

/** β̃_t = (1 − ᾱ_{t−1})/(1 − ᾱ_t)·β_t (Ho et al. 2020, eq. 7); β̃_1 = 0. */
export function betaTildes(beta: Float64Array): Float64Array {
  const variance = oneMinusAlphaBars(beta);
  const before = previous(variance, 0);
  return beta.map((b, k) => before[k] / variance[k] * b);
}

/**
 * ln β̃_t, where the first step, whose β̃ is 0, takes the second step's value; a one-step process
 * takes ln β_1. So the original code; others use ln 1e−20 (see docs/equations.md).
 */
export function logBetaTildesClipped(beta: Float64Array): Float64Array {
  const tilde = betaTildes(beta);
  const first = beta.length > 1 ? tilde[1] : beta[0];
  return tilde.map((b, k) => Math.log(k === 0 ? first : b));
}

/**
 * Coefficient of x_0 in the posterior mean: √ᾱ_{t−1}·β_t/(1 − ᾱ_t) (Ho et al. 2020, eq. 7).
 *
 * @param alpha as in {@linkcode alphaBars}.
 */
export function posteriorCoefsX0(
  beta: Float64Array,
  alpha: Float64Array = alphas(beta),
): Float64Array {
  const before = previous(alphaBars(beta, alpha), 1);
  const variance = oneMinusAlphaBars(beta);
  return beta.map((b, k) => Math.sqrt(before[k]) * b / variance[k]);
}

/**
 * Coefficient of x_t in the posterior mean: √α_t·(1 − ᾱ_{t−1})/(1 − ᾱ_t) (Ho et al. 2020, eq. 7).
 *
 * @param alpha as in {@linkcode alphaBars}.
 */
export function posteriorCoefsXt(
  beta: Float64Array,
  alpha: Float64Array = alphas(beta),
): Float64Array {
  const variance = oneMinusAlphaBars(beta);
  const before = previous(variance, 0);
  return alpha.map((a, k) => Math.sqrt(a) * before[k] / variance[k]);
}

/**
 * SNR_t = ᾱ_t/(1 − ᾱ_t) (Kingma et al. 2021, eq. 2).
 *
 * @param alpha as in {@linkcode alphaBars}.
 */
export function signalToNoise(
  beta: Float64Array,
  alpha: Float64Array = alphas(beta),
): Float64Array {
  const variance = oneMinusAlphaBars(beta);
  return alphaBars(beta, alpha).map((signal, k) => signal / variance[k]);
}

/**
 * β rescaled so that ᾱ_T = 0 while ᾱ_1 stays: √ᾱ is shifted by −√ᾱ_T and scaled by
 * √ᾱ_1/(√ᾱ_1 − √ᾱ_T) (Lin et al. 2023, algorithm 1).
 *
 * @throws {ArgumentError} if there are fewer than two steps, or so many that ᾱ stops falling in double.
 */
export function rescaleZeroTerminalSnr(beta: Float64Array): Float64Array {
  checkInteger("T with zeroTerminalSnr", beta.length, 2, MAX_T);
  const root = alphaBars(beta).map(Math.sqrt);
  const first = root[0], last = root[root.length - 1];
  if (!(first > last)) unexpected("betas large enough that ᾱ_1 > ᾱ_T in double", first - last);
  const rescaled = root.map((r) => ((r - last) * first / (first - last)) ** 2);
  return rescaled.map((signal, k) => {
    if (k === 0) return beta[0];
    // In a long process ᾱ reaches 0, or its last value, in double before the last step.
    if (rescaled[k - 1] === 0) unexpected("an ᾱ that falls in double up to the last step", root[k]);
    return 1 - signal / rescaled[k - 1];
  });
}

/** The β of each gap between kept times, the first gap starting at time 0. */
function gapsOf(beta: Float64Array, keep: readonly number[]): Float64Array[] {
  if (!Array.isArray(keep) || keep.length === 0) unexpected("keep to be a list of times", keep);
  let last = 0;
  return keep.map((t) => {
    checkInteger(`keep ascending with its next time`, t, last + 1, beta.length);
    const gap = beta.subarray(last, t);
    last = t;
    return gap;
  });
}

/**
 * β of the process that keeps only `keep`: the variance added between kept times, 1 − Πα over the
 * gap, accumulated like 1 − ᾱ. Its ᾱ at a kept time is the original's (Nichol and Dhariwal 2021,
 * section 4).
 *
 * @throws {ArgumentError} unless `keep` is a non-empty ascending list of times in 1..T.
 */
export function respaceBetas(beta: Float64Array, keep: readonly number[]): Float64Array {
  return Float64Array.from(
    gapsOf(beta, keep),
    (gap) => oneMinusAlphaBars(gap)[gap.length - 1],
  );
}

/**
 * α of the process that keeps only `keep`: Πα over each gap. Over a long gap it is tiny, and 1 − β of
 * {@linkcode respaceBetas} would have lost it.
 *
 * @throws {ArgumentError} as {@linkcode respaceBetas}.
 */
export function respaceAlphas(beta: Float64Array, keep: readonly number[]): Float64Array {
  return Float64Array.from(gapsOf(beta, keep), (gap) => alphaBars(gap)[gap.length - 1]);
}

/**
 * The tables of a schedule.
 *
 * @throws {ArgumentError} for anything outside what {@linkcode ScheduleConfig} allows.
 */
export function createSchedule(config: ScheduleConfig): Schedule {
  const original = betas(config);
  const rescaled = config.zeroTerminalSnr ? rescaleZeroTerminalSnr(original) : original;
  const beta = config.keep === undefined ? rescaled : respaceBetas(rescaled, config.keep);
  const alpha = config.keep === undefined ? alphas(beta) : respaceAlphas(rescaled, config.keep);
  const alphaBar = alphaBars(beta, alpha);
  const oneMinusAlphaBar = oneMinusAlphaBars(beta);
  return {
    T: original.length,
    timesteps: config.keep ?? Array.from(original, (_, k) => k + 1),
    beta,
    alpha,
    alphaBar,
    oneMinusAlphaBar,
    betaTilde: betaTildes(beta),
    logBetaTildeClipped: logBetaTildesClipped(beta),
    posteriorCoefX0: posteriorCoefsX0(beta, alpha),
    posteriorCoefXt: posteriorCoefsXt(beta, alpha),
    sqrtAlphaBar: alphaBar.map(Math.sqrt),
    sqrtOneMinusAlphaBar: oneMinusAlphaBar.map(Math.sqrt),
    snr: signalToNoise(beta, alpha),
  };
}
