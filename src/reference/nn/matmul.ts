/**
 * Products of row-major matrices in double, the inner loops of linear layers and attention.
 *
 * @module
 */

/** Rows × columns of a matrix. */
export type Size = readonly [rows: number, columns: number];

/**
 * out += A·B, for A `[M, K]`, B `[K, N]` and out `[M, N]`, four terms of the inner sum at once: the
 * innermost loop runs along rows of B and out.
 */
export function addProduct(
  out: Float64Array,
  A: Float64Array,
  B: Float64Array,
  [M, K]: Size,
  N: number,
): void {
  for (let m = 0; m < M; m++) {
    const row = m * N;
    let k = 0;
    for (; k + 4 <= K; k += 4) {
      const i = m * K + k;
      const a0 = A[i], a1 = A[i + 1], a2 = A[i + 2], a3 = A[i + 3];
      const b0 = k * N, b1 = b0 + N, b2 = b1 + N, b3 = b2 + N;
      for (let n = 0; n < N; n++) {
        out[row + n] += a0 * B[b0 + n] + a1 * B[b1 + n] + a2 * B[b2 + n] + a3 * B[b3 + n];
      }
    }
    for (; k < K; k++) {
      const a = A[m * K + k];
      for (let n = 0; n < N; n++) out[row + n] += a * B[k * N + n];
    }
  }
}

/** Aᵀ, for A `[M, N]`. */
export function transposed(A: Float64Array, [M, N]: Size): Float64Array {
  const out = new Float64Array(M * N);
  for (let m = 0; m < M; m++) {
    for (let n = 0; n < N; n++) out[n * M + m] = A[m * N + n];
  }
  return out;
}
