/**
 * Convolution weights in the layout of the device.
 */
import { type Tensor, tensor } from "../../src/math/tensor.ts";

/** `[O, C, kH, kW]` as `[kH, kW, C, O]`. */
export function toDevice({ shape: [O, C, kH, kW], data }: Tensor): Float32Array {
  const taps = kH * kW;
  return Float32Array.from(data, (_, i) => {
    const o = i % O, c = Math.floor(i / O) % C, t = Math.floor(i / (O * C));
    return data[(o * C + c) * taps + t];
  });
}

/** `[kH, kW, C, O]` as `[O, C, kH, kW]`. */
export function fromDevice(
  data: Float32Array,
  [O, C, kH, kW]: readonly [number, number, number, number],
): Tensor {
  const taps = kH * kW;
  return tensor(
    [O, C, kH, kW],
    Float32Array.from(data, (_, i) => {
      const t = i % taps, c = Math.floor(i / taps) % C, o = Math.floor(i / (taps * C));
      return data[(t * C + c) * O + o];
    }),
  );
}
