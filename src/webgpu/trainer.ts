/**
 * Training on the device: one submission per step, the loss read back while later steps run.
 *
 * @module
 */
import { ArgumentError, unexpected } from "../math/errors.ts";
import { streamOf } from "../math/noise.ts";
import { type Tensor, tensor } from "../math/tensor.ts";
import type { UNetConfig } from "../spec/unet_config.ts";
import { type Parameters, unetParameters } from "../spec/unet_parameters.ts";
import type { Gpu } from "./device.ts";
import { NonFiniteLossError } from "./errors.ts";
import { Executor } from "./executor.ts";
import { dropoutKeys } from "./kernels/dropout.ts";
import { type OptimizerStep, optimizerStepNumbers } from "./kernels/optimizer_step.ts";
import type { BufferName, PlanTensor } from "./plan.ts";
import {
  checkParameters,
  type Classes,
  type GpuUNetOptions,
  uploadParameters,
  writeConditions,
  writeImages,
} from "./unet.ts";
import { type TrainingPlan, trainingPlan } from "./unet_plan.ts";
import { defaultVariants } from "./variants.ts";
import { fromDevice } from "./weights.ts";

/** Weights, moments and average of a run, by parameter name. */
export interface TrainingState {
  /** The weights. */
  readonly parameters: Parameters;
  /** First moments of Adam; zeros at the start. */
  readonly moment1: Parameters;
  /** Second moments of Adam; zeros at the start. */
  readonly moment2: Parameters;
  /** Average of the weights; a copy of them at the start. */
  readonly ema: Parameters;
}

const STATE_PARTS = ["parameters", "moment1", "moment2", "ema"] as const;

/** What a trainer is made for. `batch` counts the samples of one part of a batch. */
export interface GpuTrainerOptions extends GpuUNetOptions {
  /** Parts of a batch. Default 1. */
  readonly accumulation?: number;
  /** Whether the gradient of x is computed as well. Default false. */
  readonly inputGradient?: boolean;
}

/** One part of a batch. */
export interface TrainingBatch {
  /** x_t, `[batch, inChannels, H, W]`. */
  readonly xt: Tensor;
  /** What the output should be: ε in L_simple; `[batch, outChannels, H, W]`. */
  readonly target: Tensor;
  /** Times as the network gets them. */
  readonly timesteps: readonly number[];
  /** Classes, if the config has any. */
  readonly classes?: Classes;
  /** Weight of each sample's loss. Default 1. */
  readonly weights?: readonly number[];
  /** Where dropout masks come from: the seed, and each sample's example number. */
  readonly dropout?: { readonly seed: number; readonly items: readonly number[] };
}

/** What a step leaves on the host, once it has been read back. */
export interface TrainingStepResult {
  /** Loss of the batch. */
  readonly loss: number;
  /** Mean over elements of each sample of all parts, in their order, without its weight. */
  readonly sampleLosses: Float32Array;
  /** Global norm of the gradients before clipping. */
  readonly gradientNorm: number;
}

/** What is known of the steps since a state was uploaded. */
interface Run {
  /** The first step that went wrong. */
  failure: NonFiniteLossError | null;
}

/**
 * A training run's device side.
 *
 * Steps are submitted before the results of earlier ones are known, so a loss that is not finite may have
 * spoilt the weights of several steps before it shows. From then on every step and `download` throw that
 * {@linkcode NonFiniteLossError}, until `upload` brings a state from before: a checkpoint's. What shares
 * the buffers of such a trainer has spoilt weights as well.
 */
export class GpuTrainer {
  #run: Run = { failure: null };
  readonly #accumulation: number;
  /** The network. */
  readonly config: UNetConfig;
  /** What runs, and where everything lies. */
  readonly planned: TrainingPlan;
  /** Runs the plan. */
  readonly executor: Executor;

  private constructor(
    config: UNetConfig,
    accumulation: number,
    planned: TrainingPlan,
    executor: Executor,
  ) {
    this.config = config;
    this.#accumulation = accumulation;
    this.planned = planned;
    this.executor = executor;
  }

  /**
   * Compiles the training step and uploads the state.
   *
   * @param state what to go on from; a function is called once the device has the shaders, so that a
   * driver which compiles them in a thread of its own does so while the function draws weights or reads them.
   * @throws {ArgumentError} if a parameter is missing or has another shape.
   * @throws {LimitError | OutOfMemoryError | ShaderError | DeviceLostError}
   */
  static async create(
    gpu: Gpu,
    config: UNetConfig,
    state: TrainingState | (() => TrainingState),
    options: GpuTrainerOptions,
  ): Promise<GpuTrainer> {
    if (typeof state !== "function") checkState(config, state);
    const variants = options.variants ?? defaultVariants(gpu.adapterClass);
    const planned = trainingPlan({ ...options, config, variants });
    const executor = await Executor.create(gpu, planned.plan, {}, options.onProgress);
    const trainer = new GpuTrainer(config, options.accumulation ?? 1, planned, executor);
    try {
      trainer.upload(typeof state === "function" ? state() : state);
    } catch (error) {
      trainer.destroy();
      throw error;
    }
    return trainer;
  }

