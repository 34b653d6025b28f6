/**
 * What a noise schedule is, as data. `docs/protocol.md` has the same union as JSON.
 *
 * @module
 */

/** β_t, t = 1..T, as a rule with its numbers. See `betas` in the reference for each formula. */
export type BetaSchedule =
  | {
    readonly kind: "linear" | "quadratic" | "sigmoid";
    readonly T: number;
    readonly betaStart: number;
    readonly betaEnd: number;
  }
  | { readonly kind: "cosine"; readonly T: number; readonly s?: number; readonly maxBeta?: number }
  | { readonly kind: "constant"; readonly T: number; readonly beta: number }
  | { readonly kind: "inverse"; readonly T: number }
  | {
    readonly kind: "sigmoidAlphaBar";
    readonly T: number;
    readonly start: number;
    readonly end: number;
    readonly tau: number;
    readonly maxBeta: number;
  }
  | { readonly kind: "betas"; readonly betas: readonly number[] };

/** A β rule, whether its terminal SNR is rescaled to zero, and the times that a respaced process keeps. */
export type ScheduleConfig = BetaSchedule & {
  /** Rescale so that ᾱ_T = 0 (needs T ≥ 2); applied before `keep`. Default false. */
  readonly zeroTerminalSnr?: boolean;
  /** Kept times, ascending, out of 1..T. Default: all. */
  readonly keep?: readonly number[];
};

/** The schedule of the DDPM paper (section 4): linear from 1e−4 to 0.02 over 1000 steps. */
export const DDPM_SCHEDULE: ScheduleConfig = {
  kind: "linear",
  T: 1000,
  betaStart: 1e-4,
  betaEnd: 0.02,
};
