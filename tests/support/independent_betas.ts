/**
 * β of every rule in a second form, without the cancellations of the first, and a bound on what the
 * reference's form may lose. Never imports the reference.
 *
 * @module
 */
import { U64 } from "../../src/math/float32.ts";
import type { BetaSchedule } from "../../src/spec/schedule_config.ts";

/** A schedule's β and how far the reference's may be from each (docs/numerics.md#beta-rules). */
export interface RuleBetas {
  readonly betas: number[];
  /** Bound on |reference − β| per entry. */
  readonly bounds: number[];
}

function build(T: number, entry: (k: number) => [beta: number, bound: number]): RuleBetas {
  const entries = Array.from({ length: T }, (_, k) => entry(k));
  return { betas: entries.map(([b]) => b), bounds: entries.map(([, e]) => e) };
}

/** (start·(T−1−k) + end·k)/(T−1): the convex combination instead of a step count. */
function between(start: number, end: number, k: number, T: number): number {
  return T === 1 ? start : (start * (T - 1 - k) + end * k) / (T - 1);
}

/** Linear in √β: an error of 8u·max√β in the root doubles in the square. */
function quadratic(T: number, start: number, end: number): RuleBetas {
  return build(T, (k) => {
    const root = between(Math.sqrt(start), Math.sqrt(end), k, T);
    const most = Math.sqrt(Math.max(start, end));
    return [root ** 2, (2 * root * 8 * most + root ** 2) * U64];
  });
}

/** σ(u) = e^(u/2)/(2 cosh(u/2)). The argument's error 4u·6 meets a slope of at most ¼. */
function sigmoid(T: number, start: number, end: number): RuleBetas {
  return build(T, (k) => {
    const u = between(-6, 6, k, T);
    const share = Math.exp(u / 2) / (2 * Math.cosh(u / 2));
    return [start + (end - start) * share, 16 * U64 * Math.max(start, end)];
  });
}

/**
 * With c = (1−u)/(1+s)·π/2 the complement of the angle, ᾱ = sin² c and
 * β = sin(c + c′) sin(c − c′)/sin² c. The reference's angle is off by at most 6u·π/2 < 10u.
 */
export function cosine(T: number, s: number, maxBeta: number): RuleBetas {
  return build(T, (k) => {
    const unit = Math.PI / 2 / (1 + s) / T;
    const c = (T - k) * unit, next = (T - k - 1) * unit;
    const beta = Math.sin(c + next) * Math.sin(unit) / Math.sin(c) ** 2;
    const ratio = (Math.sin(next) / Math.sin(c)) ** 2;
    const fromNext = 2 * Math.sin(next) * Math.cos(next) / Math.sin(c) ** 2;
    const fromThis = 2 * ratio / Math.tan(c);
    const bound = 10 * (fromNext + fromThis) + 8 * ratio + 1 + 100 * U64 / Math.sin(c) ** 2;
    return [Math.min(beta, maxBeta), bound * U64];
  });
}

/**
 * With σ(p) − σ(q) = sinh((p−q)/2)/(2 cosh(p/2) cosh(q/2)):
 * β = sinh((x′−x)/2)·cosh(E/2)/(cosh(x′/2)·sinh((E−x)/2)) for x = (u(end−start) + start)/τ, E = end/τ.
 */
export function sigmoidAlphaBar(
  T: number,
  start: number,
  end: number,
  tau: number,
  maxBeta: number,
): RuleBetas {
  const width = (end - start) / tau, E = end / tau;
  const share = (x: number) => Math.exp(x / 2) / (2 * Math.cosh(x / 2));
  const slope = (x: number) => 1 / (4 * Math.cosh(x / 2) ** 2);
  // Error of σ(E) − σ(x): 3 roundings of each logistic and 5 of the argument.
  const most = Math.max(Math.abs(start), Math.abs(end)) / tau;
  const lost = (x: number) => 3 * share(E) + 3 * share(x) + 5 * most * (slope(x) + slope(E));
  return build(T, (k) => {
    const left = (T - k) / T * width, leftNext = (T - k - 1) / T * width;
    const x = E - left, next = E - leftNext;
    const beta = Math.sinh(width / T / 2) * Math.cosh(E / 2) /
      (Math.cosh(next / 2) * Math.sinh(left / 2));
    const signal = Math.sinh(left / 2) / (2 * Math.cosh(E / 2) * Math.cosh(x / 2));
    const ratio = 1 - beta;
    const bound = (lost(next) + ratio * lost(x)) / signal + 4;
    return [Math.min(beta, maxBeta), bound * U64];
  });
}

/** β_1..β_T of a rule. */
export function independentBetas(rule: BetaSchedule): RuleBetas {
  switch (rule.kind) {
    case "linear":
      return build(rule.T, (k) => [
        between(rule.betaStart, rule.betaEnd, k, rule.T),
        8 * U64 * Math.max(rule.betaStart, rule.betaEnd),
      ]);
    case "quadratic":
      return quadratic(rule.T, rule.betaStart, rule.betaEnd);
    case "sigmoid":
      return sigmoid(rule.T, rule.betaStart, rule.betaEnd);
    case "cosine":
      return cosine(rule.T, rule.s ?? 0.008, rule.maxBeta ?? 0.999);
    case "sigmoidAlphaBar":
      return sigmoidAlphaBar(rule.T, rule.start, rule.end, rule.tau, rule.maxBeta);
    case "constant":
      return build(rule.T, () => [rule.beta, 0]);
    case "inverse":
      return build(rule.T, (k) => [1 / (rule.T - k), 0]);
    case "betas":
      return build(rule.betas.length, (k) => [rule.betas[k], 0]);
  }
}
