/**
 * What properties draw: schedules of every kind and size, respacings, zero terminal SNR, shapes,
 * times with their edges, and tensors.
 *
 * @module
 */
import fc from "fast-check";
import { type Shape, sizeOf, type Tensor, tensor } from "../../src/math/tensor.ts";
import type { BetaSchedule, ScheduleConfig } from "../../src/spec/schedule_config.ts";
import { independentBetas } from "./independent_betas.ts";
import {
  type IndependentProcess,
  independentProcess,
  independentRescale,
  type IndependentStep,
  logAlphas,
} from "./independent_process.ts";

/** A number in [min, max], uniform (fast-check's doubles are uniform in their bits). */
export function real(min: number, max: number): fc.Arbitrary<number> {
  return fc.nat(2 ** 30).map((k) => min + (max - min) * (k / 2 ** 30));
}

/** A double in [min, max] whose logarithm is uniform. */
export function positive(min: number, max: number): fc.Arbitrary<number> {
  return real(Math.log(min), Math.log(max)).map(Math.exp);
}

/** Mostly few steps, one included; sometimes the paper's thousand. */
export const stepCount: fc.Arbitrary<number> = fc.oneof(
  { arbitrary: fc.integer({ min: 1, max: 12 }), weight: 8 },
  { arbitrary: fc.integer({ min: 13, max: 60 }), weight: 3 },
  { arbitrary: fc.constant(1000), weight: 1 },
);

/** β small enough that ᾱ_T stays far above the smallest float32: T·β ≤ 16. */
function betaOf(T: number): fc.Arbitrary<number> {
  return positive(1e-5, Math.min(0.5, 16 / T));
}

const KINDS = [
  "linear",
  "quadratic",
  "sigmoid",
  "cosine",
  "constant",
  "inverse",
  "sigmoidAlphaBar",
  "betas",
] as const;

function ruleOf(kind: BetaSchedule["kind"], T: number): fc.Arbitrary<BetaSchedule> {
  switch (kind) {
    case "linear":
    case "quadratic":
    case "sigmoid":
      return fc.record({
        kind: fc.constant(kind),
        T: fc.constant(T),
        betaStart: betaOf(T),
        betaEnd: betaOf(T),
      });
    case "cosine":
      return fc.record({
        kind: fc.constant(kind),
        T: fc.constant(T),
        s: fc.constantFrom(undefined, 0, 0.008, 0.1),
        maxBeta: fc.constantFrom(undefined, 0.9, 0.999, 1),
      });
    case "constant":
      return fc.record({ kind: fc.constant(kind), T: fc.constant(T), beta: betaOf(T) });
    case "inverse":
      return fc.constant({ kind, T });
    case "sigmoidAlphaBar":
      return fc.record({
        kind: fc.constant(kind),
        T: fc.constant(T),
        start: real(-5, 0),
        end: real(0.5, 5),
        tau: real(0.5, 2),
        maxBeta: fc.constantFrom(0.9, 0.999, 1),
      });
    case "betas": {
      const last = fc.oneof(betaOf(T), fc.constant(1));
      const others = fc.array(betaOf(T), { minLength: T - 1, maxLength: T - 1 });
      return fc.tuple(others, last).map(([all, end]) => ({ kind, betas: [...all, end] }));
    }
  }
}

/** A β rule of any kind and size. */
export const rule: fc.Arbitrary<BetaSchedule> = fc.tuple(fc.constantFrom(...KINDS), stepCount)
  .chain(([kind, T]) => ruleOf(kind, kind === "betas" ? Math.min(T, 24) : T));

/** β_1..β_T of a drawn rule, with a last β of exactly 1 among them. */
export const betaList: fc.Arbitrary<number[]> = rule.map((drawn) =>
  independentBetas(drawn).betas.map((beta) => beta > 1 - 1e-6 ? 1 : beta)
);

/** Times to keep out of 1..T, ascending: all, few, both ends, or without them. */
export function keepOf(T: number): fc.Arbitrary<number[]> {
  return fc.oneof(
    fc.uniqueArray(fc.integer({ min: 1, max: T }), { minLength: 1, maxLength: Math.min(T, 12) }),
    fc.constantFrom([1], [T], T > 1 ? [1, T] : [1]),
  ).map((times) => times.toSorted((a, b) => a - b));
}

/** A drawn process: what the reference is given, and the same by the independent road. */
export interface DrawnProcess extends IndependentProcess {
  readonly config: ScheduleConfig;
  /** How a counterexample shows it. */
  readonly [fc.toStringMethod]: () => string;
}

