/**
 * Comparing numbers under a derived bound, and watching that the bound is not slack.
 *
 * @module
 */
import { AssertionError } from "@std/assert";

/** The value of an environment variable, or undefined where reading it is not permitted. */
export function setting(variable: string): string | undefined {
  const { state } = Deno.permissions.querySync({ name: "env", variable });
  return state === "granted" ? Deno.env.get(variable) : undefined;
}

/** A bound must come within this factor of some drawn error, or it is too loose to mean anything. */
const LOOSEST = 0.01;

/**
 * A bound by its formula. Every check says what and where, both values, their distance and the bound;
 * the worst error in units of the bound is kept for each thing compared, and {@linkcode Bound.settle}
 * fails if one stayed under 0.01.
 */
export class Bound {
  readonly #worst = new Map<string, number>();

  /** @param formula the bound as written in docs/numerics.md. */
  constructor(readonly formula: string) {}

  /** Asserts |actual − expected| ≤ bound; a bound of 0 asks for equality. Equal infinities agree. */
  check(
    actual: number,
    expected: number,
    bound: number,
    what = "value",
    where: number | string = "",
  ): void {
    const distance = actual === expected ? 0 : Math.abs(actual - expected);
    if (!(distance <= bound)) {
      throw new AssertionError(
        `Expected ${expected} for ${what}${
          where !== "" ? ` at ${where}` : ""
        } but got ${actual}: ` +
          `the distance ${distance} is ${
            distance / bound
          } times the bound ${bound} = ${this.formula}`,
      );
    }
    if (bound === 0) return;
    const ratio = distance / bound;
    this.#worst.set(what, Math.max(this.#worst.get(what) ?? 0, ratio));
  }

  /** {@linkcode Bound.check} for every index. */
  checkAll(
    actual: ArrayLike<number>,
    expected: ArrayLike<number>,
    bound: (i: number) => number,
    what = "value",
  ): void {
    if (actual.length !== expected.length) {
      throw new AssertionError(
        `Expected ${expected.length} values for ${what} but got ${actual.length}`,
      );
    }
    for (let i = 0; i < actual.length; i++) {
      this.check(actual[i], expected[i], bound(i), what, `[${i}]`);
    }
  }

  /**
   * Ends a test's comparisons: prints the worst errors in units of the bound if the environment has
   * BOUNDS, and fails if one never reached a hundredth of its bound.
   */
  settle(name: string): void {
    const report = [...this.#worst].map(([what, worst]) => `${what} ${worst.toFixed(3)}`).join(
      ", ",
    );
    if (setting("BOUNDS") !== undefined) {
      Deno.stderr.writeSync(new TextEncoder().encode(`BOUND\t${name}\t${report}\n`));
    }
    if (![...this.#worst.values()].every((worst) => worst >= LOOSEST)) {
      throw new AssertionError(
        `Expected worst errors of at least ${LOOSEST} bounds but got ${report || "none"}: ` +
          `the bound ${this.formula} is too loose`,
      );
    }
  }
}
