import { checkRank, checkShape, type Tensor } from "../../math/tensor.ts";
import { zerosLike } from "./zeros_like.ts";

/**
 * Sum of two branches, over a scale: y = (a + b)/scale. The gradient of a, and of b, is
 * `addBackward(dY, scale)`.
 *
 * @throws {ArgumentError} if the shapes differ.
 */
export function add(a: Tensor, b: Tensor, scale = 1): Tensor {
  checkShape("b", b, a.shape);
  const y = zerosLike(a);
  for (let i = 0; i < y.data.length; i++) y.data[i] = (a.data[i] + b.data[i]) / scale;
  return y;
}

/** Gradient of `add` with respect to either of its inputs: dY/scale. */
export function addBackward(dY: Tensor, scale = 1): Tensor {
  const d = zerosLike(dY);
  for (let i = 0; i < d.data.length; i++) d.data[i] = dY.data[i] / scale;
  return d;
}

/**
 * Adds a value per sample and channel: y[n,c,i,j] = x[n,c,i,j] + e[n,c].
 *
 * @param x `[N, C, H, W]`
 * @param e `[N, C]`
 * @throws {ArgumentError} if shapes do not fit.
 */
export function addPerChannel(x: Tensor, e: Tensor): Tensor {
  checkRank("x", x, "N, C, H, W");
  const [N, C, H, W] = x.shape;
  checkShape("e", e, [N, C]);
  const y = zerosLike(x);
  for (let nc = 0, i = 0; nc < N * C; nc++) {
    for (const end = i + H * W; i < end; i++) y.data[i] = x.data[i] + e.data[nc];
  }
  return y;
}

/**
 * Gradients of `addPerChannel`: dX = dY, dE[n,c] = Σ_{i,j} dY[n,c,i,j].
 *
 * @throws {ArgumentError} if dY is not `[N, C, H, W]`.
 */
export function addPerChannelBackward(dY: Tensor): { readonly dX: Tensor; readonly dE: Tensor } {
  checkRank("dY", dY, "N, C, H, W");
  const [N, C, H, W] = dY.shape;
  const dE = zerosLike(dY, [N, C]);
  for (let nc = 0; nc < N * C; nc++) {
    let sum = 0;
    for (let i = nc * H * W; i < (nc + 1) * H * W; i++) sum += dY.data[i];
    dE.data[nc] = sum;
  }
  return { dX: dY, dE };
}