/** The independent process of a config with explicit β. */
export function processOf(
  betas: readonly number[],
  zeroTerminalSnr: boolean,
  keep: readonly number[] | undefined,
): DrawnProcess {
  const raw = logAlphas(betas);
  const rescaled = zeroTerminalSnr ? independentRescale(raw) : { logAlpha: raw, roundings: 0 };
  const config = { kind: "betas" as const, betas, zeroTerminalSnr, keep };
  const process = independentProcess(rescaled.logAlpha, keep, rescaled.roundings);
  return { ...process, config, [fc.toStringMethod]: () => describe(config) };
}

/** A config in a counterexample: long lists by their ends. */
function describe({ betas, ...rest }: { readonly betas: readonly number[] }): string {
  const ends = betas.length > 30 ? [betas[0], "…", betas[betas.length - 1]] : betas;
  return JSON.stringify({ T: betas.length, betas: ends, ...rest });
}

/** Processes over every rule, respaced or not, some with zero terminal SNR. */
export const process: fc.Arbitrary<DrawnProcess> = betaList.chain((betas) => {
  const T = betas.length;
  const rescale = T < 2 ? fc.constant(false) : fc.oneof(
    { arbitrary: fc.constant(false), weight: 3 },
    { arbitrary: fc.constant(true), weight: 1 },
  );
  return fc.tuple(rescale, fc.option(keepOf(T), { nil: undefined }))
    .map(([zero, keep]) => processOf(betas, zero, keep));
});

/** Shapes `[N, C, …]` of up to some dozens of elements, one element included. */
export const shape: fc.Arbitrary<Shape> = fc.oneof(
  fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 3 })),
  fc.tuple(
    fc.integer({ min: 1, max: 3 }),
    fc.integer({ min: 1, max: 3 }),
    fc.integer({ min: 1, max: 2 }),
    fc.integer({ min: 1, max: 2 }),
  ),
);

/** A float32 in [−range, range], a multiple of range·2^−22. */
export function float(range: number): fc.Arbitrary<number> {
  return fc.integer({ min: -(2 ** 22), max: 2 ** 22 }).map((k) => Math.fround(k / 2 ** 22 * range));
}

/** A tensor with values in [−range, range]. */
export function tensorOf(of: Shape, range = 4): fc.Arbitrary<Tensor> {
  const size = sizeOf(of);
  return fc.array(float(range), { minLength: size, maxLength: size })
    .map((values) => tensor(of, values));
}

/** One step of `process` per sample: often the first or the last, else any. */
function stepOf(allowed: readonly IndependentStep[]): fc.Arbitrary<IndependentStep> {
  return fc.oneof(
    fc.constantFrom(allowed[0], allowed[allowed.length - 1]),
    fc.constantFrom(...allowed),
  );
}

/** A batch at drawn times: tensors of one shape, and the step that each sample takes. */
export interface Batch {
  readonly process: DrawnProcess;
  readonly shape: Shape;
  /** Elements per sample. */
  readonly D: number;
  /** What the reference is given as t: one number, or one per sample. */
  readonly t: number | number[];
  /** The step of each sample. */
  readonly steps: IndependentStep[];
  /** The step of the sample that element i belongs to. */
  readonly stepOf: (i: number) => IndependentStep;
  /** `count` tensors of `shape` with values in [−4, 4]. */
  readonly tensors: Tensor[];
}

/** Batches with `count` tensors, at times whose step passes `allowed`. */
export function batch(
  count: number,
  allowed: (step: IndependentStep) => boolean = () => true,
): fc.Arbitrary<Batch> {
  return fc.tuple(process.filter((p) => p.steps.some(allowed)), shape, fc.boolean())
    .chain(([drawn, of, shared]) => {
      const N = of[0], D = sizeOf(of) / N;
      const step = stepOf(drawn.steps.filter(allowed));
      const steps = shared
        ? step.map((one) => new Array<IndependentStep>(N).fill(one))
        : fc.array(step, { minLength: N, maxLength: N });
      const tensors = fc.array(tensorOf(of), { minLength: count, maxLength: count });
      return fc.tuple(steps, tensors).map(([taken, values]) => ({
        process: drawn,
        shape: of,
        D,
        t: shared ? taken[0].t : taken.map((s) => s.t),
        steps: taken,
        stepOf: (i: number) => taken[Math.floor(i / D)],
        tensors: values,
      }));
    });
}

/** Whether x_0 can be had from ε: ᾱ_t > 0. */
export function hasSignal(step: IndependentStep): boolean {
  return step.alphaBar > 0;
}