  /** Replaces weights, moments and average; what steps submitted before it gave is forgotten. */
  upload(state: TrainingState): void {
    checkState(this.config, state);
    this.#run = { failure: null };
    for (const part of STATE_PARTS) {
      // At the start of a run, three of the four need not cross over.
      if (part === "ema" && state.ema === state.parameters) this.executor.copy("parameters", part);
      else if (isZero(state[part])) this.executor.clear(part);
      else uploadParameters(this.executor, this.config, this.#places(part), state[part]);
    }
  }

  /**
   * Reads weights, moments and average back.
   *
   * @throws {NonFiniteLossError} if they are spoilt.
   * @throws {DeviceLostError}
   */
  async download(): Promise<TrainingState> {
    const run = this.#run;
    const state = {
      parameters: await this.#read("parameters"),
      moment1: await this.#read("moment1"),
      moment2: await this.#read("moment2"),
      ema: await this.#read("ema"),
    };
    // Results of the steps before it have been read by now.
    if (run.failure !== null) throw run.failure;
    return state;
  }

  /** Gradients of the last step, before clipping, by parameter name. */
  gradients(): Promise<Parameters> {
    return this.#read("gradients");
  }

  /** ∂loss/∂x of the last part. @throws {ArgumentError} if it was not asked for. */
  async inputGradient(): Promise<Tensor> {
    const { inputGradient, inputs: { x } } = this.planned;
    if (inputGradient === null) throw new ArgumentError("Expected a trainer with inputGradient");
    const [data] = await this.executor.read(inputGradient);
    return tensor([x.N, x.C, x.H, x.W], data.slice());
  }

  /**
   * One step: forward, loss, backward, clipping, Adam and the average of the weights, submitted at
   * once; nothing is waited for.
   *
   * @param parts as many as `accumulation`.
   * @returns what the step computed, when it is there.
   * @throws {ArgumentError} if an input does not fit.
   * @throws {NonFiniteLossError} if the loss or the gradients' norm is not finite, or was not in a step before.
   * @throws {DeviceLostError}
   */
  async step(
    parts: readonly TrainingBatch[],
    optimizer: OptimizerStep,
  ): Promise<TrainingStepResult> {
    if (parts.length !== this.#accumulation) {
      throw new ArgumentError(
        `Expected ${this.#accumulation} parts of a batch but got ${parts.length}`,
      );
    }
    const { executor, planned } = this;
    const run = this.#run;
    executor.write(planned.step, optimizerStepNumbers(optimizer));
    parts.forEach((part, i) => {
      this.#write(part);
      if (planned.part !== null) executor.write(planned.part, Uint32Array.of(i));
      const first = this.#accumulation > 1 && i === 0;
      const last = i === parts.length - 1;
      executor.run(...first ? ["clear"] as const : [], "step", ...last ? ["update"] as const : []);
    });
    const read = await executor.read(planned.loss, planned.losses, planned.norm);
    const [[loss], losses, [gradientNorm]] = read;
    if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) {
      run.failure ??= new NonFiniteLossError(optimizer.step, loss, gradientNorm);
    }
    if (run.failure !== null) throw run.failure;
    return { loss, sampleLosses: losses.slice(), gradientNorm };
  }

  /** Frees what this trainer allocated. */
  destroy(): void {
    this.executor.destroy();
  }

  #write({ xt, target, timesteps, classes, weights, dropout }: TrainingBatch): void {
    const { executor, planned, config } = this;
    const { N } = planned.inputs.x;
    writeImages(executor, "xt", planned.inputs.x, xt);
    writeImages(executor, "target", planned.target, target);
    if (weights !== undefined && weights.length !== N) unexpected(`${N} weights`, weights);
    executor.write(planned.weights, Float32Array.from(weights ?? new Array(N).fill(1)));
    writeConditions(executor, config, planned, timesteps, classes);
    const keys = planned.inputs.dropoutKeys;
    if (keys === null) return;
    if (dropout === undefined) {
      throw new ArgumentError("Expected a dropout seed and example numbers");
    }
    if (dropout.items.length !== N) unexpected(`${N} example numbers`, dropout.items);
    keys.forEach((place, block) => {
      const streams = dropout.items.map((item) => streamOf("dropout", item, block));
      executor.write(place, dropoutKeys(dropout.seed, streams));
    });
  }

  /** Where a buffer that is laid out like the parameters holds each of them. */
  #places(buffer: BufferName): Map<string, PlanTensor> {
    return new Map(
      [...this.planned.parameters].map(([name, place]) => [name, { ...place, buffer }]),
    );
  }

  async #read(buffer: BufferName): Promise<Parameters> {
    const places = this.#places(buffer);
    const specs = unetParameters(this.config);
    const data = await this.executor.read(
      ...specs.map(({ name }) => places.get(name) as PlanTensor),
    );
    return new Map(specs.map((spec, i) => [spec.name, fromDevice(spec, data[i])]));
  }
}

function checkState(config: UNetConfig, state: TrainingState): void {
  for (const part of STATE_PARTS) checkParameters(config, state[part]);
}

/** Whether every number is +0. */
function isZero(parameters: Parameters): boolean {
  for (const { data } of parameters.values()) {
    const bits = new Uint32Array(data.buffer, data.byteOffset, data.length);
    for (let i = 0; i < bits.length; i++) if (bits[i] !== 0) return false;
  }
  return true;
}
