import { unexpected } from "../../math/errors.ts";
import { type Shape, sizeOf, type Tensor } from "../../math/tensor.ts";
import { zerosLike } from "./zeros_like.ts";

/**
 * Exchanges dimensions: dimension d of the result is dimension `axes[d]` of x.
 *
 * Its gradient is the permutation back, `permute(dY, inverseAxes(axes))`.
 *
 * @throws {ArgumentError} if `axes` is not a permutation of x's dimensions.
 */
export function permute(x: Tensor, axes: readonly number[]): Tensor {
  const rank = x.shape.length;
  if (axes.length !== rank || x.shape.some((_, d) => !axes.includes(d))) {
    unexpected(`an order of ${rank} dimensions`, axes);
  }
  const y = zerosLike(x, axes.map((axis) => x.shape[axis]));
  const steps = axes.map((axis) => sizeOf(x.shape.slice(axis + 1)));
  let to = 0;
  const visit = (d: number, from: number): void => {
    if (d === rank) {
      y.data[to++] = x.data[from];
      return;
    }
    for (let i = 0; i < y.shape[d]; i++) visit(d + 1, from + i * steps[d]);
  };
  visit(0, 0);
  return y;
}

/** The order that undoes `axes`. */
export function inverseAxes(axes: readonly number[]): readonly number[] {
  return axes.map((_, d) => axes.indexOf(d));
}

/**
 * The same values under another shape. Its gradient is the reshaping back.
 *
 * @throws {ArgumentError} if the number of elements differs.
 */
export function reshape(x: Tensor, shape: Shape): Tensor {
  if (sizeOf(shape) !== x.data.length) unexpected(`a shape of ${x.data.length} elements`, shape);
  return { shape, data: x.data };
}
