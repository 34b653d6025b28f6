/** Eigenvalues and eigenvectors of symmetric matrices. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { symmetricEigen } from "../../src/evaluate/symmetric_eigen.ts";
import { ArgumentError } from "../../src/math/errors.ts";
import { U64 } from "../../src/math/float32.ts";
import { seeds, upTo } from "../support/layers.ts";
import { forAll } from "../support/property.ts";
import { multiplied, randomRotation, rotated } from "./matrices.ts";

/**
 * A Jacobi sweep turns each of n² elements n times by a rotation of a few roundings, and some ten sweeps
 * do: what is computed is exact for a matrix within 100·n²·u·‖A‖ of the given one, and no eigenvalue
 * moves by more (Weyl's inequality).
 */
function backwardError(n: number, norm: number): number {
  return 100 * n * n * U64 * norm;
}

const cases = fc.record({
  seed: seeds,
  values: fc.array(fc.integer({ min: -9, max: 9 }), { minLength: 1, maxLength: 8 }),
});

Deno.test("symmetricEigen finds the eigenvalues that a matrix was made of", () => {
  forAll(cases, 100, ({ seed, values }) => {
    const n = values.length;
    const found = symmetricEigen(rotated(values, randomRotation(seed, n)), n).values.toSorted();
    const expected = values.toSorted((a, b) => a - b);
    found.forEach((value, i) => {
      assert(Math.abs(value - expected[i]) <= backwardError(n, 9 * n), `${value}, ${expected[i]}`);
    });
  });
});

Deno.test("symmetricEigen's vectors are orthonormal and give the matrix back", () => {
  forAll(fc.record({ seed: seeds, n: upTo(8) }), 50, ({ seed, n }) => {
    // Q·D·Qᵀ of any D is symmetric; with D = 1..n no two eigenvalues are equal.
    const A = rotated(Array.from({ length: n }, (_, i) => i + 1), randomRotation(seed, n));
    const { values, vectors } = symmetricEigen(A, n);
    const transposed = vectors.map((_, i) => vectors[(i % n) * n + Math.floor(i / n)]);
    multiplied(transposed, vectors, n).forEach((value, i) => {
      const identity = i % (n + 1) === 0 ? 1 : 0;
      assert(Math.abs(value - identity) <= backwardError(n, 1), String(value));
    });
    const back = multiplied(vectors.map((v, i) => v * values[i % n]), transposed, n);
    back.forEach((value, i) => {
      assert(Math.abs(value - A[i]) <= backwardError(n, n * n), `${value}, ${A[i]}`);
    });
  });
});

Deno.test("symmetricEigen takes diagonal matrices as they are, and refuses what has no eigenvalues", () => {
  assertEquals([...symmetricEigen(Float64Array.of(3, 0, 0, -2), 2).values], [3, -2]);
  assertEquals([...symmetricEigen(new Float64Array(9), 3).values], [0, 0, 0]);
  assertThrows(() => symmetricEigen(new Float64Array(3), 2), ArgumentError, "4 elements but got 3");
  assertThrows(() => symmetricEigen(Float64Array.of(1, NaN, NaN, 1), 2), ArgumentError, "finite");
});
