/**
 * Training and sampling with the reference: plain double arithmetic on the CPU.
 *
 * @module
 */
import type { Tensor } from "../math/tensor.ts";
import { sampleDdim, sampleDdpm } from "../reference/sample.ts";
import { unet } from "../reference/unet.ts";
import type { ScheduleConfig } from "../spec/schedule_config.ts";
import type { UNetConfig } from "../spec/unet_config.ts";
import type { Parameters } from "../spec/unet_parameters.ts";
import type { Backend, SamplingEvents, Trainer, TrainingTask } from "./backend.ts";
import { CLIPS, sampleBatches, type SamplingOptions, samplingProcess } from "./sampling.ts";
import { networkTimes, trainStep } from "./trainer.ts";

function referenceTrainer({ config, schedule, seed, optimiser, ...task }: TrainingTask): Trainer {
  let { state } = task;
  return {
    // A step is over when the call returns.
    ahead: 0,
    step: (batch, step) => {
      const result = trainStep(config, schedule, seed, state, batch, step, optimiser);
      state = result.state;
      return Promise.resolve(result);
    },
    state: () => Promise.resolve(state),
    close: () => {},
  };
}

function sampleImages(
  config: UNetConfig,
  parameters: Parameters,
  schedule: ScheduleConfig,
  options: SamplingOptions,
  { onShare = () => {} }: SamplingEvents = {},
): Promise<Tensor> {
  const { respaced } = samplingProcess(config, schedule, options);
  const { sampler, variance, eta, count } = options;
  return sampleBatches(config, options, ({ noiseAt, classes, N, start }) => {
    const model = (x: Tensor, t: number) =>
      unet(config, parameters, x, networkTimes(new Array(N).fill(t)), { classLabels: classes });
    const onStep = ({ step, steps }: { step: number; steps: number }) =>
      onShare((start + N * step / steps) / count);
    const common = { clip: CLIPS[options.clip], onStep };
    return sampler === "ddpm"
      ? sampleDdpm(respaced, model, noiseAt(0), noiseAt, { ...common, variance })
      : sampleDdim(respaced, model, noiseAt(0), noiseAt, { ...common, eta });
  });
}

/** The reference. A checkpoint records nothing of it: its bytes are the same everywhere. */
export const REFERENCE: Backend = {
  device: "cpu",
  adapter: null,
  record: {},
  trainer: (task) => Promise.resolve(referenceTrainer(task)),
  predictor: (config) =>
    Promise.resolve({
      predict: (parameters, xt, times, classLabels) =>
        Promise.resolve(unet(config, parameters, xt, networkTimes(times), { classLabels })),
      close: () => {},
    }),
  sampleImages,
  close: () => {},
};
