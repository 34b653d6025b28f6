/**
 * Which times a shorter process keeps, by every rule of the field, in exact integer arithmetic.
 * Times are the paper's, 1..T; lists are descending, the order in which a sampler visits them.
 *
 * @module
 */
import { ArgumentError, checkInteger, show, unexpected } from "../math/errors.ts";
import { MAX_T } from "./schedule.ts";

/** The rules by which times are picked. */
export type Spacing = "leading" | "trailing" | "linspace" | "quadratic" | "stride" | "sections";

/** a/b for integers a ≥ 0, b > 0, rounded to the nearest integer, ties to even. */
export function roundRatio(a: number, b: number): number {
  const whole = Math.floor(a / b), twice = 2 * (a - whole * b);
  if (twice === b) return whole + whole % 2;
  return twice > b ? whole + 1 : whole;
}

/** 1 + i·⌊T/steps⌋, i = 0..steps − 1 ("leading" of diffusers; wastes the tail when T/steps is not whole). */
export function leadingTimesteps(T: number, steps: number): number[] {
  const stride = Math.floor(T / steps);
  return Array.from({ length: steps }, (_, i) => 1 + i * stride).reverse();
}

/** round(iT/steps), i = 1..steps ("trailing"; Lin et al. 2023): always starts at T. */
export function trailingTimesteps(T: number, steps: number): number[] {
  return Array.from({ length: steps }, (_, i) => roundRatio((i + 1) * T, steps)).reverse();
}

/** 1 + round(i(T−1)/(steps−1)), i = 0..steps − 1: both 1 and T; steps = 1 gives [1]. */
export function linspaceTimesteps(T: number, steps: number): number[] {
  if (steps === 1) return [1];
  return Array.from({ length: steps }, (_, i) => 1 + roundRatio(i * (T - 1), steps - 1)).reverse();
}

/**
 * 1 + ⌊4T·i²/(5(steps−1)²)⌋, i = 0..steps − 1, duplicates removed (Song et al. 2021, appendix D.2):
 * the squares of linspace(0, √(0.8T)). steps = 1 gives [1].
 */
export function quadraticTimesteps(T: number, steps: number): number[] {
  if (steps === 1) return [1];
  const divisor = 5n * BigInt(steps - 1) ** 2n;
  const times = Array.from(
    { length: steps },
    (_, i) => 1 + Number(4n * BigInt(T) * BigInt(i) ** 2n / divisor),
  );
  return [...new Set(times)].reverse();
}

/**
 * 1 + i·s for the smallest integer s that gives exactly `steps` times ("ddimN" of OpenAI's code).
 *
 * @throws {ArgumentError} if there is none, as for T = 1000 and 300 steps.
 */
export function strideTimesteps(T: number, steps: number): number[] {
  // ⌈T/s⌉ = steps first holds at s = ⌈T/steps⌉, if at all.
  const stride = Math.ceil(T / steps);
  if (Math.ceil(T / stride) !== steps) {
    throw new ArgumentError(
      `Expected steps with an integer stride through T = ${T} but got ${steps}`,
    );
  }
  return Array.from({ length: steps }, (_, i) => 1 + i * stride).reverse();
}

/**
 * OpenAI's `space_timesteps`: 1..T is cut into as many sections as there are counts (the first T mod k
 * one longer), and each keeps its count of times at a fractional stride that reaches both its ends.
 * The stride is accumulated in double and rounded half to even, as their Python does.
 *
 * @throws {ArgumentError} if a section is shorter than its count.
 */
export function sectionTimesteps(T: number, counts: readonly number[]): number[] {
  const short = Math.floor(T / counts.length), longer = T % counts.length;
  const times: number[] = [];
  let start = 0;
  counts.forEach((count, k) => {
    const size = short + (k < longer ? 1 : 0);
    checkInteger(`the count of section ${k + 1}`, count, 0, size);
    const stride = count > 1 ? (size - 1) / (count - 1) : 1;
    let position = 0;
    for (let i = 0; i < count; i++, position += stride) {
      times.push(1 + start + roundHalfEven(position));
    }
    start += size;
  });
  return times.reverse();
}

/** A double x ≥ 0 rounded to the nearest integer, ties to even, as Python's round. */
function roundHalfEven(x: number): number {
  const whole = Math.floor(x), rest = x - whole;
  if (rest === 0.5) return whole + whole % 2;
  return rest > 0.5 ? whole + 1 : whole;
}

/** What {@linkcode selectTimesteps} is asked for. */
export interface TimestepRequest {
  /** Steps of the original process. */
  readonly T: number;
  /** The rule. */
  readonly spacing: Spacing;
  /** How many times to keep, 1..T; with `sections` their sum, or one section of that many. */
  readonly steps?: number;
  /** Counts per section, for `sections`. */
  readonly sections?: readonly number[];
}

/**
 * The times that a rule keeps, descending. Reverse it for a schedule's `keep`.
 *
 * @throws {ArgumentError} for an unknown rule, counts out of range, or no such stride.
 */
export function selectTimesteps(request: TimestepRequest): number[] {
  const { spacing } = request;
  const T = checkInteger("T", request.T, 1, MAX_T);
  if (spacing === "sections") {
    const counts = request.sections ?? [checkInteger("steps", request.steps, 1, T)];
    if (!Array.isArray(counts) || counts.length === 0 || counts.length > T) {
      unexpected(`sections to be a list of 1..${T} counts`, counts);
    }
    const times = sectionTimesteps(T, counts);
    if (times.length === 0) unexpected("sections that keep at least one time", counts);
    if (request.steps !== undefined && request.steps !== times.length) {
      throw new ArgumentError(
        `Expected steps to be the sum of sections, ${times.length}, but got ${show(request.steps)}`,
      );
    }
    return times;
  }
  const steps = checkInteger("steps", request.steps, 1, T);
  switch (spacing) {
    case "leading":
      return leadingTimesteps(T, steps);
    case "trailing":
      return trailingTimesteps(T, steps);
    case "linspace":
      return linspaceTimesteps(T, steps);
    case "quadratic":
      return quadraticTimesteps(T, steps);
    case "stride":
      return strideTimesteps(T, steps);
    default:
      return unexpected(
        "spacing leading, trailing, linspace, quadratic, stride or sections",
        spacing,
      );
  }
}
