/**
 * The Fréchet distance between the Gaussians that fit two sets of features (Heusel et al. 2017,
 * "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium", eq. 6, whose
 * FID takes Inception's features where this package takes its own classifier's).
 *
 * @module
 */
import { unexpected } from "../math/errors.ts";
import { checkRank, type Tensor } from "../math/tensor.ts";
import { addProduct, transposed } from "../reference/nn/matmul.ts";
import { symmetricEigen } from "./symmetric_eigen.ts";

/** Mean and covariance of a set of vectors. */
export interface Moments {
  /** Length D. */
  readonly mean: Float64Array;
  /** `[D, D]`, row-major. */
  readonly covariance: Float64Array;
}

/**
 * Mean and sample covariance (divided by N − 1) in double, the deviations taken from the mean first.
 *
 * @param features `[N, D]` with N ≥ 2.
 * @throws {ArgumentError} if there are fewer than two vectors.
 */
export function momentsOf(features: Tensor): Moments {
  checkRank("features", features, "N, D");
  const [N, D] = features.shape;
  if (N < 2) unexpected("at least 2 feature vectors", N);
  const mean = new Float64Array(D);
  for (let i = 0; i < N * D; i++) mean[i % D] += features.data[i];
  for (let d = 0; d < D; d++) mean[d] /= N;
  const centred = Float64Array.from(features.data, (value, i) => value - mean[i % D]);
  const covariance = new Float64Array(D * D);
  addProduct(covariance, transposed(centred, [N, D]), centred, [D, N], D);
  for (let i = 0; i < D * D; i++) covariance[i] /= N - 1;
  return { mean, covariance };
}

/**
 * ‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^{1/2}) (Dowson and Landau 1982, eq. 4): the squared 2-Wasserstein
 * distance between two Gaussians.
 *
 * Σ₁Σ₂ has the eigenvalues of the symmetric R·Σ₂·R with R = Σ₁^{1/2}, so the trace of its root is the
 * sum of their roots. Eigenvalues that rounding made negative count as 0.
 *
 * @throws {ArgumentError} if the dimensions differ.
 */
export function frechetDistance(a: Moments, b: Moments): number {
  const D = a.mean.length;
  if (b.mean.length !== D) unexpected(`moments of ${D} dimensions`, b.mean.length);
  const { values, vectors } = symmetricEigen(a.covariance, D);
  const root = product(
    vectors.map((v, i) => v * Math.sqrt(Math.max(0, values[i % D]))),
    transposed(vectors, [D, D]),
    D,
  );
  const between = product(product(root, b.covariance, D), root, D);
  // The product is symmetric but for its rounding, which would keep the rotations busy.
  const mirrored = transposed(between, [D, D]);
  const symmetric = between.map((value, i) => (value + mirrored[i]) / 2);
  let distance = 0;
  for (let d = 0; d < D; d++) {
    distance += (a.mean[d] - b.mean[d]) ** 2 + a.covariance[d * D + d] + b.covariance[d * D + d];
  }
  for (const value of symmetricEigen(symmetric, D).values) {
    distance -= 2 * Math.sqrt(Math.max(0, value));
  }
  return distance;
}

function product(A: Float64Array, B: Float64Array, D: number): Float64Array {
  const out = new Float64Array(D * D);
  addProduct(out, A, B, [D, D], D);
  return out;
}
