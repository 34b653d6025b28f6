/**
 * Sampling with the reference.
 *
 * @module
 */
import type { Tensor } from "../math/tensor.ts";
import { guidedModel } from "../reference/guidance.ts";
import { type Model, sampleDdim, sampleDdpm, type StepEvent } from "../reference/sample.ts";
import { unet } from "../reference/unet.ts";
import type { ScheduleConfig } from "../spec/schedule_config.ts";
import type { UNetConfig } from "../spec/unet_config.ts";
import type { Parameters } from "../spec/unet_parameters.ts";
import type { SamplingEvents } from "./backend.ts";
import {
  CLIPS,
  noClass,
  sampleBatches,
  type SamplingOptions,
  samplingProcess,
} from "./sampling.ts";
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
  const { sampler, variance, eta, count, prediction, guidance } = options;
  const none = noClass(config);
  return sampleBatches(config, options, ({ noiseAt, classes, N, start }) => {
    const network: Model<readonly number[]> = (x, t, classLabels) =>
      unet(config, parameters, x, networkTimes(new Array(N).fill(t)), { classLabels });
    const model = guidance === null || none === null
      ? network
      : guidedModel<readonly number[]>(network, new Array(N).fill(none), guidance);
    const onStep = ({ step, steps, x, x0 }: StepEvent) => {
      onShare((start + N * step / steps) / count);
      if (frames !== undefined && (step % frames.every === 0 || step === steps)) {
        frames.onFrame({ step, start, x, x0 });
      }
    };
    const common = { clip: CLIPS[options.clip], prediction, condition: classes, onStep };
    return sampler === "ddpm"
      ? sampleDdpm(respaced, model, noiseAt(0), noiseAt, { ...common, variance })
      : sampleDdim(respaced, model, noiseAt(0), noiseAt, { ...common, eta });
  });
}
