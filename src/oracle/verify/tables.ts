/**
 * How far the tables of an implementation may be off: computed in double, or all in float32 from the
 * β rule on, where ᾱ is a cumulative product and 1 − ᾱ the difference that cancels.
 *
 * @module
 */
import { logistic } from "../../math/special.ts";
import { unexpected } from "../../math/errors.ts";
import { betas, rescaleZeroTerminalSnr, type Schedule } from "../../reference/schedule.ts";
import type { BetaSchedule, ScheduleConfig } from "../../spec/schedule_config.ts";
import { type Approx, exact, Rounding } from "./rounding.ts";

/** Absolute errors that an implementation's tables may have, one entry per kept time. */
export interface TableErrors {
  /** Of ᾱ. */
  readonly alphaBar: Float64Array;
  /** Of 1 − ᾱ. */
  readonly oneMinusAlphaBar: Float64Array;
  /** Of β. */
  readonly beta: Float64Array;
  /** Of α = 1 − β. */
  readonly alpha: Float64Array;
}

/** Errors of ᾱ(u) = cos²θ or of the sigmoid's numerator, relative, at the T + 1 points k/T. */
function alphaBarErrors(rule: BetaSchedule, T: number, u: number): (k: number) => number {
  if (rule.kind === "cosine") {
    const s = rule.s ?? 0.008;
    return (k) => {
      const theta = (k / T + s) / (1 + s) * Math.PI / 2;
      // θ takes 8 roundings and cos has 4u: 16u together, relative to cos, twice for the square.
      return 32 * u / Math.max(Math.abs(Math.cos(theta)), 1e-300);
    };
  }
  if (rule.kind !== "sigmoidAlphaBar") return () => 0;
  const top = logistic(rule.end / rule.tau);
  const widest = Math.max(Math.abs(rule.start), Math.abs(rule.end)) / rule.tau;
  return (k) => {
    const at = (k / T * (rule.end - rule.start) + rule.start) / rule.tau;
    return (8 + 2 * widest) * u / Math.max(top - logistic(at), 1e-300);
  };
}

/** Errors of β_1..β_T of a rule evaluated with unit roundoff u. */
function ruleErrors(rule: BetaSchedule, beta: Float64Array, u: number): Float64Array {
  switch (rule.kind) {
    case "betas":
    case "constant":
      return beta.map((b) => u * b);
    case "inverse":
      return beta.map((b) => 4 * u * b);
    case "linear":
      return beta.map(() => 8 * u * Math.max(rule.betaStart, rule.betaEnd));
    case "quadratic":
      return beta.map(() => 16 * u * Math.max(rule.betaStart, rule.betaEnd));
    case "sigmoid":
      return beta.map(() => 48 * u * Math.max(rule.betaStart, rule.betaEnd));
    case "cosine":
    case "sigmoidAlphaBar": {
      const error = alphaBarErrors(rule, beta.length, u);
      const cap = rule.maxBeta ?? 0.999;
      return beta.map((b, k) =>
        // At the cap it is the cap that is rounded, whatever the quotient's error.
        b === cap ? 4 * u : Math.min((1 - b) * (error(k) + error(k + 1)) + 4 * u, 2)
      );
    }
  }
}

/** Relative errors of a running product: those of the factors add up. */
function productErrors(alpha: Float64Array, error: Float64Array, u: number): Float64Array {
  let relative = 0;
  // A last α of exactly 0 is 0 in every arithmetic.
  return alpha.map((a, k) => relative += a > 0 ? error[k] / a + 2 * u : 0);
}

/** Errors of √ᾱ − √ᾱ_T scaled, and what follows: the rescaling to zero terminal SNR. */
function rescaledErrors(original: Float64Array, error: Float64Array, u: number): Float64Array {
  let product = 1, relative = 0;
  const roots: number[] = [], rootErrors: number[] = [];
  original.forEach((beta, k) => {
    product *= 1 - beta;
    if (beta < 1) relative += (error[k] + u) / (1 - beta) + 2 * u;
    roots.push(Math.sqrt(product));
    rootErrors.push(Math.sqrt(product) * (relative / 2 + 2 * u));
  });
  const last = roots[roots.length - 1], lastError = rootErrors[roots.length - 1];
  const relativeAt = (k: number) => {
    const gap = roots[k] - last;
    return gap > 0 ? (rootErrors[k] + lastError + u * gap) / gap + 6 * u : 0;
  };
  return original.map((_, k) => {
    if (k === 0) return error[0] + 4 * u;
    if (k === original.length - 1) return 0;
    const ratio = ((roots[k] - last) / (roots[k - 1] - last)) ** 2;
    return ratio * 2 * (relativeAt(k) + relativeAt(k - 1)) + 4 * u;
  });
}

