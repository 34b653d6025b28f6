/**
 * Sampling on the device: a step is one submission, noise is uploaded as it is needed, and only the
 * result is read back.
 *
 * @module
 */
import { ArgumentError, checkFinite, checkInteger, show, unexpected } from "../math/errors.ts";
import { checkShape, type Tensor, tensor } from "../math/tensor.ts";
import type { UNetConfig } from "../spec/unet_config.ts";
import type { Parameters } from "../spec/unet_parameters.ts";
import type { Gpu } from "./device.ts";
import { Executor } from "./executor.ts";
import type { PlanTensor } from "./plan.ts";
import { type NoiseLevel, type SamplerRowOptions, samplerRows } from "./sampler_rows.ts";
import { type SamplingPlan, samplingPlan } from "./sampling_plan.ts";
import { timeRows } from "./time_rows.ts";
import {
  checkParameters,
  type Classes,
  type GpuUNetOptions,
  uploadParameters,
  writeClasses,
  writeImages,
} from "./unet.ts";
import { defaultVariants } from "./variants.ts";

/** The times that a sampler visits, ascending, as tables have them. */
export interface SamplerTimes {
  /** The paper's times, 1..T; the network is given t − 1. */
  readonly timesteps: readonly number[];
  /** ᾱ and 1 − ᾱ at each of them. */
  readonly levels: readonly NoiseLevel[];
}

/** The tables that times are taken from: a `Schedule` of the reference has them, whole or respaced. */
export interface ScheduleTables {
  /** The kept times, ascending, in 1..T. */
  readonly timesteps: ArrayLike<number>;
  /** ᾱ at each of them. */
  readonly alphaBar: ArrayLike<number>;
  /** 1 − ᾱ at each of them. */
  readonly oneMinusAlphaBar: ArrayLike<number>;
}

/** The times that a schedule keeps. */
export function samplerTimes(tables: ScheduleTables): SamplerTimes {
  const { timesteps, alphaBar, oneMinusAlphaBar } = tables;
  return {
    timesteps: Array.from(timesteps),
    levels: Array.from(timesteps, (_, k) => ({
      alphaBar: alphaBar[k],
      oneMinusAlphaBar: oneMinusAlphaBar[k],
    })),
  };
}

/** Classifier-free guidance of a network that takes class labels. */
export interface SamplerGuidance {
  /** s of u + s·(c − u) (Ho and Salimans 2022, eq. 6, with s = 1 + w): 1 is no guidance and costs nothing. */
  readonly scale: number;
  /** φ in 0..1, the share that is brought back to c's standard deviation (Lin et al. 2023, section 3.4). */
  readonly rescale: number;
  /** The class label that stands for no class. */
  readonly nullClass: number;
}

/** What a sampler is made for. */
export interface GpuSamplerOptions extends GpuUNetOptions {
  /** The times to visit. */
  readonly times: SamplerTimes;
  /** DDPM or DDIM, and how the output is read. */
  readonly steps: SamplerRowOptions;
  /**
   * Guidance away from the null class; the network then runs on 2·`batch` samples. It is of the output's
   * mean part: a learned variance is the conditional one's. Default none.
   */
  readonly guidance?: SamplerGuidance;
  /** Whether x̂_0 of every step is kept, for `frames` of a run. Default false. */
  readonly frames?: boolean;
}

/** The state of a loop after a step has been submitted. */
export interface SamplerProgress {
  /** Steps submitted. */
  readonly step: number;
  /** Steps in all. */
  readonly steps: number;
}

/** The samples after a step, read back. */
export interface SamplerFrame {
  /** Steps done, 1..steps. */
  readonly step: number;
  /** The paper's time at which the step started. */
  readonly t: number;
  /** x after the step, `[batch, C, H, W]`. */
  readonly x: Tensor;
  /** x̂_0 of the step after clipping, shaped like `x`. */
  readonly x0: Tensor;
}

