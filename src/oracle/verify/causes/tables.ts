import {
  linearBetas,
  quadraticBetas,
  type Schedule,
  sigmoidBetas,
} from "../../../reference/schedule.ts";
import { halfToNumber, numberToHalf } from "../../../spec/half.ts";
import type { ScheduleConfig } from "../../../spec/schedule_config.ts";
import { createSchedule } from "../../../reference/schedule.ts";
import { type Alternative, withRule, withTables } from "./alternative.ts";

/** Every table moved by `by` entries, as a time that is counted from another origin finds them. */
function shifted(schedule: Schedule, by: number): Partial<Schedule> {
  const last = schedule.timesteps.length - 1;
  const move = (table: Float64Array) =>
    table.map((_, k) => table[Math.min(Math.max(k + by, 0), last)]);
  const { alphaBar, oneMinusAlphaBar, beta, alpha, betaTilde, logBetaTildeClipped } = schedule;
  return {
    alphaBar: move(alphaBar),
    oneMinusAlphaBar: move(oneMinusAlphaBar),
    beta: move(beta),
    alpha: move(alpha),
    betaTilde: move(betaTilde),
    logBetaTildeClipped: move(logBetaTildeClipped),
    posteriorCoefX0: move(schedule.posteriorCoefX0),
    posteriorCoefXt: move(schedule.posteriorCoefXt),
    snr: move(schedule.snr),
  };
}

/** The tables that follow from β and α, with ᾱ as it is. */
function withBeta(s: Schedule, beta: Float64Array, alpha: Float64Array): Partial<Schedule> {
  const noise = s.oneMinusAlphaBar, before = (k: number) => k === 0 ? 0 : noise[k - 1];
  const betaTilde = beta.map((b, k) => before(k) / noise[k] * b);
  const first = beta.length > 1 ? betaTilde[1] : beta[0];
  return {
    beta,
    alpha,
    betaTilde,
    logBetaTildeClipped: betaTilde.map((b, k) => Math.log(k === 0 ? first : b)),
    posteriorCoefX0: beta.map((b, k) => Math.sqrt(k === 0 ? 1 : s.alphaBar[k - 1]) * b / noise[k]),
    posteriorCoefXt: alpha.map((a, k) => Math.sqrt(a) * before(k) / noise[k]),
  };
}

type Rule = Readonly<Record<string, unknown>>;

/** The rule's β list by another formula. */
function listed(
  kinds: readonly string[],
  betas: (T: number, start: number, end: number, kind: string) => Float64Array,
): (rule: Rule) => Rule | null {
  return (rule) => {
    const kind = String(rule.kind);
    if (!kinds.includes(kind)) return null;
    const list = betas(Number(rule.T), Number(rule.betaStart), Number(rule.betaEnd), kind);
    return { kind: "betas", betas: [...list] };
  };
}

/** What the three rules along a line make of T points on it. */
const ALONG = { linear: linearBetas, quadratic: quadraticBetas, sigmoid: sigmoidBetas } as const;

/** β at T points. */
function withEnd(T: number, start: number, end: number, kind: string): Float64Array {
  return ALONG[kind as keyof typeof ALONG](T, start, end);
}

/** β at the first T of T + 1 points. */
function withoutEnd(T: number, start: number, end: number, kind: string): Float64Array {
  return ALONG[kind as keyof typeof ALONG](T + 1, start, end).slice(0, T);
}

function other(kind: string): (rule: Rule) => Rule | null {
  return (rule) => String(rule.kind) in ALONG && rule.kind !== kind ? { kind } : null;
}

