/** Precision and recall against their definition. */
import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { manifoldOf, precisionRecall } from "../../src/evaluate/precision_recall.ts";
import { ArgumentError } from "../../src/math/errors.ts";
import { type Tensor, tensor } from "../../src/math/tensor.ts";
import { forAll } from "../support/property.ts";

/** Points on a small grid, so that equal points and equal distances are common, and no square rounds. */
const points = (min: number) =>
  fc.array(fc.tuple(fc.nat(5), fc.nat(5)), { minLength: min, maxLength: 12 });

function vectors(drawn: readonly (readonly number[])[]): Tensor {
  return tensor([drawn.length, 2], drawn.flat());
}

type Point = readonly number[];

function square(a: Point, b: Point): number {
  return (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2;
}

/** Share of `set` within the k-th neighbour's distance of some point of `of`, as the paper's equations say it. */
function covered(set: readonly Point[], of: readonly Point[], k: number): number {
  const inside = set.filter((a) =>
    of.some((b, i) => {
      const others = of.filter((_, j) => j !== i).map((c) => square(b, c));
      return square(a, b) <= others.toSorted((x, y) => x - y)[k - 1];
    })
  );
  return inside.length / set.length;
}

Deno.test("precisionRecall is the share of each set in the balls of the other", () => {
  const drawn = fc.record({
    real: points(5),
    generated: points(5),
    k: fc.integer({ min: 1, max: 4 }),
  });
  forAll(drawn, 300, ({ real, generated, k }) => {
    assertEquals(
      precisionRecall(manifoldOf(vectors(real), k), manifoldOf(vectors(generated), k)),
      { precision: covered(generated, real, k), recall: covered(real, generated, k) },
    );
  });
});

Deno.test("precisionRecall of a set with itself is 1, with a far one 0, and one image many times over finds no variety", () => {
  const real = [[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1], [3, 0], [3, 1]];
  const manifold = manifoldOf(vectors(real));
  const against = (generated: readonly Point[]) =>
    precisionRecall(manifold, manifoldOf(vectors(generated)));
  assertEquals(against(real), { precision: 1, recall: 1 });
  assertEquals(against(real.map(([x, y]) => [x + 100, y])), { precision: 0, recall: 0 });
  assertEquals(against(real.map(() => [1, 1])), { precision: 1, recall: 1 / 8 });
});

Deno.test("manifoldOf wants more vectors than neighbours, precisionRecall the same dimensions", () => {
  assertThrows(
    () => manifoldOf(tensor([3, 2])),
    ArgumentError,
    "at least 4 feature vectors but got 3",
  );
  assertThrows(
    () => precisionRecall(manifoldOf(tensor([4, 2])), manifoldOf(tensor([4, 3]))),
    ArgumentError,
    "feature vectors of 2 dimensions but got 3",
  );
});
