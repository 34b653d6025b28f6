/**
 * What the test and its page tell each other, as JSON: float32 numbers survive it exactly.
 *
 * @module
 */
import type { Tensor } from "../../src/math/tensor.ts";
import type { Parameters } from "../../src/spec/unet_parameters.ts";
import type { UNetConfig } from "../../src/spec/unet_config.ts";
import type { SamplerRowOptions, SamplerTimes, Variant } from "../../src/webgpu/mod.ts";

/** A tensor in JSON, where numbers that are not finite become null. */
export interface PackedTensor {
  readonly shape: readonly number[];
  readonly data: readonly (number | null)[];
}

/** Tensors by name. */
export type PackedTensors = readonly (readonly [name: string, value: PackedTensor])[];

/** What the page is to do: a sampling loop and a training step with each of some kernel variants. */
export interface Work {
  readonly config: UNetConfig;
  readonly parameters: PackedTensors;
  /** x_T of the loop and x_t of the training step. */
  readonly x: PackedTensor;
  readonly loop: {
    readonly variants: readonly Variant[];
    readonly times: SamplerTimes;
    readonly steps: SamplerRowOptions;
  };
  readonly training: {
    readonly variants: readonly Variant[];
    readonly target: PackedTensor;
    readonly timesteps: readonly number[];
  };
}

/** What came out of a training step. */
export interface Trained {
  readonly loss: number;
  readonly gradients: PackedTensors;
}

/** What came out of it. */
export interface Outcome {
  readonly adapter: string;
  /** x_0 by variant. */
  readonly samples: Readonly<Record<string, PackedTensor>>;
  /** Of the training step, by variant. */
  readonly trained: Readonly<Record<string, Trained>>;
}

/** What the page posts. */
export type Answer = Outcome | { readonly error: string };

export function packed({ shape, data }: Tensor): PackedTensor {
  return { shape, data: Array.from(data) };
}

export function unpacked({ shape, data }: PackedTensor): Tensor {
  return { shape, data: Float32Array.from(data, (value) => value ?? NaN) };
}

export function packedAll(tensors: Parameters): PackedTensors {
  return Array.from(tensors, ([name, value]) => [name, packed(value)]);
}

export function unpackedAll(tensors: PackedTensors): Parameters {
  return new Map(tensors.map(([name, value]) => [name, unpacked(value)]));
}