/** Mistakes in the β rule. */
export const RULE_MISTAKES: readonly Alternative[] = [
  withRule(
    "β are off by their end point: the range is divided by T instead of T − 1",
    listed(Object.keys(ALONG), withoutEnd),
  ),
  withRule(
    "β are in half precision",
    listed(
      Object.keys(ALONG),
      (...along) => withEnd(...along).map((beta) => halfToNumber(numberToHalf(beta))),
    ),
  ),
  withRule(
    "betaStart and betaEnd are scaled by 1000/T",
    listed(
      Object.keys(ALONG),
      (T, start, end, kind) => withEnd(T, start * 1000 / T, end * 1000 / T, kind),
    ),
  ),
  withRule(
    "betaStart and betaEnd are swapped",
    (rule) => "betaStart" in rule ? { betaStart: rule.betaEnd, betaEnd: rule.betaStart } : null,
  ),
  withRule("β is linear whatever the kind", other("linear")),
  withRule("β is linear in its root whatever the kind", other("quadratic")),
  ...[0.008, 0, 0.01].map((s) =>
    withRule(
      `the cosine's offset is ${s} instead of the one given`,
      (rule) => rule.kind === "cosine" && rule.s !== s ? { s } : null,
    )
  ),
  ...[0.999, 0.99, 0.9999, 1].map((maxBeta) =>
    withRule(
      maxBeta === 1 ? "β is not capped" : `β is capped at ${maxBeta} instead of the one given`,
      (rule) => "maxBeta" in rule && rule.maxBeta !== maxBeta ? { maxBeta } : null,
    )
  ),
  withRule(
    "zeroTerminalSnr is ignored",
    (rule) => rule.zeroTerminalSnr === true ? { zeroTerminalSnr: false } : null,
  ),
  withRule(
    "keep is ignored: the step before t is t − 1",
    (rule) => rule.keep === undefined ? null : { keep: undefined },
  ),
  withRule("a kept time's process is that of the β at kept times alone", (rule) => {
    const { keep, ...whole } = rule;
    if (!Array.isArray(keep)) return null;
    const { beta } = createSchedule(whole as unknown as ScheduleConfig);
    const T = beta.length, kept = Array.from(beta, () => 1e-300);
    for (const t of keep) kept[t - 1] = beta[t - 1];
    return T > 0 ? { kind: "betas", betas: kept, zeroTerminalSnr: false } : null;
  }),
];

/** Mistakes in what is read from the tables. */
export const TABLE_MISTAKES: readonly Alternative[] = [
  withTables("t is counted from 0: the tables' next entry is used", (s) => shifted(s, 1)),
  withTables("t is counted from 0: the tables' entry before is used", (s) => shifted(s, -1)),
  withTables("ᾱ where √ᾱ is expected", ({ alphaBar }) => ({
    alphaBar: alphaBar.map((a) => a * a),
  })),
  withTables("1−ᾱ where √(1−ᾱ) is expected", ({ oneMinusAlphaBar }) => ({
    oneMinusAlphaBar: oneMinusAlphaBar.map((n) => n * n),
  })),
  withTables("√ᾱ where ᾱ is expected", ({ alphaBar }) => ({ alphaBar: alphaBar.map(Math.sqrt) })),
  withTables("ᾱ where α is expected", ({ alphaBar }) => ({ alpha: alphaBar })),
  withTables("α where ᾱ is expected", ({ alpha, beta }) => ({
    alphaBar: alpha,
    oneMinusAlphaBar: beta,
  })),
  withTables("β where √β is expected", ({ beta }) => ({ beta: beta.map((b) => b * b) })),
  withTables("the two coefficients of the posterior mean are swapped", (s) => ({
    posteriorCoefX0: s.posteriorCoefXt,
    posteriorCoefXt: s.posteriorCoefX0,
  })),
  withTables("ᾱ where α is expected in the coefficient of x_t", (s) => ({
    posteriorCoefXt: s.posteriorCoefXt.map((c, k) =>
      s.alpha[k] > 0 ? c * Math.sqrt(s.alphaBar[k] / s.alpha[k]) : c
    ),
  })),
  withTables("ᾱ at t where ᾱ before t is expected in the coefficient of x_0", (s) => ({
    posteriorCoefX0: s.posteriorCoefX0.map((c, k) => c * Math.sqrt(s.alpha[k])),
  })),
  withTables("β where β̃ is expected", ({ beta }) => ({
    betaTilde: beta,
    logBetaTildeClipped: beta.map(Math.log),
  })),
  withTables("β where β̃ is expected", ({ beta }) => ({ betaTilde: beta })),
  withTables("the real β_1 in the first step, where the second step's β̃ stands in", (s) => ({
    logBetaTildeClipped: s.logBetaTildeClipped.map((l, k) => k === 0 ? Math.log(s.beta[0]) : l),
  })),
  ...[1e-20, 1e-10, 1e-30].map((floor) =>
    withTables(`ln ${floor} in the first step, where the second step's ln β̃ stands in`, (s) => ({
      logBetaTildeClipped: s.logBetaTildeClipped.map((l, k) => k === 0 ? Math.log(floor) : l),
    }))
  ),
  ...[false, true].map((alphaToo) =>
    withTables("β of the original process in a respaced one", (s, config) => {
      if (config.keep === undefined) return null;
      const original = createSchedule({ ...config, keep: undefined }).beta;
      const beta = s.beta.map((_, k) => original[s.timesteps[k] - 1]);
      return withBeta(s, beta, alphaToo ? beta.map((b) => 1 - b) : s.alpha);
    })
  ),
];
