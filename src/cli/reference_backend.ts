/**
 * Training and sampling with the reference: plain double arithmetic on the CPU.
 *
 * @module
 */
import { unet } from "../reference/unet.ts";
import type { Backend, Trainer, TrainingTask } from "./backend.ts";
import { sampleWithReference } from "./reference_sampling.ts";
import { networkTimes, trainStep } from "./trainer.ts";

function referenceTrainer(
  { config, schedule, seed, optimiser, objective, ...task }: TrainingTask,
): Trainer {
  let { state } = task;
  return {
    // A step is over when the call returns.
    ahead: 0,
    step: (batch, step) => {
      const result = trainStep(config, schedule, seed, state, batch, step, optimiser, objective);
      state = result.state;
      return Promise.resolve(result);
    },
    state: () => Promise.resolve(state),
    close: () => {},
  };
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
  sampleImages: sampleWithReference,
  close: () => {},
};
