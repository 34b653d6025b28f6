/**
 * The speed: U-Nets predicted with, sampled from and trained on WebGPU, in Deno and in browsers. Every
 * number agrees with `@ddpm/ddpm/reference` within rounding, and a sample's bits depend neither on its
 * batch nor on its place in it.
 *
 * ```ts
 * import * as ddpm from "@ddpm/ddpm";
 * import { GpuSampler, NoAdapterError, requestGpu, samplerTimes } from "@ddpm/ddpm/webgpu";
 *
 * const config = ddpm.unetConfig({
 *   ...{ downBlockTypes: ["DownBlock2D"], upBlockTypes: ["UpBlock2D"], blockOutChannels: [8] },
 *   ...{ layersPerBlock: 1, normNumGroups: 4 },
 * });
 * const keep = ddpm.selectTimesteps({ T: 1000, spacing: "leading", steps: 5 }).reverse();
 * const schedule = ddpm.createSchedule({ ...ddpm.DDPM_SCHEDULE, keep });
 * const xT = ddpm.normalTensor(1, [ddpm.streamOf("sample", 0, 0)], [1, 3, 8, 8]);
 *
 * try {
 *   const gpu = await requestGpu();
 *   const sampler = await GpuSampler.create(gpu, config, ddpm.initialParameters(config, 1), {
 *     ...{ batch: 1, height: 8, width: 8, times: samplerTimes(schedule) },
 *     steps: { kind: "ddim", prediction: "epsilon", eta: 0, clipRange: null, rederiveEpsilon: false },
 *   });
 *   const x0 = await sampler.sample({ xT, noiseAt: () => xT });
 *   sampler.destroy();
 *   gpu.device.destroy();
 *   // An untrained network predicts ε = 0, so that DDIM ends at x_T/√ᾱ_T.
 *   const scale = 1 / Math.sqrt(schedule.alphaBar[4]);
 *   console.assert(x0.data.every((v, i) => Math.abs(v / (scale * xT.data[i]) - 1) < 1e-5));
 * } catch (error) {
 *   if (!(error instanceof NoAdapterError)) throw error;
 * }
 * ```
 *
 * @module
 */
export { type AdapterClass, type DeviceOptions, type Gpu, requestGpu } from "./device.ts";
export * from "./errors.ts";
export { GpuSampler, samplerTimes } from "./sampler.ts";
export type {
  FrameRequest,
  GpuSamplerOptions,
  SampleRequest,
  SamplerFrame,
  SamplerGuidance,
  SamplerProgress,
  SamplerTimes,
  ScheduleTables,
} from "./sampler.ts";
export type {
  DdimRowOptions,
  DdpmRowOptions,
  NoiseLevel,
  ReadOptions,
  SamplerRowOptions,
} from "./sampler_rows.ts";
export { GpuTrainer } from "./trainer.ts";
export type {
  GpuTrainerOptions,
  TrainingBatch,
  TrainingState,
  TrainingStepResult,
} from "./trainer.ts";
export { type Classes, GpuUNet, type GpuUNetOptions } from "./unet.ts";
export {
  type ConvAlgorithm,
  convCandidates,
  convKey,
  type ConvLayer,
  defaultVariants,
  type Variants,
} from "./variants.ts";

// The types that those are made of.
export type { Shape, Tensor } from "../math/tensor.ts";
export type { DownBlockType, ResampleType, UNetConfig, UpBlockType } from "../spec/unet_config.ts";
export type { Parameters } from "../spec/unet_parameters.ts";
export type { CompileProgress, Executor, SharedBuffers } from "./executor.ts";
export type { Access, Launch, Operand, View, Workgroups } from "./kernel.ts";
export type { WeightPrecision } from "./variants.ts";
export type { GemmVariant } from "./kernels/gemm.ts";
export type { RegisterTile } from "./kernels/gemm_register.ts";
export type { WorkgroupTile } from "./kernels/gemm_workgroup.ts";
export type { Variant } from "./kernels/layout.ts";
export type { OptimizerStep } from "./kernels/optimizer_step.ts";
export type { Activation, ImageShape } from "./network.ts";
export type { BufferName, Phase, Plan, PlannedLaunch, PlanTensor } from "./plan.ts";
export type { UNetInputs } from "./unet_network.ts";
export type { SamplingPlan } from "./sampling_plan.ts";
export type { TrainingPlan, UNetPlan } from "./unet_plan.ts";
