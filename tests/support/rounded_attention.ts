/**
 * Attention in double with the rounding errors of its float32 kernels: products, softmax over the rows,
 * products.
 *
 * @module
 */
import type { Tensor } from "../../src/math/tensor.ts";
import { addProduct, transposed } from "../../src/reference/nn/matmul.ts";
import { zerosLike } from "../../src/reference/nn/zeros_like.ts";
import { DIVISION, expError } from "../webgpu/wgsl_accuracy.ts";
import type { RandomRounding } from "./random_rounding.ts";

/** What a forward pass keeps: the softmax of every head, `[L, L]`. */
export type RoundedProbabilities = readonly Float64Array[];

/** alpha·A·B + 0, divided by an output scale of 1. */
function product(
  rounding: RandomRounding,
  A: Float64Array,
  B: Float64Array,
  [M, K]: readonly [number, number],
  N: number,
  alpha = 1,
): Float64Array {
  const S = new Float64Array(M * N), Q = new Float64Array(M * N);
  addProduct(S, A, B, [M, K], N);
  addProduct(Q, A.map((v) => v * v), B.map((v) => v * v), [M, K], N);
  const factor = alpha === 1 ? 1 : rounding.rounded(alpha);
  return S.map((s, i) => {
    const scaled = rounding.rounded(factor * rounding.sum(K, s, Q[i]), alpha === 1 ? 0 : 1);
    return rounding.builtin(scaled, DIVISION);
  });
}

/** Softmax of every row of L scores, in place. */
function softmax(rounding: RandomRounding, scores: Float64Array, L: number): void {
  for (let from = 0; from < scores.length; from += L) {
    const row = scores.subarray(from, from + L);
    const most = row.reduce((a, b) => Math.max(a, b));
    let S = 0, Q = 0;
    for (let j = 0; j < L; j++) {
      const x = rounding.rounded(row[j] - most);
      row[j] = rounding.builtin(Math.exp(x), expError(x));
      S += row[j];
      Q += row[j] ** 2;
    }
    const factor = rounding.builtin(1 / rounding.sum(L, S, Q, 0), DIVISION);
    for (let j = 0; j < L; j++) row[j] = rounding.rounded(row[j] * factor);
  }
}

/** The matrices `[L, D]` of every head of every sample. */
function heads(x: Tensor): Float64Array[] {
  const [N, count, L, D] = x.shape;
  return Array.from(
    { length: N * count },
    (_, k) => Float64Array.from(x.data.subarray(k * L * D, (k + 1) * L * D)),
  );
}

/** y = softmax(q·kᵀ/√D)·v per head. */
export function roundedAttention(
  rounding: RandomRounding,
  q: Tensor,
  k: Tensor,
  v: Tensor,
): { readonly y: Tensor; readonly probabilities: RoundedProbabilities } {
  const [, , L, D] = q.shape;
  const [Q, K, V] = [q, k, v].map(heads);
  const y = zerosLike(q);
  const probabilities = Q.map((_, head) => {
    const P = product(rounding, Q[head], transposed(K[head], [L, D]), [L, D], L, D ** -0.5);
    softmax(rounding, P, L);
    y.data.set(product(rounding, P, V[head], [L, L], D), head * L * D);
    return P;
  });
  return { y, probabilities };
}

/** Gradients with respect to q, k and v. */
export function roundedAttentionBackward(
  rounding: RandomRounding,
  dY: Tensor,
  q: Tensor,
  k: Tensor,
  v: Tensor,
  probabilities: RoundedProbabilities,
): { readonly dQ: Tensor; readonly dK: Tensor; readonly dV: Tensor } {
  const [, , L, D] = q.shape;
  const [Q, K, V, G] = [q, k, v, dY].map(heads);
  const dQ = zerosLike(q), dK = zerosLike(k), dV = zerosLike(v);
  const alpha = D ** -0.5;
  probabilities.forEach((P, head) => {
    const at = head * L * D;
    dV.data.set(product(rounding, transposed(P, [L, L]), G[head], [L, L], D), at);
    const dS = product(rounding, G[head], transposed(V[head], [L, D]), [L, D], L);
    for (let from = 0; from < L * L; from += L) {
      let sum = 0, squares = 0;
      for (let i = from; i < from + L; i++) {
        sum += P[i] * dS[i];
        squares += (P[i] * dS[i]) ** 2;
      }
      const dot = rounding.sum(L, sum, squares);
      for (let i = from; i < from + L; i++) dS[i] = rounding.rounded(P[i] * (dS[i] - dot), 2);
    }
    dQ.data.set(product(rounding, dS, K[head], [L, L], D, alpha), at);
    dK.data.set(product(rounding, transposed(dS, [L, L]), Q[head], [L, L], D, alpha), at);
  });
  return { dQ, dK, dV };
}