/**
 * Errors of a schedule's tables when everything from the rule on has unit roundoff u: β from its
 * rule or as 1 − ᾱ_k/ᾱ_{k−1}, ᾱ = Πα, 1 − ᾱ by subtraction.
 */
export function ruleTableErrors(
  config: ScheduleConfig,
  schedule: Schedule,
  u: number,
): TableErrors {
  const original = betas(config);
  const ofRule = ruleErrors(config, original, u);
  const beta = config.zeroTerminalSnr ? rescaleZeroTerminalSnr(original) : original;
  const betaError = config.zeroTerminalSnr ? rescaledErrors(original, ofRule, u) : ofRule;
  const alpha = beta.map((b) => 1 - b), alphaError = betaError.map((e) => e + u);
  const relative = productErrors(alpha, alphaError, u);
  const kept = schedule.alphaBar.map((_, k) => relative[schedule.timesteps[k] - 1]);
  const alphaBar = schedule.alphaBar.map((product, k) => product * kept[k]);
  // β and α may also be quotients of ᾱ: what went wrong before the gap is in both.
  const quotient = schedule.alpha.map((a, k) =>
    a * (kept[k] - (k === 0 ? 0 : kept[k - 1]) + 6 * u)
  );
  const fromRule = config.keep === undefined ? betaError : quotient;
  return {
    alphaBar,
    oneMinusAlphaBar: alphaBar.map((e) => e + u),
    beta: quotient.map((e, k) => Math.max(e, fromRule[k]) + 2 * u),
    alpha: quotient.map((e, k) => Math.max(e, fromRule[k]) + 3 * u),
  };
}

/**
 * A process as an implementation's own ᾱ describes it, with the errors that its other tables may have
 * beside it: ᾱ was printed with one rounding, β is either its own table or a quotient of ᾱ.
 */
export function ownTables(
  reference: Schedule,
  alphaBar: readonly number[],
  u: number,
): { readonly schedule: Schedule; readonly errors: TableErrors } {
  const signal = Float64Array.from(alphaBar);
  const noise = signal.map((a) => 1 - a);
  const before = (table: Float64Array, first: number, k: number) => k === 0 ? first : table[k - 1];
  const alpha = signal.map((a, k) => a / before(signal, 1, k));
  const beta = alpha.map((a) => 1 - a);
  const betaTilde = beta.map((b, k) => before(noise, 0, k) / noise[k] * b);
  const first = beta.length > 1 ? betaTilde[1] : beta[0];
  const schedule: Schedule = {
    T: reference.T,
    timesteps: reference.timesteps,
    beta,
    alpha,
    alphaBar: signal,
    oneMinusAlphaBar: noise,
    betaTilde,
    logBetaTildeClipped: betaTilde.map((b, k) => Math.log(k === 0 ? first : b)),
    posteriorCoefX0: beta.map((b, k) => Math.sqrt(before(signal, 1, k)) * b / noise[k]),
    posteriorCoefXt: alpha.map((a, k) => Math.sqrt(a) * before(noise, 0, k) / noise[k]),
    sqrtAlphaBar: signal.map(Math.sqrt),
    sqrtOneMinusAlphaBar: noise.map(Math.sqrt),
    snr: signal.map((a, k) => a / noise[k]),
  };
  return {
    schedule,
    errors: {
      alphaBar: signal.map((a) => 2 * u * a),
      oneMinusAlphaBar: signal.map((a) => 2 * u * a + u),
      beta: signal.map(() => 8 * u),
      alpha: signal.map(() => 8 * u),
    },
  };
}

