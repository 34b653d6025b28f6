/**
 * The parts of drawn requests. Everything is drawn independently at its largest size and then cut to
 * the drawn shape, so that a counterexample shrinks part by part: fewer samples, fewer elements,
 * shorter processes, rounder numbers.
 *
 * @module
 */
import type * as FastCheck from "fast-check";

/** fast-check, which is loaded only when something is verified. */
export type Fc = typeof FastCheck;
/** An arbitrary of fast-check. */
export type Arbitrary<T> = FastCheck.Arbitrary<T>;

/** A request without its id. */
export interface Request {
  /** The operation. */
  readonly op: string;
  readonly [field: string]: unknown;
}

/** A tensor as requests have it. */
export interface JsonTensor {
  /** Sizes per dimension. */
  readonly shape: readonly number[];
  /** Row-major values. */
  readonly data: readonly number[];
}

/** Requests that share the options which make an implementation take another road. */
export interface Cell {
  /** Those options, as the report names them. */
  readonly label: string;
  /** The requests. */
  readonly requests: Arbitrary<Request>;
}

/** A schedule as requests have it. */
export type JsonSchedule = Readonly<Record<string, unknown>>;

/** A drawn schedule with what its times are. */
export interface DrawnSchedule {
  /** As it is sent. */
  readonly json: JsonSchedule;
  /** Number of steps of the original process. */
  readonly T: number;
  /** Kept times, ascending. */
  readonly times: readonly number[];
}

/** The kinds of schedule. */
export const KINDS = [
  "linear",
  "quadratic",
  "sigmoid",
  "cosine",
  "constant",
  "inverse",
  "sigmoidAlphaBar",
  "betas",
] as const;

/** Most values of an image tensor that is drawn: 3 samples of 2 channels of 2×3. */
export const POOL = 36;

/** The product of sizes. */
export function size(shape: readonly number[]): number {
  return shape.reduce((product, s) => product * s, 1);
}

/** The first values of a pool as a tensor. */
export function cut(shape: readonly number[], pool: readonly number[], scale = 1): JsonTensor {
  return {
    shape,
    data: Array.from({ length: size(shape) }, (_, i) => Math.fround(pool[i % pool.length] * scale)),
  };
}

/** Arbitraries of the parts, made with a given fast-check. */
export class Parts {
  readonly #fc: Fc;

  constructor(fc: Fc) {
    this.#fc = fc;
  }

  /** fast-check itself. */
  get fc(): Fc {
    return this.#fc;
  }

  /** `count` numbers in [−range, range], multiples of range/4096. */
  pool(count: number = POOL, range = 4): Arbitrary<readonly number[]> {
    const { fc } = this;
    const number = fc.noBias(fc.integer({ min: -4096, max: 4096 })).map((k) => k * range / 4096);
    return fc.array(number, { minLength: count, maxLength: count });
  }

  /** Mostly 1, at times a factor that takes values far from those of images. */
  scale(...others: readonly number[]): Arbitrary<number> {
    return this.fc.constantFrom(1, 1, 1, 1, ...others);
  }

  /** [N, C, H, W] of 1 to 36 elements. */
  shape(): Arbitrary<readonly [number, number, number, number]> {
    const { fc } = this, upTo = (max: number) => fc.integer({ min: 1, max });
    return fc.tuple(upTo(3), upTo(2), upTo(2), upTo(3));
  }

  /** One of a few values; counterexamples tend to the first. */
  choice<const T>(...values: readonly T[]): Arbitrary<T> {
    return this.fc.constantFrom(...values);
  }

  /** A number with three decimals in [min, max]. */
  decimal(min: number, max: number, digits = 3): Arbitrary<number> {
    const unit = 10 ** digits;
    return this.fc.noBias(
      this.fc.integer({ min: Math.ceil(min * unit), max: Math.floor(max * unit) }),
    ).map((k) => k / unit);
  }

