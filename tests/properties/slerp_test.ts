import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ArgumentError } from "../../src/math/errors.ts";
import { referenceBound, U32, U64 } from "../../src/math/float32.ts";
import { tensor } from "../../src/math/tensor.ts";
import { slerp } from "../../src/reference/slerp.ts";
import { real, tensorOf } from "../support/arbitraries.ts";
import { boundedTest, forAll } from "../support/property.ts";

const dot = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((sum, x, i) => sum + x * b[i], 0);
const norm = (a: ArrayLike<number>) => Math.sqrt(dot(a, a));

/** The angle between two vectors by its tangent: accurate near 0 and π, where cos is flat. */
function angle(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const p = Array.from(a, (x) => x / norm(a)), q = Array.from(b, (x) => x / norm(b));
  return 2 * Math.atan2(norm(p.map((x, i) => x - q[i])), norm(p.map((x, i) => x + q[i])));
}

const pair = fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 2, max: 8 }))
  .chain(([N, D]) => fc.tuple(tensorOf([N, D]), tensorOf([N, D]), real(-0.25, 1.25)))
  // Away from zero and opposite vectors, which have no path between them.
  .filter(([a, b]) =>
    Array.from({ length: a.shape[0] }, (_, n) => n).every((n) => {
      const D = a.shape[1];
      const p = a.data.slice(n * D, (n + 1) * D), q = b.data.slice(n * D, (n + 1) * D);
      return norm(p) > 0.1 && norm(q) > 0.1 && angle(p, q) < 3;
    })
  );

boundedTest(
  "slerp turns the direction by f·θ: cos(fθ) = w_a + w_b cos θ, sin(fθ) = w_b sin θ",
  "½ulp + 16(D + 8)·u·Σ|terms|/sin²θ (docs/numerics.md#slerp)",
  200,
  pair,
  ([a, b, f], bound) => {
    const [N, D] = a.shape, out = slerp(a, b, f);
    assertEquals(out.shape, a.shape);
    for (let n = 0; n < N; n++) {
      const rows = [a, b].map((x) => x.data.slice(n * D, (n + 1) * D));
      const theta = angle(rows[0], rows[1]), sine = Math.sin(theta);
      const wb = Math.sin(f * theta) / sine, wa = Math.cos(f * theta) - wb * Math.cos(theta);
      const expected = rows[0].map(() => 0) as ArrayLike<number>;
      const terms = Array.from(expected, (_, i) => [wa * rows[0][i], wb * rows[1][i]]);
      bound.checkAll(
        out.data.slice(n * D, (n + 1) * D),
        terms.map(([p, q]) => p + q),
        (i) => {
          const size = Math.abs(rows[0][i]) + Math.abs(rows[1][i]);
          // θ from its cosine is off by (D + 4)u/sin θ, the weights' slopes are about 1/sin θ.
          const lost = 16 * (D + 8) * size / Math.max(sine * sine, 1e-12);
          return referenceBound(terms[i][0] + terms[i][1], 8, size) + lost * U64;
        },
      );
    }
  },
);

boundedTest(
  "between vectors of one norm slerp keeps the norm and divides the angle f : 1 − f",
  "4·½ulp(norm), over sin θ for angles (docs/numerics.md#slerp)",
  200,
  pair.map(([a, b, f]) => [a, b, Math.min(Math.max(f, 0), 1)] as const),
  ([a, b, f], bound) => {
    const D = a.shape[1];
    // Both scaled to length 2; rounding to float32 leaves norms within ½ulp·√D of it.
    const [p, q] = [a, b].map((x) => {
      const row = x.data.slice(0, D), length = norm(row);
      return tensor([1, D], Array.from(row, (value) => 2 * value / length));
    });
    const out = slerp(p, q, f).data, theta = angle(p.data, q.data);
    const relative = 4 * U32 / Math.cos(theta / 2);
    bound.check(norm(out) / 2, 1, relative, "norm");
    bound.check(angle(p.data, out), f * theta, relative, "angle from a");
    bound.check(angle(out, q.data), (1 - f) * theta, relative, "angle to b");
  },
);

boundedTest(
  "slerp mixes parallel vectors linearly, and refuses opposite ones, however they round",
  "½ulp + 16u·|b|, and the chord of an angle √((D + 4)u) (docs/numerics.md#slerp)",
  300,
  fc.tuple(fc.integer({ min: 1, max: 8 }), real(0, 1), fc.constantFrom(3, 5, 7, 0.3))
    .chain(([D, f, k]) => tensorOf([1, D]).map((a) => [a, f, k] as const))
    .filter(([a]) => norm(a.data) > 0.1),
  ([a, f, k], bound) => {
    const b = tensor(a.shape, a.data.map((x) => k * x));
    const out = slerp(a, b, f);
    bound.checkAll(out.data, Array.from(a.data, (x, i) => x + f * (b.data[i] - x)), (i) =>
      // b is parallel up to its own rounding; an angle θ moves the weights by θ²/6 at most.
      U32 * (1 + k) * Math.abs(a.data[i]) + (a.data.length + 20) * U64 * (1 + k) * 4);
    assertThrows(() => slerp(a, tensor(a.shape, b.data.map((x) => -x)), f), ArgumentError, "of π");
  },
);

Deno.test("slerp ends at its ends, and parallel vectors are mixed linearly", () => {
  forAll(pair, 100, ([a, b]) => {
    assertEquals(Array.from(slerp(a, b, 0).data), Array.from(a.data, (x) => x + 0));
    assertEquals(Array.from(slerp(a, b, 1).data), Array.from(b.data, (x) => x + 0));
  });
  const a = tensor([1, 2], [3, 4]), twice = tensor([1, 2], [6, 8]);
  assertEquals(Array.from(slerp(a, a, 0.3).data), [3, 4]);
  assertEquals(Array.from(slerp(a, twice, 0.25).data), [3.75, 5]);
});

Deno.test("slerp refuses opposite vectors, vectors without direction and other shapes", () => {
  const a = tensor([1, 2], [3, 4]);
  assertThrows(() => slerp(a, tensor([1, 2], [-3, -4]), 0.5), ArgumentError, "angle of π");
  assertThrows(() => slerp(a, tensor([1, 2]), 0.5), ArgumentError, "zero vector");
  assertThrows(() => slerp(a, tensor([2, 1], [1, 1]), 0.5), ArgumentError, "Expected b of shape");
  assertThrows(() => slerp(a, a, NaN), ArgumentError, "finite number for fraction");
});
