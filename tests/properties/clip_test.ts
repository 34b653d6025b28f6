import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ArgumentError } from "../../src/math/errors.ts";
import { U64 } from "../../src/math/float32.ts";
import {
  checkClip,
  clamp,
  type Clip,
  CLIP_TO_DATA,
  clipX0,
  quantile,
} from "../../src/reference/clip.ts";
import { float, real } from "../support/arbitraries.ts";
import { clip, independentClip, independentQuantile } from "../support/independent_model.ts";
import { boundedTest, forAll } from "../support/property.ts";

// Doubles off any grid, so that interpolating between them rounds.
const values = fc.array(float(4).map((x) => x * Math.PI), { minLength: 1, maxLength: 20 });

/** Error of the quantile: the position q(n − 1) is a rounding off, along the widest gap; 3 more. */
function quantileError(x: readonly number[]): number {
  const sorted = x.toSorted((a, b) => a - b);
  const gap = Math.max(0, ...sorted.slice(1).map((value, i) => value - sorted[i]));
  return (x.length * gap + 3 * Math.max(...x.map(Math.abs))) * U64;
}

boundedTest(
  "the quantile lies between the order statistics around q(n − 1)",
  "(n·gap + 3 max|x|)·u (docs/numerics.md#clip)",
  300,
  fc.tuple(values, fc.oneof(real(0, 1).map(Math.sqrt), fc.constantFrom(0, 0.5, 1))),
  ([x, q], bound) =>
    bound.check(quantile(Float64Array.from(x), q), independentQuantile(x, q), quantileError(x)),
);

boundedTest(
  "clipping limits x̂_0 to a range, or to a quantile's size and divides by it",
  "((n·gap + 3 max|x|) + 2)·u·|y| for a quantile, exact for a range (docs/numerics.md#clip)",
  400,
  fc.tuple(values, clip),
  ([x, rule], bound) => {
    const found = clipX0(Float64Array.from(x), rule), expected = independentClip(x, rule);
    const relative = rule?.kind === "dynamic" ? quantileError(x.map(Math.abs)) + 2 * U64 : 0;
    bound.checkAll(found, expected, (i) => relative * Math.abs(expected[i]), rule?.kind ?? "none");
  },
);

Deno.test("a clamped number is the nearest one in the range", () => {
  forAll(fc.tuple(real(-9, 9), real(0.1, 5)), 200, ([x, range]) => {
    const nearest = [x, range, -range].filter((y) => Math.abs(y) <= range)
      .reduce((best, y) => Math.abs(y - x) < Math.abs(best - x) ? y : best);
    assertEquals(clamp(x, range), nearest);
  });
  assertEquals(CLIP_TO_DATA, { kind: "static", range: 1 });
});

Deno.test("a clip rule out of range is an error that says what was expected", () => {
  const wrong: [unknown, string][] = [
    [{ kind: "static", range: 0 }, "clip range above 0"],
    [{ kind: "dynamic", quantile: 1.1, max: 1 }, "clip quantile in [0, 1]"],
    [{ kind: "dynamic", quantile: -0.1, max: 1 }, "clip quantile in [0, 1]"],
    [{ kind: "dynamic", quantile: 0.5, max: 0.5 }, "clip max of at least 1"],
    [{ kind: "soft" }, "clip to be null, static or dynamic"],
    [undefined, "clip to be null, static or dynamic"],
  ];
  for (const [rule, message] of wrong) {
    assertThrows(() => checkClip(rule as Clip), ArgumentError, message);
  }
  forAll(clip, 50, (rule) => checkClip(rule));
});