/** Which steps are read back. */
export interface FrameRequest {
  /** Steps from one frame to the next, ≥ 1; the last step's is always among them. */
  readonly every: number;
  /** Called with each in the order of the steps. */
  readonly onFrame: (frame: SamplerFrame) => void;
}

/** What one run of the loop takes. */
export interface SampleRequest {
  /** x_T, `[batch, C, H, W]`. */
  readonly xT: Tensor;
  /** z of the step that starts at time t; called in the order of the steps, and only if they take noise. */
  readonly noiseAt: (t: number) => Tensor;
  /** Classes, if the config has any. */
  readonly classes?: Classes;
  /** Called after every step. */
  readonly onStep?: (progress: SamplerProgress) => void;
  /** Shows samples on their way; of samplers made with `frames`. */
  readonly frames?: FrameRequest;
  /** Ends the loop before its next step, by throwing the signal's reason. */
  readonly signal?: AbortSignal;
}

/** Steps that may wait in the device's queue: enough to keep it busy, few enough to stop soon. */
const AHEAD = 16;

/** A sampling loop compiled for one network, batch size and list of times. */
export class GpuSampler {
  readonly #gpu: Gpu;
  readonly #options: GpuSamplerOptions;
  /** The network. */
  readonly config: UNetConfig;
  /** What runs, and where everything lies. */
  readonly planned: SamplingPlan;
  /** Runs the plan. */
  readonly executor: Executor;

  private constructor(
    gpu: Gpu,
    config: UNetConfig,
    options: GpuSamplerOptions,
    planned: SamplingPlan,
    executor: Executor,
  ) {
    this.#gpu = gpu;
    this.config = config;
    this.#options = options;
    this.planned = planned;
    this.executor = executor;
  }

  /**
   * Compiles the network and the sampling step, and uploads weights and tables.
   *
   * @param parameters by name, or the `parameters` or `ema` buffer of a trainer with the same config.
   * @throws {ArgumentError} if a parameter is missing or has another shape, at ᾱ = 0 for ε, or if guidance
   *   does not fit the config.
   * @throws {LimitError | OutOfMemoryError | ShaderError | DeviceLostError}
   */
  static async create(
    gpu: Gpu,
    config: UNetConfig,
    parameters: Parameters | GPUBuffer,
    options: GpuSamplerOptions,
  ): Promise<GpuSampler> {
    const { batch, height, width, times, steps, guidance, frames, onProgress } = options;
    if (guidance !== undefined) checkGuidance(config, guidance);
    const streamed = parameters instanceof Map;
    if (streamed) checkParameters(config, parameters);
    const variants = options.variants ?? defaultVariants(gpu.adapterClass);
    const rows = samplerRows(times.levels, steps);
    const planned = samplingPlan({
      ...{ config, batch, height, width, variants },
      steps: times.levels.length,
      noisy: takesNoise(steps),
      guidance: guidance === undefined || guidance.scale === 1 ? null : guidance,
      keepX0: frames,
      streamed,
    });
    const shared = streamed ? {} : { parameters: parameters as GPUBuffer };
    const executor = await Executor.create(gpu, planned.plan, shared, onProgress);
    const sampler = new GpuSampler(gpu, config, options, planned, executor);
    if (streamed) uploadParameters(executor, config, planned.parameters, parameters);
    executor.write(planned.rows, rows);
    // The network counts times from 0, the paper from 1; steps go downwards.
    const networkTimes = times.timesteps.map((t) => t - 1).reverse();
    executor.write(planned.timeTable, timeRows(config, networkTimes));
    if (!streamed) sampler.prepare();
    return sampler;
  }

  /**
   * Brings shared weights into the form that kernels read; needed whenever they changed. Weights that
   * were given by name need it no more.
   */
  prepare(): void {
    if (this.planned.plan.sizes.staging === 0) this.executor.run("prepare");
  }

