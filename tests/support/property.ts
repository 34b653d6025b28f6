/**
 * How properties are run: one fixed seed, so that a run repeats; more draws by RUNS=factor; the first
 * counterexample as it was drawn by SHRINK=no, where only its existence matters.
 *
 * @module
 */
import fc from "fast-check";
import { Bound, setting } from "./bound.ts";

/** Seed of every property: the day the DDPM paper appeared. */
const SEED = Number(setting("SEED") ?? 20200619);
const FACTOR = Number(setting("RUNS") ?? 1);

function parameters(runs: number) {
  return { seed: SEED, numRuns: runs * FACTOR, endOnFailure: setting("SHRINK") === "no" };
}

/** Checks `predicate` on `runs` draws. */
export function forAll<T>(
  arbitrary: fc.Arbitrary<T>,
  runs: number,
  predicate: (drawn: T) => void,
): void {
  fc.assert(fc.property(arbitrary, predicate), parameters(runs));
}

/** {@linkcode forAll} for a predicate that awaits. */
export async function forAllAsync<T>(
  arbitrary: fc.Arbitrary<T>,
  runs: number,
  predicate: (drawn: T) => Promise<void>,
): Promise<void> {
  await fc.assert(fc.asyncProperty(arbitrary, predicate), parameters(runs));
}

/** A test of one property whose comparisons all share one bound. */
export function boundedTest<T>(
  name: string,
  formula: string,
  runs: number,
  arbitrary: fc.Arbitrary<T>,
  predicate: (drawn: T, bound: Bound) => void,
): void {
  Deno.test(name, () => {
    const bound = new Bound(formula);
    forAll(arbitrary, runs, (drawn) => predicate(drawn, bound));
    bound.settle(name);
  });
}

/** {@linkcode boundedTest} for a predicate that awaits. */
export function boundedTestAsync<T>(
  name: string,
  formula: string,
  runs: number,
  arbitrary: fc.Arbitrary<T>,
  predicate: (drawn: T, bound: Bound) => Promise<void>,
): void {
  Deno.test(name, async () => {
    const bound = new Bound(formula);
    await forAllAsync(arbitrary, runs, (drawn) => predicate(drawn, bound));
    bound.settle(name);
  });
}
