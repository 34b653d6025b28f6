/**
 * Sampling on the device: a step is one submission, noise is uploaded as it is needed, and only the
 * result is read back.
 *
 * @module
 */
import { checkShape, type Tensor, tensor } from "../math/tensor.ts";
import type { UNetConfig } from "../spec/unet_config.ts";
import type { Parameters } from "../spec/unet_parameters.ts";
import type { Gpu } from "./device.ts";
import { Executor } from "./executor.ts";
import { type NoiseLevel, type SamplerRowOptions, samplerRows } from "./sampler_rows.ts";
import { timeRows } from "./time_rows.ts";
import {
  checkParameters,
  type Classes,
  type GpuUNetOptions,
  uploadParameters,
  writeClasses,
  writeImages,
} from "./unet.ts";
import { type SamplingPlan, samplingPlan } from "./unet_plan.ts";
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

/** What a sampler is made for. */
export interface GpuSamplerOptions extends GpuUNetOptions {
  /** The times to visit. */
  readonly times: SamplerTimes;
  /** DDPM or DDIM, and how the output is read. */
  readonly steps: SamplerRowOptions;
}

/** The state of a loop after a step has been submitted. */
export interface SamplerProgress {
  /** Steps submitted. */
  readonly step: number;
  /** Steps in all. */
  readonly steps: number;
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
   * @throws {ArgumentError} if a parameter is missing or has another shape, or at ᾱ = 0 for ε.
   * @throws {LimitError | OutOfMemoryError | ShaderError | DeviceLostError}
   */
  static async create(
    gpu: Gpu,
    config: UNetConfig,
    parameters: Parameters | GPUBuffer,
    options: GpuSamplerOptions,
  ): Promise<GpuSampler> {
    const { batch, height, width, times, steps, onProgress } = options;
    const streamed = parameters instanceof Map;
    if (streamed) checkParameters(config, parameters);
    const variants = options.variants ?? defaultVariants(gpu.adapterClass);
    const rows = samplerRows(times.levels, steps);
    const planned = samplingPlan({
      ...{ config, batch, height, width, variants },
      steps: times.levels.length,
      noisy: takesNoise(steps),
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
    const { inputs: { x }, step, noise } = planned;
    const { timesteps } = this.#options.times;
    const { xT, noiseAt, classes, onStep, signal } = request;
    writeImages(executor, "xT", x, xT);
    executor.write(step, Uint32Array.of(0));
    writeClasses(executor, this.config, planned, classes);
    const steps = timesteps.length;
    for (let k = 0; k < steps; k++) {
      signal?.throwIfAborted();
      // The step that ends at time 0 takes no noise.
      if (noise !== null && k < steps - 1) {
        const z = noiseAt(timesteps[steps - 1 - k]);
        checkShape("noise", z, xT.shape);
        executor.write(noise, z.data);
      }
      executor.run("step");
      if ((k + 1) % AHEAD === 0) await this.#gpu.device.queue.onSubmittedWorkDone();
      onStep?.({ step: k + 1, steps });
    }
    const [data] = await executor.read(x.view.tensor);
    return tensor(xT.shape, data.slice());
  }

  /** Frees what this sampler allocated. */
  destroy(): void {
    this.executor.destroy();
  }
}

function takesNoise(steps: SamplerRowOptions): boolean {
  return steps.kind === "ddpm" || steps.eta > 0;
}
