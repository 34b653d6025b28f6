/**
 * A diffusion process from its raw β by other roads than the reference's: ᾱ from a compensated sum of
 * ln α, 1 − ᾱ by expm1 of it, the posterior as the product of two Gaussians. Never imports the
 * reference.
 *
 * @module
 */

/** Signal and noise share at a time. */
export interface Level {
  readonly alphaBar: number;
  readonly oneMinusAlphaBar: number;
}

/** One step, from kept time `t` down to `previous`. */
export interface IndependentStep extends Level {
  readonly t: number;
  readonly previous: number;
  readonly first: boolean;
  readonly beta: number;
  readonly alpha: number;
  /** ln ᾱ_t − ln ᾱ_previous. */
  readonly logAlpha: number;
  readonly logAlphaBar: number;
  /** The level where the step ends. */
  readonly before: Level;
  /** Var(x_{t−1} | x_t, x_0). */
  readonly posteriorVariance: number;
  /** Its logarithm; in the first step the second's, in a one-step process ln β. */
  readonly logVarianceClipped: number;
  /** ∂E(x_{t−1} | x_t, x_0)/∂x_0. */
  readonly coefX0: number;
  /** ∂E(x_{t−1} | x_t, x_0)/∂x_t. */
  readonly coefXt: number;
}

/** A process with what the reference's tables may differ from it by. */
export interface IndependentProcess {
  readonly T: number;
  readonly steps: readonly IndependentStep[];
  /**
   * Bound on the relative error of β, ᾱ, 1 − ᾱ in the reference's tables, in units of 2^−53
   * (docs/numerics.md#tables).
   */
  readonly roundings: number;
  /** The same for a coefficient of an equation: two table entries and a few operations. */
  readonly n: number;
}

/** Sums of the first 1, 2, … values by Neumaier's compensation: each is off by one rounding. */
export function runningSums(values: readonly number[]): number[] {
  let sum = 0, lost = 0;
  return values.map((value) => {
    const next = sum + value;
    if (Number.isFinite(next)) {
      lost += Math.abs(sum) >= Math.abs(value) ? (sum - next) + value : (value - next) + sum;
    }
    sum = next;
    return sum + lost;
  });
}

/** The compensated sum of all values; 0 of none. */
export function compensatedSum(values: readonly number[]): number {
  return values.length === 0 ? 0 : runningSums(values)[values.length - 1];
}

/** ln α of a list of β. */
export function logAlphas(betas: readonly number[]): number[] {
  return betas.map((beta) => Math.log1p(-beta));
}

/** ln α after rescaling to zero terminal SNR, and the roundings that the reference's way costs. */
export interface Rescaled {
  readonly logAlpha: number[];
  /** Bound on the relative error of each β, in units of 2^−53. */
  readonly betaRoundings: number[];
  /** Bound on the relative error of ᾱ and 1 − ᾱ, in units of 2^−53. */
  readonly roundings: number;
}

/**
 * √ᾱ_t → (√ᾱ_t − √ᾱ_T)·√ᾱ_1/(√ᾱ_1 − √ᾱ_T), with d_t = √ᾱ_t − √ᾱ_T = −√ᾱ_t·expm1(½Σ_{s>t} ln α_s) and
 * β_t = (d_{t−1} − d_t)(d_{t−1} + d_t)/d_{t−1}². The roundings are derived in docs/numerics.md#zero-snr.
 */
export function independentRescale(logAlpha: readonly number[]): Rescaled {
  const T = logAlpha.length;
  const root = runningSums(logAlpha).map((total) => Math.exp(total / 2));
  const after = [0, ...runningSums(logAlpha.toReversed())].toReversed();
  const d = root.map((r, k) => -r * Math.expm1(after[k + 1] / 2));
  const last = root[T - 1];
  // β_1 is kept; only the way through ln α rounds it.
  const out = [logAlpha[0]], betaRoundings = [3];
  let roundings = 0, replayed = 0;
  const lostAt = (k: number) => T + 2 + (T - k + 1) * last / d[k];
  for (let k = 1; k < T; k++) {
    const fall = -root[k - 1] * Math.expm1(logAlpha[k] / 2);
    const beta = fall * (d[k - 1] + d[k]) / d[k - 1] ** 2;
    const kept = (d[k] / d[k - 1]) ** 2;
    out.push(kept < 0.5 ? 2 * Math.log(d[k] / d[k - 1]) : Math.log1p(-beta));
    if (k === T - 1) {
      betaRoundings.push(0);
      break;
    }
    const ratio = 2 * (3 * (1 + last / d[k - 1]) +
          last * (T - k + 1) * fall / (d[k] * d[k - 1]) + 2) + 11;
    // One rounding of the subtraction from 1, two of this form.
    betaRoundings.push((kept * ratio + 3) / beta);
    replayed += 1 / kept + 2;
    roundings = Math.max(
      roundings,
      betaRoundings[k],
      2 * (lostAt(k) + lostAt(0)) + 8 + replayed,
    );
  }
  return { logAlpha: out, betaRoundings, roundings };
}

/** q(x_{t−1} | x_t, x_0) as a product of Gaussians in x_{t−1}. */
function posterior(
  alpha: number,
  beta: number,
  before: Level,
): { variance: number; x0: number; xt: number } {
  // At time 0 the prior is a point: the posterior is x_0.
  if (before.oneMinusAlphaBar === 0) return { variance: 0, x0: 1, xt: 0 };
  // N(x_{t−1}; √ᾱ_{t−1} x_0, 1−ᾱ_{t−1}) · N(x_t; √α x_{t−1}, β): precisions add.
  const variance = 1 / (1 / before.oneMinusAlphaBar + alpha / beta);
  return {
    variance,
    x0: variance * Math.sqrt(before.alphaBar) / before.oneMinusAlphaBar,
    xt: variance * Math.sqrt(alpha) / beta,
  };
}

/** The process that keeps `keep` (ascending; default all) of the times of `logAlpha`. */
export function independentProcess(
  logAlpha: readonly number[],
  keep: readonly number[] = logAlpha.map((_, k) => k + 1),
  extraRoundings = 0,
): IndependentProcess {
  const steps: IndependentStep[] = [];
  const totals = runningSums(logAlpha);
  let before: Level = { alphaBar: 1, oneMinusAlphaBar: 0 };
  let deepest = 0;
  keep.forEach((t, k) => {
    const previous = k === 0 ? 0 : keep[k - 1];
    const gap = compensatedSum(logAlpha.slice(previous, t));
    const total = totals[t - 1];
    const alpha = Math.exp(gap), beta = -Math.expm1(gap);
    const level = { alphaBar: Math.exp(total), oneMinusAlphaBar: -Math.expm1(total) };
    const { variance, x0, xt } = posterior(alpha, beta, before);
    steps.push({
      ...level,
      t,
      previous,
      first: k === 0,
      beta,
      alpha,
      logAlpha: gap,
      logAlphaBar: total,
      before,
      posteriorVariance: variance,
      logVarianceClipped: Math.log(variance),
      coefX0: x0,
      coefXt: xt,
    });
    if (Number.isFinite(total)) deepest = -total;
    before = level;
  });
  const clipped = steps.length > 1 ? Math.log(steps[1].posteriorVariance) : Math.log(steps[0].beta);
  steps[0] = { ...steps[0], logVarianceClipped: clipped };
  const roundings = 3 * logAlpha.length + 3 * deepest + 4 + extraRoundings;
  return { T: logAlpha.length, steps, roundings, n: 2 * roundings + 16 };
}
