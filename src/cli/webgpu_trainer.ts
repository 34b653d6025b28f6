/**
 * Training on WebGPU.
 *
 * @module
 */
import type { Tensor } from "../math/tensor.ts";
import { qSample } from "../reference/forward.ts";
import type { OptimizerStep } from "../webgpu/kernels/optimizer_step.ts";
import type { Gpu } from "../webgpu/device.ts";
import { NonFiniteLossError } from "../webgpu/errors.ts";
import { GpuTrainer, type TrainingBatch, type TrainingState } from "../webgpu/trainer.ts";
import type { OnCompile, StepResult, Trainer, TrainingTask } from "./backend.ts";
import { exampleWeights, SIMPLE, targetOf } from "./objective.ts";
import {
  emaDecay,
  learningRate,
  networkTimes,
  type OptimiserOptions,
  type RunState,
  type TrainBatch,
} from "./trainer.ts";
import { type GpuChoice, modelOptions, samplesOf } from "./webgpu_support.ts";

/** With the step that is asked for next three are under way: the device does not wait for the host, and a bad loss shows soon. */
const AHEAD = 2;

/** The step's numbers as `trainStep` of the reference has them. */
function optimizerStep(options: OptimiserOptions, step: number): OptimizerStep {
  const { beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weightDecay = 0 } = options;
  return {
    step,
    lr: learningRate(options, step),
    ...{ beta1, beta2, eps, weightDecay, decoupled: true },
    maxNorm: options.clipNorm,
    emaDecay: emaDecay(options.ema, step),
  };
}

function toDeviceState({ model, m, v, ema }: RunState): TrainingState {
  return { parameters: model, moment1: m, moment2: v, ema };
}

class WebGpuTrainer implements Trainer {
  readonly ahead = AHEAD;
  readonly #gpu: Gpu;
  readonly #task: TrainingTask;
  readonly #trainer: GpuTrainer;

  constructor(gpu: Gpu, task: TrainingTask, trainer: GpuTrainer) {
    this.#gpu = gpu;
    this.#task = task;
    this.#trainer = trainer;
  }

  async step(batch: TrainBatch, step: number): Promise<StepResult> {
    const { accumulate, optimiser, schedule, objective = SIMPLE } = this.#task;
    const size = batch.items.length / accumulate;
    const whole = {
      ...batch,
      xt: qSample(schedule, batch.times, batch.x0, batch.noise),
      target: targetOf(schedule, objective, batch),
      weights: exampleWeights(schedule, objective, batch.times),
    };
    const parts = Array.from({ length: accumulate }, (_, k) => this.#part(whole, k * size, size));
    try {
      const { loss, sampleLosses, gradientNorm } = await this.#trainer.step(
        parts,
        optimizerStep(optimiser, step),
      );
      return { loss, losses: sampleLosses, gradNorm: gradientNorm };
    } catch (error) {
      if (!(error instanceof NonFiniteLossError)) throw error;
      // The training loop knows which checkpoint to go on from.
      return { loss: error.loss, losses: [], gradNorm: error.gradientNorm };
    }
  }

  #part(
    { xt, target, weights, times, items, classes }: Omit<TrainBatch, "x0" | "noise"> & {
      readonly xt: Tensor;
      readonly target: Tensor;
      readonly weights: readonly number[];
    },
    start: number,
    N: number,
  ): TrainingBatch {
    const end = start + N;
    return {
      xt: samplesOf(xt, start, N),
      target: samplesOf(target, start, N),
      weights: weights.slice(start, end),
      timesteps: networkTimes(times.slice(start, end)),
      dropout: { seed: this.#task.seed, items: items.slice(start, end) },
      classes: classes?.slice(start, end),
    };
  }

  async state(): Promise<RunState> {
    const { parameters, moment1, moment2, ema } = await this.#trainer.download();
    // What was being read when the device went away is worth nothing.
    if (this.#gpu.lost.reason !== null) throw this.#gpu.lost.reason;
    return { model: parameters, m: moment1, v: moment2, ema };
  }

  close(): void {
    this.#trainer.destroy();
  }
}

/** Compiles the training step of a run and uploads its state. */
export async function webgpuTrainer(
  { gpu, variants }: GpuChoice,
  task: TrainingTask,
  onCompile: OnCompile,
): Promise<Trainer> {
  const { config, state, batch, accumulate } = task;
  const trainer = await GpuTrainer.create(gpu, config, toDeviceState(state), {
    ...modelOptions(config, batch / accumulate, variants, onCompile),
    accumulation: accumulate,
  });
  return new WebGpuTrainer(gpu, task, trainer);
}
