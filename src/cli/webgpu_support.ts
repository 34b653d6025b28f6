/**
 * What training, prediction and sampling on WebGPU share.
 *
 * @module
 */
import { sizeOf, type Tensor, tensor } from "../math/tensor.ts";
import { sampleHeightWidth, type UNetConfig } from "../spec/unet_config.ts";
import type { Gpu } from "../webgpu/device.ts";
import type { GpuUNetOptions } from "../webgpu/unet.ts";
import type { Variants } from "../webgpu/variants.ts";
import type { OnCompile } from "./backend.ts";

/** A device, and which kernels to use on it. */
export interface GpuChoice {
  readonly gpu: Gpu;
  readonly variants: Variants;
}

/** Samples start..start + N − 1 of a tensor `[…, C, H, W]`; those beyond its end are zero. */
export function samplesOf({ shape, data }: Tensor, start: number, N: number): Tensor {
  const D = sizeOf(shape.slice(1));
  const part = tensor([N, ...shape.slice(1)]);
  part.data.set(data.subarray(start * D, (start + N) * D));
  return part;
}

/** How a network is compiled for batches of up to some size. */
export function modelOptions(
  config: UNetConfig,
  batch: number,
  variants: Variants,
  onProgress: OnCompile,
): GpuUNetOptions {
  // Whoever gets here has images of the size that the config gives.
  const [height, width] = sampleHeightWidth(config) as readonly [number, number];
  return { batch, height, width, variants, onProgress };
}
