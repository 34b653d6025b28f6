/**
 * Sampling on WebGPU.
 *
 * @module
 */
import type { Tensor } from "../math/tensor.ts";
import type { ScheduleConfig } from "../spec/schedule_config.ts";
import type { UNetConfig } from "../spec/unet_config.ts";
import type { Parameters } from "../spec/unet_parameters.ts";
import { GpuSampler, type SamplerGuidance, samplerTimes } from "../webgpu/sampler.ts";
import type { SamplerRowOptions } from "../webgpu/sampler_rows.ts";
import type { SamplingEvents } from "./backend.ts";
import {
  CLIPS,
  noClass,
  sampleBatches,
  type SamplingOptions,
  samplingProcess,
} from "./sampling.ts";
import { type GpuChoice, modelOptions, samplesOf } from "./webgpu_support.ts";

function stepOptions(
  { sampler, variance, eta, clip, prediction = "epsilon" }: SamplingOptions,
): SamplerRowOptions {
  const rule = CLIPS[clip];
  const shared = {
    prediction,
    clipRange: rule?.kind === "static" ? rule.range : null,
  } as const;
  return sampler === "ddpm"
    ? { kind: "ddpm", ...shared, variance }
    : { kind: "ddim", ...shared, eta, rederiveEpsilon: true };
}

function guidanceOf(
  config: UNetConfig,
  { guidance }: SamplingOptions,
): SamplerGuidance | undefined {
  const nullClass = noClass(config);
  return guidance === null || nullClass === null ? undefined : { ...guidance, nullClass };
}

/** Draws samples as `Backend.sampleImages` says. */
export async function sampleOnWebGpu(
  { gpu, variants }: GpuChoice,
  config: UNetConfig,
  parameters: Parameters,
  schedule: ScheduleConfig,
  options: SamplingOptions,
  { onCompile = () => {}, onShare = () => {}, frames }: SamplingEvents = {},
): Promise<Tensor> {
  const { respaced } = samplingProcess(config, schedule, options);
  const batch = Math.min(options.batch, options.count);
  const sampler = await GpuSampler.create(gpu, config, parameters, {
    ...modelOptions(config, batch, variants, onCompile),
    times: samplerTimes(respaced),
    steps: stepOptions(options),
    guidance: guidanceOf(config, options),
    frames: frames !== undefined,
  });
  try {
    return await sampleBatches(config, options, async ({ noiseAt, classes, N, start }) => {
      const filled = (t: number) => samplesOf(noiseAt(t), 0, batch);
      const x0 = await sampler.sample({
        xT: filled(0),
        noiseAt: filled,
        classes: classes && [...classes, ...new Array(batch - N).fill(classes[0])],
        onStep: ({ step, steps }) => onShare((start + N * step / steps) / options.count),
        frames: frames && {
          every: frames.every,
          onFrame: ({ step, x, x0 }) =>
            frames.onFrame({ step, start, x: samplesOf(x, 0, N), x0: samplesOf(x0, 0, N) }),
        },
      });
      return samplesOf(x0, 0, N);
    });
  } finally {
    sampler.destroy();
  }
}
