/**
 * A trainer and a batch for it.
 *
 * @module
 */
import { type Parameters, zeroParameters } from "../../src/spec/unet_parameters.ts";
import type { OptimizerStep } from "../../src/webgpu/kernels/optimizer_step.ts";
import { GpuTrainer, type TrainingBatch } from "../../src/webgpu/trainer.ts";
import { type Bench, extent } from "./bench.ts";
import { normals } from "./inputs.ts";

/** Images per training step. */
export function trainingBatchSize({ quick }: Pick<Bench, "quick">): number {
  return quick ? 2 : 8;
}

/** A trainer at the start of a run; the weights are asked for once the device has its shaders. */
export function makeTrainer(
  bench: Pick<Bench, "gpu" | "config" | "variants" | "quick">,
  weights: () => Parameters,
): Promise<GpuTrainer> {
  const { gpu, config, variants } = bench;
  const state = () => {
    const parameters = weights();
    const zeros = zeroParameters(parameters);
    return { parameters, moment1: zeros, moment2: zeros, ema: parameters };
  };
  const batch = trainingBatchSize(bench);
  return GpuTrainer.create(gpu, config, state, { ...extent(config), batch, variants });
}

/** A batch of noise. */
export function trainingBatch(bench: Pick<Bench, "config" | "quick">): TrainingBatch {
  const { config } = bench;
  const { height, width } = extent(config);
  const N = trainingBatchSize(bench);
  const items = Array.from({ length: N }, (_, n) => n);
  return {
    xt: normals(20, [N, config.inChannels, height, width]),
    target: normals(21, [N, config.outChannels, height, width]),
    timesteps: items.map((n) => (n * 997 + 3) % 1000),
    ...config.dropout > 0 ? { dropout: { seed: 1, items } } : {},
  };
}

/** A step as the DDPM paper takes them. */
export const OPTIMIZER_STEP: OptimizerStep = {
  step: 1,
  lr: 2e-4,
  beta1: 0.9,
  beta2: 0.999,
  eps: 1e-8,
  weightDecay: 0,
  decoupled: false,
  maxNorm: 1,
  emaDecay: 0.9999,
};
