/**
 * Scaled dot-product attention over several heads (Vaswani et al. 2017, equation 1).
 *
 * @module
 */
import { checkRank, checkShape, type Tensor } from "../../math/tensor.ts";
import { addProduct, transposed } from "./matmul.ts";
import { zerosLike } from "./zeros_like.ts";

/** How scores are scaled. */
export interface AttentionOptions {
  /** Factor of the scores q·k. Default D^−½. */
  readonly scale?: number;
}

/**
 * y = P·v with P = softmax(scale·q·kᵀ) over the keys, per sample and head.
 *
 * @param q `[N, heads, L, D]`
 * @param k `[N, heads, S, D]`
 * @param v `[N, heads, S, D]`
 * @returns `[N, heads, L, D]`
 * @throws {ArgumentError} if shapes do not fit.
 */
export function attention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  options: AttentionOptions = {},
): Tensor {
  const { heads, L, S, D } = attentionSizes(q, k, v);
  const scale = options.scale ?? 1 / Math.sqrt(D);
  const y = zerosLike(q);
  for (let head = 0; head < heads; head++) {
    const P = probabilities(rows(q, head, L), rows(k, head, S), [L, S, D], scale);
    const sum = new Float64Array(L * D);
    addProduct(sum, P, rows(v, head, S), [L, S], D);
    y.data.set(sum, head * L * D);
  }
  return y;
}

/** Gradients of attention with respect to its inputs. */
export interface AttentionGradients {
  /** `[N, heads, L, D]` */
  readonly dQ: Tensor;
  /** `[N, heads, S, D]` */
  readonly dK: Tensor;
  /** `[N, heads, S, D]` */
  readonly dV: Tensor;
}

/**
 * Gradients of `attention`, given dY `[N, heads, L, D]`: dV = Pᵀ·dY; dP = dY·vᵀ;
 * dScores = P∘(dP − rowSum(P∘dP)); dQ = scale·dScores·k; dK = scale·dScoresᵀ·q.
 *
 * @throws {ArgumentError} if shapes do not fit.
 */
export function attentionBackward(
  dY: Tensor,
  q: Tensor,
  k: Tensor,
  v: Tensor,
  options: AttentionOptions = {},
): AttentionGradients {
  const { heads, L, S, D } = attentionSizes(q, k, v);
  checkShape("dY", dY, q.shape);
  const scale = options.scale ?? 1 / Math.sqrt(D);
  const dQ = zerosLike(q), dK = zerosLike(k), dV = zerosLike(v);
  for (let head = 0; head < heads; head++) {
    const Q = rows(q, head, L), K = rows(k, head, S), V = rows(v, head, S), G = rows(dY, head, L);
    const P = probabilities(Q, K, [L, S, D], scale);
    const sumV = new Float64Array(S * D);
    addProduct(sumV, transposed(P, [L, S]), G, [S, L], D);
    dV.data.set(sumV, head * S * D);

    const dP = new Float64Array(L * S);
    addProduct(dP, G, transposed(V, [S, D]), [L, D], S);
    const dScores = softmaxBackward(dP, P, [L, S]);
    for (let i = 0; i < dScores.length; i++) dScores[i] *= scale;

    const sumQ = new Float64Array(L * D);
    addProduct(sumQ, dScores, K, [L, S], D);
    dQ.data.set(sumQ, head * L * D);
    const sumK = new Float64Array(S * D);
    addProduct(sumK, transposed(dScores, [L, S]), Q, [S, L], D);
    dK.data.set(sumK, head * S * D);
  }
  return { dQ, dK, dV };
}

/** P[i,·] = softmax over j of scale·q_i·k_j, less the row's maximum so that nothing overflows. */
function probabilities(
  Q: Float64Array,
  K: Float64Array,
  [L, S, D]: readonly [number, number, number],
  scale: number,
): Float64Array {
  const P = new Float64Array(L * S);
  addProduct(P, Q, transposed(K, [S, D]), [L, D], S);
  for (let i = 0; i < L; i++) {
    const row = P.subarray(i * S, (i + 1) * S);
    let max = -Infinity;
    for (let j = 0; j < S; j++) max = Math.max(max, scale * row[j]);
    let sum = 0;
    for (let j = 0; j < S; j++) sum += row[j] = Math.exp(scale * row[j] - max);
    for (let j = 0; j < S; j++) row[j] /= sum;
  }
  return P;
}

/** dScores = P∘(dP − rowSum(P∘dP)). */
function softmaxBackward(
  dP: Float64Array,
  P: Float64Array,
  [L, S]: readonly [number, number],
): Float64Array {
  const dScores = new Float64Array(L * S);
  for (let i = 0; i < L * S; i += S) {
    let dot = 0;
    for (let j = i; j < i + S; j++) dot += P[j] * dP[j];
    for (let j = i; j < i + S; j++) dScores[j] = P[j] * (dP[j] - dot);
  }
  return dScores;
}

/** The matrix `[length, D]` of one head of one sample, in double. */
function rows(x: Tensor, head: number, length: number): Float64Array {
  const size = length * x.shape[3];
  return new Float64Array(x.data.subarray(head * size, (head + 1) * size));
}

/** `heads` counts those of all samples. */
function attentionSizes(q: Tensor, k: Tensor, v: Tensor): {
  heads: number;
  L: number;
  S: number;
  D: number;
} {
  checkRank("q", q, "N, heads, L, D");
  checkRank("k", k, "N, heads, S, D");
  const [N, heads, L, D] = q.shape;
  const S = k.shape[2];
  checkShape("k", k, [N, heads, S, D]);
  checkShape("v", v, [N, heads, S, D]);
  return { heads: N * heads, L, S, D };
}
