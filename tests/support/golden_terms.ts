/**
 * What a term of the variational bound may be off by, from what its moments may be off by.
 *
 * @module
 */
import { U64 } from "../../src/math/float32.ts";
import {
  decoderNllGradient,
  decoderNllOf,
  decoderProbability,
  FLOOR,
} from "../../src/reference/decoder.ts";
import type { Step } from "../../src/reference/step.ts";

/** The moments of one element, and what they may be off by. */
export interface TermMoments {
  /** Mean of p_θ. */
  readonly mean: number;
  /** Mean of the posterior. */
  readonly trueMean: number;
  /** ln Σ of p_θ. */
  readonly logVariance: number;
  /** Error of x̂_0. */
  readonly dX0: number;
  /** Relative error of a coefficient. */
  readonly c: number;
  /** Error of a log-variance. */
  readonly dLogVariance: number;
}

/** What a term of the bound may be off by if its moments are, in nats. */
export function termError(step: Step, x0: number, p: TermMoments): number {
  if (step.first) {
    // −ln P is convex in the mean, which is x̂_0: it moves most at an end of the interval. The source's
    // Φ is near 1 on one side of the data, so its difference is off by some u, relative to P; below the
    // floor that does not matter.
    const at = (mean: number) => decoderNllOf(x0, mean, p.logVariance / 2, "tanh");
    const middle = at(p.mean);
    const ends = [at(p.mean - p.dX0), at(p.mean + p.dX0)].map((end) => Math.abs(end - middle));
    const P = decoderProbability(x0, p.mean, p.logVariance / 2, "tanh");
    if (P + 4 * U64 < FLOOR) return Math.max(...ends, 4 * U64 * middle);
    const z = Math.abs(x0 - p.mean) * Math.exp(-p.logVariance / 2);
    return Math.max(...ends) + 4 * U64 / P + (p.dLogVariance / 2) * (1 + z * z);
  }
  // ½(−1 + r + e^−r + d²/σ²): terms of some units round. d = coefX0·(x_0 − x̂_0), whatever coefXt is, so
  // it is off by c·|d| and by what x̂_0 is off by.
  const precision = Math.exp(-p.logVariance), d = p.trueMean - p.mean;
  const dD = p.c * Math.abs(d) + step.posteriorCoefX0 * p.dX0;
  return 4 * U64 + (Math.abs(d) * dD + dD ** 2) * precision +
    p.dLogVariance * (1 + d * d * precision) / 2;
}

/** The same for the term's derivative by the mean of p_θ. */
export function slopeError(step: Step, x0: number, p: TermMoments): number {
  if (step.first) {
    // The derivative of a convex function is monotonic: it moves most at an end of the interval.
    const at = (mean: number) => decoderNllGradient(x0, mean, p.logVariance / 2, "tanh").dMean;
    const middle = at(p.mean);
    const ends = [at(p.mean - p.dX0), at(p.mean + p.dX0)].map((end) => Math.abs(end - middle));
    const P = decoderProbability(x0, p.mean, p.logVariance / 2, "tanh");
    if (P + 4 * U64 < FLOOR) return Math.max(...ends);
    const z = Math.abs(x0 - p.mean) * Math.exp(-p.logVariance / 2);
    return Math.max(...ends) + Math.abs(middle) * (4 * U64 / P + p.dLogVariance * (1 + z * z));
  }
  const precision = Math.exp(-p.logVariance), d = Math.abs(p.trueMean - p.mean);
  const dD = p.c * d + step.posteriorCoefX0 * p.dX0;
  return precision * (dD + d * p.dLogVariance);
}
