import { unexpected } from "../math/errors.ts";
import type { Tensor } from "../math/tensor.ts";
import type { Parameters } from "../spec/unet_parameters.ts";
import { zerosLike } from "./nn/zeros_like.ts";

/** √(Σ over all tensors and elements of g²). */
export function globalNorm(grads: Iterable<Tensor>): number {
  let sum = 0;
  for (const { data } of grads) {
    for (let i = 0; i < data.length; i++) sum += data[i] * data[i];
  }
  return Math.sqrt(sum);
}

/**
 * Clips gradients by their global norm (Pascanu et al. 2013, algorithm 1): every gradient times
 * min(1, maxNorm/(norm + 1e−6)).
 *
 * @returns the scaled gradients and the norm they had before.
 * @throws {ArgumentError} if maxNorm is not above 0.
 */
export function clipGradNorm(
  grads: readonly Tensor[],
  maxNorm: number,
): { readonly grads: readonly Tensor[]; readonly norm: number } {
  if (!(maxNorm > 0)) unexpected("maxNorm above 0", maxNorm);
  const norm = globalNorm(grads);
  const factor = Math.min(1, maxNorm / (norm + 1e-6));
  return { grads: grads.map((g) => scaled(g, factor)), norm };
}

/**
 * `clipGradNorm` on the gradients of a model.
 *
 * @throws {ArgumentError} if maxNorm is not above 0.
 */
export function clipGradNormAll(
  gradients: Parameters,
  maxNorm: number,
): { readonly gradients: Parameters; readonly norm: number } {
  const { grads, norm } = clipGradNorm([...gradients.values()], maxNorm);
  return { gradients: new Map([...gradients.keys()].map((name, i) => [name, grads[i]])), norm };
}

function scaled(x: Tensor, factor: number): Tensor {
  const y = zerosLike(x);
  for (let i = 0; i < y.data.length; i++) y.data[i] = factor * x.data[i];
  return y;
}
