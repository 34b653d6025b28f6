/** The Fréchet distance against its closed forms. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { frechetDistance, type Moments, momentsOf } from "../../src/evaluate/frechet.ts";
import { ArgumentError } from "../../src/math/errors.ts";
import { U64 } from "../../src/math/float32.ts";
import { tensor } from "../../src/math/tensor.ts";
import { normals, seeds, upTo } from "../support/layers.ts";
import { forAll } from "../support/property.ts";
import { randomRotation, rotated } from "./matrices.ts";

function gaussian(mean: readonly number[], covariance: ArrayLike<number>): Moments {
  return { mean: Float64Array.from(mean), covariance: Float64Array.from(covariance) };
}

/**
 * The distance sums D roots of eigenvalues of a matrix of size ‖Σ₁‖·‖Σ₂‖, each of which is off by at most
 * δ = 200·D²·u·‖Σ₁‖·‖Σ₂‖ (twice that of one decomposition). A root moves by √δ at most, even at 0; the
 * means and traces round relative to their own size.
 */
function tolerance(a: Moments, b: Moments): number {
  const D = a.mean.length;
  const norm = ({ covariance }: Moments) => Math.hypot(...covariance);
  const delta = 200 * D * D * U64 * norm(a) * norm(b);
  const means = a.mean.reduce((sum, m, d) => sum + (m - b.mean[d]) ** 2, 0);
  return 2 * D * Math.sqrt(delta) + 10 * D * U64 * (means + norm(a) + norm(b));
}

function assertDistance(a: Moments, b: Moments, expected: number): void {
  for (const found of [frechetDistance(a, b), frechetDistance(b, a)]) {
    assert(Math.abs(found - expected) <= tolerance(a, b), `${found} instead of ${expected}`);
  }
}

const real = fc.integer({ min: -40, max: 40 }).map((n) => n / 8);
const variance = fc.integer({ min: 0, max: 64 }).map((n) => n / 8);
const axes = fc.array(fc.record({ m1: real, m2: real, v1: variance, v2: variance }), {
  minLength: 1,
  maxLength: 6,
});

Deno.test("frechetDistance of independent axes is Σ (m1 − m2)² + (σ1 − σ2)², however they are turned", () => {
  forAll(fc.record({ axes, seed: seeds }), 100, ({ axes, seed }) => {
    const n = axes.length, Q = randomRotation(seed, n);
    const turned = (mean: number[], variances: number[]) =>
      gaussian(
        mean.map((_, i) => mean.reduce((sum, m, k) => sum + Q[i * n + k] * m, 0)),
        rotated(variances, Q),
      );
    const expected = axes.reduce(
      (sum, { m1, m2, v1, v2 }) => sum + (m1 - m2) ** 2 + (Math.sqrt(v1) - Math.sqrt(v2)) ** 2,
      0,
    );
    const a = turned(axes.map(({ m1 }) => m1), axes.map(({ v1 }) => v1));
    const b = turned(axes.map(({ m2 }) => m2), axes.map(({ v2 }) => v2));
    assertDistance(a, b, expected);
  });
});

Deno.test("frechetDistance in the plane, for covariances that do not commute", () => {
  const pair = fc.tuple(variance, variance);
  forAll(fc.record({ seed: seeds, v1: pair, v2: pair }), 100, ({ seed, v1, v2 }) => {
    const A = rotated(v1, randomRotation(seed, 2)), B = rotated(v2, randomRotation(seed + 1, 2));
    // The roots s, t of the eigenvalues of AB have (s + t)² = tr(AB) + 2·√det(AB).
    const trace = A[0] * B[0] + 2 * A[1] * B[1] + A[3] * B[3];
    const root = Math.sqrt(trace + 2 * Math.sqrt(v1[0] * v1[1] * v2[0] * v2[1]));
    const expected = v1[0] + v1[1] + v2[0] + v2[1] - 2 * root;
    assertDistance(gaussian([0, 0], A), gaussian([0, 0], B), expected);
  });
});

Deno.test("frechetDistance is 0 from itself, and grows with the square of the scale", () => {
  forAll(fc.record({ seed: seeds, N: upTo(9), D: upTo(5) }), 50, ({ seed, N, D }) => {
    // N + 1 vectors in D dimensions: often too few for a covariance of full rank.
    const x = normals(seed, 0, [N + 1, D]), y = normals(seed, 1, [N + 1, D]);
    const [a, b] = [momentsOf(x), momentsOf(y)];
    assertDistance(a, a, 0);
    const [a4, b4] = [x, y].map(({ shape, data }) =>
      momentsOf(tensor(shape, data.map((v) => 4 * v)))
    );
    const once = frechetDistance(a, b), scaled = frechetDistance(a4, b4);
    assert(Math.abs(scaled - 16 * once) <= 16 * tolerance(a, b), `${scaled}, ${once}`);
  });
});

Deno.test("momentsOf divides by N − 1, and loses nothing far from the origin", () => {
  const near = momentsOf(tensor([3, 2], [1, 2, 3, 2, 5, 8]));
  assertEquals([...near.mean], [3, 4]);
  assertEquals([...near.covariance], [4, 6, 6, 12]);
  const far = momentsOf(tensor([3, 2], [1, 2, 3, 2, 5, 8].map((v) => v + 2 ** 20)));
  assertEquals([...far.covariance], [4, 6, 6, 12]);
});

Deno.test("moments and distances of what does not fit say so", () => {
  assertThrows(
    () => momentsOf(tensor([1, 2])),
    ArgumentError,
    "at least 2 feature vectors but got 1",
  );
  const [one, two] = [gaussian([0], [1]), gaussian([0, 0], [1, 0, 0, 1])];
  assertThrows(() => frechetDistance(one, two), ArgumentError, "moments of 1 dimensions but got 2");
});
