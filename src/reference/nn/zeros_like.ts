import { type Shape, sizeOf, type Tensor } from "../../math/tensor.ts";

/**
 * Zeros of `shape` in the number format of `x`: where a layer stores its result, rounding each value
 * once. The format is float32 everywhere but in gradient checks, which hand in doubles so that
 * a finite difference of the loss is not drowned in the rounding of the stores.
 */
export function zerosLike(x: Tensor, shape: Shape = x.shape): Tensor {
  const Format = x.data.constructor as Float32ArrayConstructor;
  return { shape, data: new Format(sizeOf(shape)) };
}
