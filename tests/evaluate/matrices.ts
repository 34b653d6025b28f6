/**
 * Square matrices for the tests of figures, row-major, written for sight and not for speed.
 *
 * @module
 */
import { normalDoubles } from "../../src/math/noise.ts";

/** A·B. */
export function multiplied(A: Float64Array, B: Float64Array, n: number): Float64Array {
  return A.map((_, at) => {
    const i = Math.floor(at / n), j = at % n;
    let sum = 0;
    for (let k = 0; k < n; k++) sum += A[i * n + k] * B[k * n + j];
    return sum;
  });
}

/** An orthogonal matrix: the product of n reflections I − 2vvᵀ/‖v‖² with drawn v. */
export function randomRotation(seed: number, n: number): Float64Array {
  let Q: Float64Array = Float64Array.from({ length: n * n }, (_, at) => at % (n + 1) === 0 ? 1 : 0);
  for (let r = 0; r < n; r++) {
    const v = normalDoubles(seed, r, 0, n);
    const square = v.reduce((sum, x) => sum + x * x, 0);
    const reflection = Q.map((_, at) =>
      (at % (n + 1) === 0 ? 1 : 0) - 2 * v[Math.floor(at / n)] * v[at % n] / square
    );
    Q = multiplied(Q, reflection, n);
  }
  return Q;
}

/** Q·diag(values)·Qᵀ, made symmetric to the last bit. */
export function rotated(values: readonly number[], Q: Float64Array): Float64Array {
  const n = values.length;
  const at = (i: number, j: number) =>
    values.reduce((sum, value, k) => sum + value * Q[i * n + k] * Q[j * n + k], 0);
  return Q.map((_, index) => {
    const i = Math.floor(index / n), j = index % n;
    return at(Math.min(i, j), Math.max(i, j));
  });
}
