import { unexpected } from "../math/errors.ts";

/** Eigenvalues and eigenvectors of a symmetric matrix. */
export interface SymmetricEigen {
  /** The n eigenvalues, in no order. */
  readonly values: Float64Array;
  /** `[n, n]`, row-major: column j is the unit eigenvector of value j. */
  readonly vectors: Float64Array;
}

/** Sweeps converge quadratically; a matrix of doubles that needs so many holds no numbers. */
const MAX_SWEEPS = 50;

/**
 * A = V·diag(values)·Vᵀ of a symmetric matrix, by cyclic Jacobi rotations in double (Golub and Van Loan,
 * "Matrix Computations", section 8.5): each turns a pair of coordinates so that their off-diagonal
 * element vanishes, until all of them are below the rounding of the whole.
 *
 * @param A `[n, n]`, row-major; only symmetric matrices give a meaningful result.
 * @throws {ArgumentError} if A has not n² elements, or holds something that is no finite number.
 */
export function symmetricEigen(A: Float64Array, n: number): SymmetricEigen {
  if (A.length !== n * n) unexpected(`a matrix of ${n * n} elements`, A.length);
  const a = A.slice(), vectors = new Float64Array(n * n);
  for (let i = 0; i < n; i++) vectors[i * n + i] = 1;
  let total = 0;
  for (const value of a) total += value * value;
  if (!Number.isFinite(total)) unexpected("a matrix of finite numbers", total);
  const negligible = total * 2 ** -106;
  for (let sweep = 0; offDiagonal(a, n) > negligible; sweep++) {
    if (sweep === MAX_SWEEPS) unexpected("a symmetric matrix", "one that has no such eigenvectors");
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) rotate(a, vectors, n, p, q);
    }
  }
  return { values: Float64Array.from({ length: n }, (_, i) => a[i * n + i]), vectors };
}

/** Sum of the squares above the diagonal. */
function offDiagonal(a: Float64Array, n: number): number {
  let sum = 0;
  for (let p = 0; p < n; p++) {
    for (let q = p + 1; q < n; q++) sum += a[p * n + q] ** 2;
  }
  return sum;
}

/** a ← JᵀaJ and vectors ← vectors·J with the rotation J of coordinates p and q that zeroes a[p,q]. */
function rotate(a: Float64Array, vectors: Float64Array, n: number, p: number, q: number): void {
  const apq = a[p * n + q];
  if (apq === 0) return;
  const tau = (a[q * n + q] - a[p * n + p]) / (2 * apq);
  // The smaller root of t² + 2τt − 1, in the form that does not cancel.
  const t = (tau < 0 ? -1 : 1) / (Math.abs(tau) + Math.hypot(1, tau));
  const c = 1 / Math.hypot(1, t), s = t * c;
  for (let k = 0; k < n; k++) turn(a, k * n + p, k * n + q, c, s);
  for (let k = 0; k < n; k++) turn(a, p * n + k, q * n + k, c, s);
  for (let k = 0; k < n; k++) turn(vectors, k * n + p, k * n + q, c, s);
}

function turn(x: Float64Array, i: number, j: number, c: number, s: number): void {
  const xi = x[i], xj = x[j];
  x[i] = c * xi - s * xj;
  x[j] = s * xi + c * xj;
}
