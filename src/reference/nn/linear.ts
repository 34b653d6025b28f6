import { unexpected } from "../../math/errors.ts";
import { checkRank, checkShape, type Tensor } from "../../math/tensor.ts";
import { addProduct, transposed } from "./matmul.ts";
import { zerosLike } from "./zeros_like.ts";

/**
 * Linear layer over the last dimension: y = x·weightᵀ + bias.
 *
 * @param x `[…, I]`
 * @param weight `[O, I]`
 * @param bias `[O]`, or null for none.
 * @returns `[…, O]`
 * @throws {ArgumentError} if shapes do not fit.
 */
export function linear(x: Tensor, weight: Tensor, bias: Tensor | null = null): Tensor {
  const { M, I, O } = linearSizes(x, weight);
  if (bias !== null) checkShape("bias", bias, [O]);
  const sums = new Float64Array(M * O);
  if (bias !== null) { for (let m = 0; m < M; m++) sums.set(bias.data, m * O); }
  const weightT = transposed(new Float64Array(weight.data), [O, I]);
  addProduct(sums, new Float64Array(x.data), weightT, [M, I], O);
  const y = zerosLike(x, [...x.shape.slice(0, -1), O]);
  y.data.set(sums);
  return y;
}

/** Gradients of a linear layer with respect to its inputs. */
export interface LinearGradients {
  /** `[…, I]` */
  readonly dX: Tensor;
  /** `[O, I]` */
  readonly dWeight: Tensor;
  /** `[O]` */
  readonly dBias: Tensor;
}

/**
 * Gradients of `linear`, given dY `[…, O]`: dX = dY·weight, dWeight = dYᵀ·x, dBias = Σ dY.
 *
 * @throws {ArgumentError} if shapes do not fit.
 */
export function linearBackward(dY: Tensor, x: Tensor, weight: Tensor): LinearGradients {
  const { M, I, O } = linearSizes(x, weight);
  checkShape("dY", dY, [...x.shape.slice(0, -1), O]);
  const g = new Float64Array(dY.data);
  const sumsX = new Float64Array(M * I);
  addProduct(sumsX, g, new Float64Array(weight.data), [M, O], I);
  const gT = transposed(g, [M, O]);
  const sumsWeight = new Float64Array(O * I);
  addProduct(sumsWeight, gT, new Float64Array(x.data), [O, M], I);
  const dX = zerosLike(x), dWeight = zerosLike(weight), dBias = zerosLike(weight, [O]);
  dX.data.set(sumsX);
  dWeight.data.set(sumsWeight);
  for (let o = 0; o < O; o++) {
    let sum = 0;
    for (let m = 0; m < M; m++) sum += gT[o * M + m];
    dBias.data[o] = sum;
  }
  return { dX, dWeight, dBias };
}

/** M rows of I values in, O out. */
function linearSizes(x: Tensor, weight: Tensor): { M: number; I: number; O: number } {
  checkRank("weight", weight, "O, I");
  const [O, I] = weight.shape;
  if (x.shape[x.shape.length - 1] !== I) unexpected(`x of shape […, ${I}]`, x.shape);
  return { M: x.shape.slice(0, -1).reduce((a, b) => a * b, 1), I, O };
}
