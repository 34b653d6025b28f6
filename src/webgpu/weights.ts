/**
 * The layout of parameters on the device, where a kernel's lanes run over output channels: they are
 * therefore last. Convolutions `[O, C, kH, kW]` become `[kH, kW, C, O]`, linear layers `[O, I]` become
 * `[I, O]`; vectors and embedding tables stay.
 *
 * @module
 */
import { type Shape, sizeOf, type Tensor, tensor } from "../math/tensor.ts";
import type { ParameterSpec } from "../spec/unet_parameters.ts";

/** The class-embedding table: rows are looked up, so it stays as it is. */
const TABLE = "class_embedding.weight";

/** Axes of the device layout in terms of the parameter's own. */
function deviceAxes({ name, shape }: Pick<ParameterSpec, "name" | "shape">): readonly number[] {
  if (shape.length === 4) return [2, 3, 1, 0];
  if (shape.length === 2 && name !== TABLE) return [1, 0];
  return shape.map((_, axis) => axis);
}

/** Moves axis `axes[k]` of `from` to place k. */
function permuted(from: Float32Array, shape: Shape, axes: readonly number[]): Float32Array {
  const strides = shape.map((_, axis) => sizeOf(shape.slice(axis + 1)));
  const outShape = axes.map((axis) => shape[axis]);
  const outStrides = axes.map((axis) => strides[axis]);
  const out = new Float32Array(from.length);
  const index = new Array<number>(axes.length).fill(0);
  let at = 0;
  for (let i = 0; i < out.length; i++) {
    out[i] = from[at];
    for (let k = axes.length - 1; k >= 0; k--) {
      at += outStrides[k];
      if (++index[k] < outShape[k]) break;
      at -= outStrides[k] * outShape[k];
      index[k] = 0;
    }
  }
  return out;
}

/** A parameter as the device keeps it. */
export function toDevice(spec: Pick<ParameterSpec, "name" | "shape">, value: Tensor): Float32Array {
  return permuted(value.data, spec.shape, deviceAxes(spec));
}

/** The inverse of {@linkcode toDevice}. */
export function fromDevice(
  spec: Pick<ParameterSpec, "name" | "shape">,
  data: Float32Array,
): Tensor {
  const axes = deviceAxes(spec);
  const inverse = axes.map((_, axis) => axes.indexOf(axis));
  const deviceShape = axes.map((axis) => spec.shape[axis]);
  return tensor(spec.shape, permuted(data, deviceShape, inverse));
}
