/**
 * The layout of parameters on the device, where a kernel's lanes run over output channels: they are
 * therefore last. Convolutions `[O, C, kH, kW]` become `[kH, kW, C, O]`, linear layers `[O, I]` become
 * `[I, O]`; vectors and embedding tables stay.
 *
 * @module
 */
import { sizeOf, type Tensor, tensor } from "../math/tensor.ts";
import type { ParameterSpec } from "../spec/unet_parameters.ts";

/** The class-embedding table: rows are looked up, so it stays as it is. */
const TABLE = "class_embedding.weight";

/**
 * A parameter's shape as output channels, input channels and everything behind them. The device has the
 * three in the opposite order.
 */
function axes({ name, shape }: Pick<ParameterSpec, "name" | "shape">): [number, number, number] {
  if (shape.length === 1 || name === TABLE) return [1, 1, sizeOf(shape)];
  const [O, C] = shape;
  return [O, C, sizeOf(shape.slice(2))];
}

/** `[A, B, C]` → `[C, B, A]`, written to `out`. */
function reversed(
  from: Float32Array,
  [A, B, C]: [number, number, number],
  out: Float32Array,
): Float32Array {
  const stride = B * C;
  let i = 0;
  for (let c = 0; c < C; c++) {
    for (let b = 0; b < B; b++) {
      for (let a = 0, at = b * C + c; a < A; a++, at += stride) out[i++] = from[at];
    }
  }
  return out;
}

/** A parameter as the device keeps it, written to the beginning of `out`, which is as long or longer. */
export function toDevice(
  spec: Pick<ParameterSpec, "name" | "shape">,
  { data }: Tensor,
  out = new Float32Array(data.length),
): Float32Array {
  return reversed(data, axes(spec), out.subarray(0, data.length));
}

/** The inverse of {@linkcode toDevice}. */
export function fromDevice(
  spec: Pick<ParameterSpec, "name" | "shape">,
  data: Float32Array,
): Tensor {
  const [O, C, K] = axes(spec);
  return tensor(spec.shape, reversed(data, [K, C, O], new Float32Array(data.length)));
}