  /**
   * Runs the whole loop.
   *
   * @returns x_0, `[batch, C, H, W]`.
   * @throws {ArgumentError} if an input does not fit; the signal's reason if aborted.
   * @throws {DeviceLostError}
   */
  async sample(request: SampleRequest): Promise<Tensor> {
    const { executor, planned } = this;
    const { x, step, noise } = planned;
    const { timesteps } = this.#options.times;
    const { xT, noiseAt, classes, onStep, frames, signal } = request;
    if (frames !== undefined) checkFrames(frames, planned);
    writeImages(executor, "xT", x, xT);
    executor.write(step, Uint32Array.of(0));
    writeClasses(executor, this.config, planned, this.#withNullClass(classes));
    const steps = timesteps.length;
    for (let k = 0; k < steps; k++) {
      signal?.throwIfAborted();
      const t = timesteps[steps - 1 - k], done = k + 1;
      // The step that ends at time 0 takes no noise.
      if (noise !== null && done < steps) {
        const z = noiseAt(t);
        checkShape("noise", z, xT.shape);
        executor.write(noise, z.data);
      }
      executor.run("step");
      if (done % AHEAD === 0) await this.#gpu.device.queue.onSubmittedWorkDone();
      onStep?.({ step: done, steps });
      if (frames !== undefined && (done % frames.every === 0 || done === steps)) {
        const [x, x0] = await this.#images(this.#samples, planned.x0 as PlanTensor);
        frames.onFrame({ step: done, t, x, x0 });
      }
    }
    const [x0] = await this.#images(this.#samples);
    return x0;
  }

  /** Where the host finds x: with guidance the network's input is twice as long. */
  get #samples(): PlanTensor {
    const { view: { tensor, sampleStride }, N } = this.planned.x;
    return { ...tensor, size: N * sampleStride };
  }

  /** Reads tensors of the samples' shape back. */
  async #images(...tensors: readonly PlanTensor[]): Promise<Tensor[]> {
    const { N, C, H, W } = this.planned.x;
    const read = await this.executor.read(...tensors);
    return read.map((data) => tensor([N, C, H, W], data.slice()));
  }

  /** The classes of the network's batch: with guidance, the null class for its second half. */
  #withNullClass(classes: Classes | undefined): Classes | undefined {
    const { x, inputs } = this.planned;
    if (inputs.x.N === x.N) return classes;
    if (classes === undefined || "shape" in classes || classes.length !== x.N) {
      throw new ArgumentError(`Expected ${x.N} class labels for guidance but got ${show(classes)}`);
    }
    const { nullClass } = this.#options.guidance as SamplerGuidance;
    return [...classes, ...new Array<number>(x.N).fill(nullClass)];
  }

  /** Frees what this sampler allocated. */
  destroy(): void {
    this.executor.destroy();
  }
}

function takesNoise(steps: SamplerRowOptions): boolean {
  return steps.kind === "ddpm" || steps.eta > 0;
}

/** Checks what guidance asks of a config. */
function checkGuidance(config: UNetConfig, { scale, rescale, nullClass }: SamplerGuidance): void {
  checkFinite("guidance scale", scale);
  if (!(rescale >= 0 && rescale <= 1)) unexpected("a guidance rescale in 0..1", rescale);
  const { classEmbedType, numClassEmbeds } = config;
  if (classEmbedType === "timestep") checkFinite("nullClass", nullClass);
  else if (classEmbedType !== "identity" && numClassEmbeds !== null) {
    checkInteger("nullClass", nullClass, 0, numClassEmbeds - 1);
  } else {
    throw new ArgumentError("Expected a config with class labels for guidance but got one without");
  }
}

function checkFrames({ every }: FrameRequest, { x0 }: SamplingPlan): void {
  checkInteger("every", every, 1, Number.MAX_SAFE_INTEGER);
  if (x0 === null) {
    throw new ArgumentError("Expected a sampler made with frames but got one without");
  }
}
