import type { Tensor } from "../../math/tensor.ts";
import { zerosLike } from "./zeros_like.ts";

/** Maps [0, 1] to [−1, 1], elementwise: y = 2x − 1. */
export function centered(x: Tensor): Tensor {
  const y = zerosLike(x);
  for (let i = 0; i < y.data.length; i++) y.data[i] = 2 * x.data[i] - 1;
  return y;
}

/** Gradient of `centered`: dX = 2·dY. */
export function centeredBackward(dY: Tensor): Tensor {
  const dX = zerosLike(dY);
  for (let i = 0; i < dX.data.length; i++) dX.data[i] = 2 * dY.data[i];
  return dX;
}