  /** A rule of one kind with T steps of the size that its β allow. */
  #rule(kind: typeof KINDS[number]): Arbitrary<JsonSchedule & { readonly kind: string }> {
    const { fc } = this;
    const short = fc.integer({ min: 1, max: 12 }), long = fc.integer({ min: 13, max: 100 });
    const T = fc.oneof({ withCrossShrink: true }, { arbitrary: short, weight: 3 }, {
      arbitrary: long,
      weight: 1,
    });
    switch (kind) {
      case "linear":
      case "quadratic":
      case "sigmoid":
        // Long processes have small β, or ᾱ_T would leave float32.
        return fc.record({ T, start: this.decimal(1e-4, 0.2, 4), end: this.decimal(0.001, 0.5) })
          .map(({ T, start, end }) => ({
            kind,
            T,
            betaStart: T > 12 ? Math.min(start, 0.1) : start,
            betaEnd: T > 12 ? Math.min(end, 0.1) : end,
          }));
      case "cosine":
        return fc.record({
          kind: fc.constant(kind),
          T,
          s: this.choice(0.008, 0.001, 0.1),
          maxBeta: this.choice(0.999, 0.9),
        });
      case "constant":
        return fc.record({ T, beta: this.decimal(0.001, 0.5) })
          .map(({ T, beta }) => ({ kind, T, beta: T > 12 ? Math.min(beta, 0.1) : beta }));
      case "inverse":
        return fc.record({ kind: fc.constant(kind), T });
      case "sigmoidAlphaBar":
        return fc.record({
          kind: fc.constant(kind),
          T,
          start: this.choice(-3, 0, -1),
          end: this.choice(3, 1.5),
          tau: this.choice(1, 0.7, 1.5),
          maxBeta: this.choice(0.999, 0.9),
        });
      case "betas": {
        const betas = fc.array(this.decimal(0.001, 0.6), { minLength: 1, maxLength: 12 });
        return fc.record({ betas, ends: this.choice(false, false, false, true) })
          .map(({ betas, ends }) => ({
            kind,
            betas: ends ? [...betas.slice(0, -1), 1] : betas,
          }));
      }
    }
  }

  /** Schedules of one kind: small ones of every size, at times the published one of a thousand steps. */
  scheduleOf(kind: typeof KINDS[number]): Arbitrary<DrawnSchedule> {
    const { fc } = this;
    const published = PUBLISHED[kind];
    const rule = published === undefined
      ? this.#rule(kind)
      : fc.oneof({ withCrossShrink: true }, { arbitrary: this.#rule(kind), weight: 6 }, {
        arbitrary: fc.constant(published),
        weight: 1,
      });
    return fc.record({
      rule,
      zero: this.choice(false, false, false, true),
      respaced: this.choice(false, false, true),
      keep: fc.array(fc.integer({ min: 0, max: 999 }), { minLength: 1, maxLength: 6 }),
    }).map(({ rule, zero, respaced, keep }) => {
      const T = Array.isArray(rule.betas) ? rule.betas.length : Number(rule.T);
      const times = respaced
        ? [...new Set(keep.map((p) => 1 + (T > 12 ? Math.floor(p * T / 1000) : p % T)))]
          .sort((a, b) => a - b)
        : Array.from({ length: T }, (_, i) => i + 1);
      return {
        json: {
          ...rule,
          ...(zero && T > 1 ? { zeroTerminalSnr: true } : {}),
          ...(respaced ? { keep: times } : {}),
        },
        T,
        times,
      };
    });
  }

  /** Schedules of any kind. */
  schedule(): Arbitrary<DrawnSchedule> {
    return this.fc.oneof(...KINDS.map((kind) => this.scheduleOf(kind)));
  }

  /** Schedules whose ᾱ_T is above 0. */
  scheduleWithSignal(): Arbitrary<DrawnSchedule> {
    const kinds = KINDS.filter((kind) => kind !== "inverse" && kind !== "betas");
    return this.fc.oneof(...kinds.map((kind) => this.scheduleOf(kind)))
      .map(({ json: { zeroTerminalSnr: _, ...json }, ...rest }) => ({ json, ...rest }));
  }

  /** Where in a process the samples of a batch are. */
  when(): Arbitrary<When> {
    const { fc } = this;
    const pick = fc.noBias(fc.integer({ min: 0, max: 999 }));
    return fc.record({
      shared: fc.boolean().map((apart) => !apart),
      picks: fc.array(pick, { minLength: 3, maxLength: 3 }),
      others: fc.array(pick, { minLength: 3, maxLength: 3 }),
    });
  }
}

/** The published schedules, whose long tables show what short ones do not. */
const PUBLISHED: Readonly<Record<string, (JsonSchedule & { readonly kind: string }) | undefined>> =
  {
    linear: { kind: "linear", T: 1000, betaStart: 1e-4, betaEnd: 0.02 },
    quadratic: { kind: "quadratic", T: 1000, betaStart: 0.00085, betaEnd: 0.012 },
    sigmoid: { kind: "sigmoid", T: 1000, betaStart: 1e-4, betaEnd: 0.02 },
    cosine: { kind: "cosine", T: 1000, s: 0.008, maxBeta: 0.999 },
    sigmoidAlphaBar: {
      kind: "sigmoidAlphaBar",
      T: 1000,
      start: -3,
      end: 3,
      tau: 1,
      maxBeta: 0.999,
    },
    constant: { kind: "constant", T: 200, beta: 0.02 },
  };

/** Draws from which times are taken once the process is known. */
export interface When {
  /** Whether the batch has one time. */
  readonly shared: boolean;
  /** One draw in 0..999 per sample. */
  readonly picks: readonly number[];
  /** For the time at the other end of a step. */
  readonly others: readonly number[];
}

/** An index below n: often the first, the last or the second, else any. */
export function pickIndex(pick: number, n: number): number {
  if (pick < 250) return 0;
  if (pick < 450) return n - 1;
  if (pick < 550) return Math.min(1, n - 1);
  return (pick * 7) % n;
}

/** `of` for every sample, or for the batch. */
export function perSample<T>(when: When, N: number, of: (n: number) => T): T | T[] {
  return when.shared ? of(0) : Array.from({ length: N }, (_, n) => of(n));
}

/** The times of a batch of N out of a process. */
export function timesFrom(schedule: DrawnSchedule, when: When, N: number): number | number[] {
  return perSample(
    when,
    N,
    (n) => schedule.times[pickIndex(when.picks[n], schedule.times.length)],
  );
}
