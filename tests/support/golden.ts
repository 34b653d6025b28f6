/**
 * Golden data of the equations and samplers: its files, its noise and its stand-ins for a network, as
 * tests/golden/README.md defines them. Times in the files count from 0.
 *
 * @module
 */
import { U64, ulp32 } from "../../src/math/float32.ts";
import { sizeOf, type Tensor } from "../../src/math/tensor.ts";
import type { Schedule } from "../../src/reference/schedule.ts";
import { stepAt } from "../../src/reference/step.ts";
import type { ScheduleConfig } from "../../src/spec/schedule_config.ts";
import { doubles } from "./doubles.ts";

/** A tensor of a golden file. */
export interface GoldenTensor {
  readonly shape: readonly number[];
  readonly dtype: "f32" | "f64";
  readonly data: readonly number[];
}

/** A case of a golden file; the type parameters say what the test reads of it. */
export interface GoldenCase<Params, Expected> {
  readonly id: string;
  readonly params: Params;
  readonly inputs: Readonly<Record<string, GoldenTensor>>;
  readonly expected: Expected;
  readonly expected_f32: Expected;
}

/** The cases of `tests/golden/<name>.json`. */
export function goldenCases<Case>(name: string): readonly Case[] {
  const url = new URL(`../golden/${name}.json`, import.meta.url);
  return JSON.parse(Deno.readTextFileSync(url)).cases;
}

/** A golden tensor in double: what the reference is given, so that nothing is rounded but its result. */
export function goldenDoubles({ shape, data }: GoldenTensor): Tensor {
  return doubles(shape, data);
}

/** z(k): f32(√2·sin(12.9898(i+1) + 78.233(k+1))) at flat index i. */
export function wave(k: number, shape: readonly number[]): Tensor {
  return doubles(
    shape,
    Array.from(
      { length: sizeOf(shape) },
      (_, i) => Math.fround(Math.SQRT2 * Math.sin(12.9898 * (i + 1) + 78.233 * (k + 1))),
    ),
  );
}

/** The stand-in `mean`: 0.3·x + 0.1·sin t, one t per sample as the files count it, in double. */
export function meanModel(x: Tensor, t: readonly number[]): Tensor {
  const D = x.data.length / t.length;
  return doubles(
    x.shape,
    Array.from(x.data, (value, i) => 0.3 * value + 0.1 * Math.sin(t[Math.floor(i / D)])),
  );
}

/** Slope of the stand-in in x. */
export const MEAN_MODEL_SLOPE = 0.3;

/** The schedules of the files: OpenAI's linear one is scaled by 1000/T, which is 1 in every case. */
export function goldenSchedule(schedule: string, T: number): ScheduleConfig {
  if (schedule === "linear") return { kind: "linear", T, betaStart: 1e-4, betaEnd: 0.02 };
  if (schedule === "cosine") return { kind: "cosine", T };
  throw new Error(`Expected schedule linear or cosine but got ${schedule}`);
}

/**
 * How far two computations of a coefficient of step `t` may be apart, relatively: the errors of β, ᾱ and
 * 1 − ᾱ as tests/reference/golden_schedule_test.ts derives them, all added up, for a linear schedule
 * with betas of at most 0.02.
 */
export function coefficientError(schedule: Schedule, t: number): number {
  const { alphaBar, oneMinusAlphaBar, beta } = stepAt(schedule, t);
  const dBeta = (schedule.timesteps.length < schedule.T ? 8 * t : 0.12) * U64;
  // ᾱ is off by eA on either side; only theirs reaches 1 − ᾱ.
  const eA = 2.1 * t * U64;
  return 2 * eA + 3 * t * U64 + (eA * alphaBar + U64) / oneMinusAlphaBar + dBeta / beta + 8 * U64;
}

/** A float32 result's bound: what its double may be off by, and half a unit in the last place. */
export function storedBound(expected: number, double: number): number {
  return double + ulp32(Math.abs(expected) + double) / 2;
}
