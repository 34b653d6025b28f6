/**
 * Guessing why a candidate deviates: the first known mistake that gives its answers.
 *
 * @module
 */
import type { Request } from "../draw/parts.ts";
import { compare, type Expectation, type Judge } from "../judge.ts";
import { type Precision, UNIT } from "../model.ts";
import type { Leaf } from "../leaves.ts";
import type { Alternative } from "./alternative.ts";
import { CLIPPING_MISTAKES } from "./clipping.ts";
import { NETWORK_MISTAKES } from "./networks.ts";
import { RESULT_MISTAKES } from "./results.ts";
import { STEP_MISTAKES } from "./steps.ts";
import { RULE_MISTAKES, TABLE_MISTAKES } from "./tables.ts";

/** A wrong answer to a request. */
export interface Evidence {
  /** The request. */
  readonly request: Request;
  /** The candidate's result. */
  readonly result: unknown;
}

const ALTERNATIVES: readonly Alternative[] = [
  ...TABLE_MISTAKES,
  ...STEP_MISTAKES,
  ...CLIPPING_MISTAKES,
  ...NETWORK_MISTAKES,
  ...RESULT_MISTAKES,
  ...RULE_MISTAKES,
];

/** The answer of an alternative, or null where it has none. */
function answerOf(
  alternative: Alternative,
  request: Request,
  judge: Judge,
): readonly Leaf[] | null {
  try {
    return alternative.answer(request, judge);
  } catch {
    // The reference refuses what the mistake would ask.
    return null;
  }
}

/** Whether a candidate's wrong answer is the one that a mistake gives. */
function explains(
  alternative: Alternative,
  { request, result }: Evidence,
  judge: Judge,
  u: number,
): boolean {
  const leaves = answerOf(alternative, request, judge);
  if (leaves === null) return false;
  const expectation = judge.expectation(request, "own");
  const near: Expectation = {
    leaves,
    // Bounds are the right answer's; the mistaken one may be larger.
    boundOf: (leaf, i) => 2 * expectation.boundOf(leaf, i) + 64 * u * Math.abs(leaf.values[i]),
  };
  try {
    return compare(result, near).difference === null;
  } catch {
    return false;
  }
}

/** Whether a mistake shows at all: it answers what the reference does not. */
function shows(
  alternative: Alternative,
  { request }: Evidence,
  judge: Judge,
): boolean {
  const leaves = answerOf(alternative, request, judge);
  const { leaves: right, boundOf } = judge.expectation(request, "double");
  return leaves !== null &&
    leaves.some((leaf, k) =>
      leaf.values.length !== right[k].values.length ||
      Array.from(leaf.values).some((value, i) =>
        Math.abs(value - right[k].values[i]) > boundOf(right[k], i)
      )
    );
}

/** The first known mistake that gives all of the candidate's wrong answers, or null. */
export function causeOf(
  judge: Judge,
  precision: Precision,
  evidence: readonly Evidence[],
): string | null {
  if (evidence.some(({ result }) => result === undefined)) return null;
  const u = Math.max(UNIT[precision], UNIT.f32);
  const found = ALTERNATIVES.find((alternative) =>
    shows(alternative, evidence[0], judge) &&
    evidence.every((one) => explains(alternative, one, judge, u))
  );
  return found?.cause ?? null;
}
