/**
 * What a peer is asked to compute, as data that can be sent to its worker. Images are `[N, C, H, W]`,
 * weights `[O, C, 3, 3]`; a peer turns them into its own layout before the clock starts.
 *
 * @module
 */
import type { Tensor } from "../../src/math/tensor.ts";
import type { UNetConfig } from "../../src/spec/unet_config.ts";
import type { Parameters } from "../../src/spec/unet_parameters.ts";

/** A 3x3 convolution of stride 1 that keeps the extent, without bias: y, or with `dY` y, dX and dW. */
export interface ConvWork {
  readonly kind: "conv";
  readonly x: Tensor;
  readonly weight: Tensor;
  readonly dY: Tensor | null;
}

/** The forward pass of a U-Net with the conventions of DDPM. */
export interface UNetWork {
  readonly kind: "unet";
  readonly config: UNetConfig;
  readonly parameters: Parameters;
  readonly x: Tensor;
  readonly timesteps: readonly number[];
}

export type Work = ConvWork | UNetWork;

/** Work ready to be timed. */
export interface Program {
  /** Results of one evaluation, in the layouts above. */
  results(): Promise<Float32Array[]>;
  /** Evaluates so many times back to back; returns when all of them are done. */
  run(times: number): Promise<void>;
}

/** What is sent to a worker. */
export type Request = { readonly start: Work } | { readonly times: number };

/** What it answers. */
export type Reply =
  | { readonly results: Float32Array[] }
  | { readonly ms: number }
  | { readonly error: string };
