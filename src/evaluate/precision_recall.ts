/**
 * Improved precision and recall (Kynkäänniemi et al. 2019, "Improved Precision and Recall Metric for
 * Assessing Generative Models", section 2).
 *
 * @module
 */
import { unexpected } from "../math/errors.ts";
import { checkRank, type Tensor } from "../math/tensor.ts";

/** Neighbours that a ball reaches to: the paper's k. */
export const NEIGHBOURS = 3;

/** A set of vectors, each with a ball that reaches to its k-th nearest neighbour in the set. */
export interface Manifold {
  /** `[N, D]` */
  readonly features: Tensor;
  /** Squared radius of each vector's ball, length N. */
  readonly squaredRadii: Float64Array;
}

/**
 * The balls around feature vectors: each reaches to the k-th nearest of the others (equation 1). Equal
 * vectors are neighbours at distance 0.
 *
 * @param features `[N, D]` with N > k.
 * @throws {ArgumentError} if there are too few vectors.
 */
export function manifoldOf(features: Tensor, k: number = NEIGHBOURS): Manifold {
  checkRank("features", features, "N, D");
  const [N, D] = features.shape;
  if (N <= k) unexpected(`at least ${k + 1} feature vectors`, N);
  const values = new Float64Array(features.data);
  // Row i: the k smallest squared distances so far, ascending.
  const nearest = new Float64Array(N * k).fill(Infinity);
  for (let i = 0; i < N; i++) {
    for (let j = i + 1; j < N; j++) {
      const d = squaredDistance(values, i * D, values, j * D, D);
      insert(nearest, i * k, k, d);
      insert(nearest, j * k, k, d);
    }
  }
  const squaredRadii = Float64Array.from({ length: N }, (_, i) => nearest[i * k + k - 1]);
  return { features, squaredRadii };
}

function insert(nearest: Float64Array, start: number, k: number, distance: number): void {
  let at = start + k - 1;
  if (distance >= nearest[at]) return;
  for (; at > start && nearest[at - 1] > distance; at--) nearest[at] = nearest[at - 1];
  nearest[at] = distance;
}

function squaredDistance(
  a: Float64Array,
  i: number,
  b: Float64Array,
  j: number,
  D: number,
): number {
  let sum = 0;
  for (let d = 0; d < D; d++) {
    const difference = a[i + d] - b[j + d];
    sum += difference * difference;
  }
  return sum;
}

/** How much two sets of vectors cover each other. */
export interface PrecisionRecall {
  /** Share of the generated vectors that lie in a ball of a real one. */
  readonly precision: number;
  /** Share of the real vectors that lie in a ball of a generated one. */
  readonly recall: number;
}

/**
 * Precision and recall of generated vectors (equation 2).
 *
 * @throws {ArgumentError} if the dimensions differ.
 */
export function precisionRecall(real: Manifold, generated: Manifold): PrecisionRecall {
  const [N, D] = real.features.shape, [M, otherD] = generated.features.shape;
  if (otherD !== D) unexpected(`feature vectors of ${D} dimensions`, otherD);
  const r = new Float64Array(real.features.data), g = new Float64Array(generated.features.data);
  const realIsCovered = new Uint8Array(N), generatedIsCovered = new Uint8Array(M);
  for (let i = 0; i < N; i++) {
    for (let j = 0; j < M; j++) {
      if (realIsCovered[i] && generatedIsCovered[j]) continue;
      const d = squaredDistance(r, i * D, g, j * D, D);
      if (d <= real.squaredRadii[i]) generatedIsCovered[j] = 1;
      if (d <= generated.squaredRadii[j]) realIsCovered[i] = 1;
    }
  }
  const share = (covered: Uint8Array) =>
    covered.reduce((sum, value) => sum + value, 0) / covered.length;
  return { precision: share(generatedIsCovered), recall: share(realIsCovered) };
}
