/**
 * What trains and samples, as commands see it: the reference, or WebGPU. Neither knows of the other, and
 * no command asks which one it has.
 *
 * @module
 */
import type { Tensor } from "../math/tensor.ts";
import type { Schedule } from "../reference/schedule.ts";
import type { RunOptions } from "../spec/checkpoint.ts";
import type { ScheduleConfig } from "../spec/schedule_config.ts";
import type { UNetConfig } from "../spec/unet_config.ts";
import type { Parameters } from "../spec/unet_parameters.ts";
import type { Objective } from "./objective.ts";
import type { SamplingOptions } from "./sampling.ts";
import type { OptimiserOptions, RunState, TrainBatch } from "./trainer.ts";

/** Shaders compiled so far, and in all. */
export interface Compiling {
  readonly done: number;
  readonly total: number;
}

/** Called as shaders compile; the reference has none. */
export type OnCompile = (progress: Compiling) => void;

/** A training run about to go on. */
export interface TrainingTask {
  readonly config: UNetConfig;
  readonly schedule: Schedule;
  readonly seed: number;
  /** Where it stands. */
  readonly state: RunState;
  /** Images per step. */
  readonly batch: number;
  /** Parts in which a batch is computed where it does not fit whole; a divisor of `batch`. */
  readonly accumulate: number;
  readonly optimiser: OptimiserOptions;
  /** What is trained towards. Default L_simple. */
  readonly objective?: Objective;
}

/** What a step leaves to look at. */
export interface StepResult {
  /** Weighted mean over elements, before the step. */
  readonly loss: number;
  /** Mean over elements of each example, without its weight. */
  readonly losses: ArrayLike<number>;
  /** Global norm of its gradient before clipping. */
  readonly gradNorm: number;
}

/** A run's weights, average and moments, and what moves them. */
export interface Trainer {
  /** Results that may still be missing when the next step is asked for. */
  readonly ahead: number;
  /** Takes a step after all that were asked for before; `step` is its number, the first is 1. */
  step(batch: TrainBatch, step: number): Promise<StepResult>;
  /** The state after every step that was asked for. */
  state(): Promise<RunState>;
  /** Frees what it holds. */
  close(): void;
}

/** A network for batches of up to some size. */
export interface Predictor {
  /** ε̂ of `[N, C, H, W]` with one time (the paper's) per sample, and a class where the network takes any. */
  predict(
    parameters: Parameters,
    xt: Tensor,
    times: readonly number[],
    classes?: readonly number[],
  ): Promise<Tensor>;
  /** Frees what it holds. */
  close(): void;
}

/** Told how far sampling is. */
export interface SamplingEvents {
  readonly onCompile?: OnCompile;
  /** Share of all steps that are done, 0..1. */
  readonly onShare?: (share: number) => void;
  /** Shown what samples look like on their way. */
  readonly frames?: FrameRequest;
}

/** Which states of a sampling loop to show. */
export interface FrameRequest {
  /** Steps from one to the next; the last step's is always among them. */
  readonly every: number;
  /** Called with each, batch by batch. */
  readonly onFrame: (frame: SamplingFrame) => void;
}

/** A batch of samples after a step. */
export interface SamplingFrame {
  /** Steps done, 1..steps. */
  readonly step: number;
  /** Which of those that are asked for is its first, from 0. */
  readonly start: number;
  /** The samples, `[N, C, H, W]`. */
  readonly x: Tensor;
  /** x̂_0 of the step, shaped like `x`. */
  readonly x0: Tensor;
}

/** What trains and samples. */
export interface Backend {
  /** Where it computes. */
  readonly device: "cpu" | "webgpu";
  /** The adapter's description; null without one. */
  readonly adapter: string | null;
  /** What a checkpoint records of it: together with the seed, what a run's bytes depend on. */
  readonly record: RunOptions;
  /** Gets ready to train. */
  trainer(task: TrainingTask, onCompile: OnCompile): Promise<Trainer>;
  /** Gets ready to predict for at most `batch` images at once. */
  predictor(config: UNetConfig, batch: number, onCompile: OnCompile): Promise<Predictor>;
  /**
   * Draws samples number first..first + count − 1. Sample i starts from stream ("sample", i, 0) and
   * takes the z of time t from ("sample", i, t), and is of class i mod length of `classes`: it depends on
   * the seed and i, never on the batch.
   *
   * @returns shape `[count, C, H, W]`, values near [−1, 1].
   */
  sampleImages(
    config: UNetConfig,
    parameters: Parameters,
    schedule: ScheduleConfig,
    options: SamplingOptions,
    events?: SamplingEvents,
  ): Promise<Tensor>;
  /** Frees what it holds. */
  close(): void;
}

/** A line on how far compilation is. */
export function compileText({ done, total }: Compiling): string {
  return `compiling shaders ${done}/${total}`;
}
