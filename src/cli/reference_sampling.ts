/**
 * Sampling with the reference.
 *
 * @module
 */
import type { Tensor } from "../math/tensor.ts";
import { sampleDdim, sampleDdpm, type StepEvent } from "../reference/sample.ts";
import { unet } from "../reference/unet.ts";
import type { ScheduleConfig } from "../spec/schedule_config.ts";
import type { UNetConfig } from "../spec/unet_config.ts";
import type { Parameters } from "../spec/unet_parameters.ts";
import type { SamplingEvents } from "./backend.ts";
import { CLIPS, sampleBatches, type SamplingOptions, samplingProcess } from "./sampling.ts";
import { networkTimes } from "./trainer.ts";

/** Draws samples as `Backend.sampleImages` says. */
export function sampleWithReference(
  config: UNetConfig,
  parameters: Parameters,
  schedule: ScheduleConfig,
  options: SamplingOptions,
  { onShare = () => {}, frames }: SamplingEvents = {},
): Promise<Tensor> {
  const { respaced } = samplingProcess(config, schedule, options);
  const { sampler, variance, eta, count, prediction } = options;
  return sampleBatches(config, options, ({ noiseAt, classes, N, start }) => {
    const model = (x: Tensor, t: number) =>
      unet(config, parameters, x, networkTimes(new Array(N).fill(t)), { classLabels: classes });
    const onStep = ({ step, steps, x, x0 }: StepEvent) => {
      onShare((start + N * step / steps) / count);
      if (frames !== undefined && (step % frames.every === 0 || step === steps)) {
        frames.onFrame({ step, start, x, x0 });
      }
    };
    const common = { clip: CLIPS[options.clip], prediction, onStep };
    return sampler === "ddpm"
      ? sampleDdpm(respaced, model, noiseAt(0), noiseAt, { ...common, variance })
      : sampleDdim(respaced, model, noiseAt(0), noiseAt, { ...common, eta });
  });
}
