import { type Tensor } from "../../src/math/tensor.ts";
import { zerosLike } from "../../src/reference/nn/zeros_like.ts";

/** mean((output − target)²) over all elements, the loss of the golden gradients. */
export function meanSquare(output: Tensor, target: Tensor): number {
  let sum = 0;
  output.data.forEach((y, i) => sum += (y - target.data[i]) ** 2);
  return sum / output.data.length;
}

/** Its gradient with respect to the output: 2(output − target)/n. */
export function lossGradient(output: Tensor, target: Tensor): Tensor {
  const d = zerosLike(output);
  for (let i = 0; i < d.data.length; i++) {
    d.data[i] = 2 * (output.data[i] - target.data[i]) / d.data.length;
  }
  return d;
}
