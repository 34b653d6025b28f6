import { logistic } from "../../math/special.ts";
import { checkShape, type Tensor } from "../../math/tensor.ts";
import { zerosLike } from "./zeros_like.ts";

/**
 * SiLU or swish, elementwise: y = x·σ(x), σ(x) = 1/(1 + e^−x) (Elfwing et al. 2017).
 *
 * @param x any shape.
 */
export function silu(x: Tensor): Tensor {
  const y = zerosLike(x);
  for (let i = 0; i < y.data.length; i++) y.data[i] = x.data[i] * logistic(x.data[i]);
  return y;
}

/**
 * Gradient of `silu`: dX = dY·σ(x)·(1 + x·(1 − σ(x))).
 *
 * @throws {ArgumentError} if dY has another shape than x.
 */
export function siluBackward(dY: Tensor, x: Tensor): Tensor {
  checkShape("dY", dY, x.shape);
  const dX = zerosLike(x);
  for (let i = 0; i < dX.data.length; i++) {
    const s = logistic(x.data[i]);
    dX.data[i] = dY.data[i] * s * (1 + x.data[i] * (1 - s));
  }
  return dX;
}
