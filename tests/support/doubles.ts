import type { Tensor } from "../../src/math/tensor.ts";

/**
 * The values of a tensor stored in double. Layers store results in the format of their inputs, so
 * with these no result is rounded to float32; the type is a fiction that only tests use.
 */
export function inDouble(x: Tensor): Tensor {
  return { shape: x.shape, data: Float64Array.from(x.data) as unknown as Float32Array };
}

/** A tensor of doubles from its values. */
export function doubles(shape: readonly number[], data: ArrayLike<number>): Tensor {
  return { shape, data: Float64Array.from(data) as unknown as Float32Array };
}

/** `inDouble` on every parameter of a model. */
export function allInDouble(parameters: ReadonlyMap<string, Tensor>): Map<string, Tensor> {
  return new Map([...parameters].map(([name, p]) => [name, inDouble(p)]));
}
