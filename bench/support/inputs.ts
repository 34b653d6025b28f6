/**
 * Weights and images for benches: the same in every process, and nothing zero that a comparison needs.
 *
 * @module
 */
import { normalTensor, streamOf } from "../../src/math/noise.ts";
import type { Tensor } from "../../src/math/tensor.ts";
import type { UNetConfig } from "../../src/spec/unet_config.ts";
import { initialTensor, type Parameters, unetParameters } from "../../src/spec/unet_parameters.ts";

const SEED = 1;

/** Normals of the given shape; `item` tells tensors apart. */
export function normals(item: number, shape: readonly number[]): Tensor {
  const streams = Array.from({ length: shape[0] }, (_, n) => streamOf("evaluate", item, n));
  return normalTensor(SEED, streams, shape);
}

/** Weights as at the start of training, but for the last layers of blocks, which would hide their blocks. */
export function drawnParameters(config: UNetConfig): Parameters {
  return new Map(
    unetParameters(config).map((spec, number) => {
      const hides = spec.initialiser === "zeros" && spec.shape.length > 1;
      const initialiser = hides ? "varianceScaling" : spec.initialiser;
      return [spec.name, initialTensor({ ...spec, initialiser }, SEED, number)];
    }),
  );
}