/** The coefficients of a step with their errors. Functions of the schedule only, so computed once. */
export interface ApproxStep {
  /** Whether it ends at time 0. */
  readonly first: boolean;
  /** ᾱ and 1 − ᾱ at its start. */
  readonly level: ApproxLevel;
  /** The same where it ends. */
  readonly previous: ApproxLevel;
  /** β. */
  readonly beta: Approx;
  /** α. */
  readonly alpha: Approx;
  /** β̃. */
  readonly betaTilde: Approx;
  /** ln β̃, clipped in the first step. */
  readonly logBetaTildeClipped: Approx;
  /** ln β. */
  readonly logBeta: Approx;
  /** Coefficient of x_0 in the posterior mean. */
  readonly coefX0: Approx;
  /** Coefficient of x_t in the posterior mean. */
  readonly coefXt: Approx;
  /** ᾱ/(1 − ᾱ). */
  readonly snr: Approx;
}

/** ᾱ and 1 − ᾱ with their errors. */
export interface ApproxLevel {
  /** ᾱ. */
  readonly alphaBar: Approx;
  /** 1 − ᾱ. */
  readonly oneMinusAlphaBar: Approx;
}

const CLEAN: ApproxLevel = { alphaBar: exact(1), oneMinusAlphaBar: exact(0) };
const NOISE: ApproxLevel = { alphaBar: exact(0), oneMinusAlphaBar: exact(1) };

/** Steps of a schedule in the arithmetic `c` of coefficients, looked up by time. */
export class ApproxSchedule {
  readonly #index: ReadonlyMap<number, number>;

  constructor(
    readonly schedule: Schedule,
    readonly errors: TableErrors,
    readonly c: Rounding,
  ) {
    this.#index = new Map(schedule.timesteps.map((t, k) => [t, k]));
  }

  /** Number of kept times. */
  get length(): number {
    return this.schedule.timesteps.length;
  }

  /** ᾱ and 1 − ᾱ at table index k. */
  levelOf(k: number): ApproxLevel {
    const { schedule, errors } = this;
    return {
      alphaBar: { v: schedule.alphaBar[k], e: errors.alphaBar[k] },
      oneMinusAlphaBar: { v: schedule.oneMinusAlphaBar[k], e: errors.oneMinusAlphaBar[k] },
    };
  }

  /** ᾱ and 1 − ᾱ at a kept time, 0 or T + 1. */
  levelAt(t: number): ApproxLevel {
    if (t === 0) return CLEAN;
    if (t === this.schedule.T + 1) return NOISE;
    return this.levelOf(this.#indexOf(t));
  }

  #indexOf(t: number): number {
    return this.#index.get(t) ?? unexpected("a kept time", t);
  }

  #betaTilde(k: number): Approx {
    const { schedule, errors, c } = this;
    if (k === 0) return exact(0);
    const beta = { v: schedule.beta[k], e: errors.beta[k] };
    const ratio = c.div(this.levelOf(k - 1).oneMinusAlphaBar, this.levelOf(k).oneMinusAlphaBar);
    return { v: schedule.betaTilde[k], e: c.mul(ratio, beta).e };
  }

  /** The coefficients at table index k. */
  stepOf(k: number): ApproxStep {
    const { schedule, errors, c } = this;
    const level = this.levelOf(k);
    const previous = k === 0 ? CLEAN : this.levelOf(k - 1);
    const beta = { v: schedule.beta[k], e: errors.beta[k] };
    const alpha = { v: schedule.alpha[k], e: errors.alpha[k] };
    const clipped = k > 0 ? this.#betaTilde(k) : this.length > 1 ? this.#betaTilde(1) : beta;
    const noise = level.oneMinusAlphaBar;
    return {
      first: k === 0,
      level,
      previous,
      beta,
      alpha,
      betaTilde: this.#betaTilde(k),
      logBetaTildeClipped: c.log(clipped),
      logBeta: c.log(beta),
      coefX0: c.div(c.mul(c.sqrt(previous.alphaBar), beta), noise),
      coefXt: c.div(c.mul(c.sqrt(alpha), previous.oneMinusAlphaBar), noise),
      snr: c.div(level.alphaBar, noise),
    };
  }

  /** The coefficients of the step that starts at kept time t. */
  stepAt(t: number): ApproxStep {
    return this.stepOf(this.#indexOf(t));
  }
}

/** ᾱ and 1 − ᾱ of a number that a request gives. */
export function levelOfNumber(alphaBar: number, c: Rounding): ApproxLevel {
  if (alphaBar === 1) return CLEAN;
  const signal = c.of(alphaBar);
  return { alphaBar: signal, oneMinusAlphaBar: c.sub(exact(1), signal) };
}
