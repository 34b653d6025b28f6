/**
 * Training and sampling on WebGPU. Only loaded when it is used.
 *
 * @module
 */
import { sizeOf, type Tensor, tensor } from "../math/tensor.ts";
import { qSample } from "../reference/forward.ts";
import type { ScheduleConfig } from "../spec/schedule_config.ts";
import { sampleHeightWidth, type UNetConfig } from "../spec/unet_config.ts";
import type { Parameters } from "../spec/unet_parameters.ts";
import { type DeviceOptions, type Gpu, requestGpu } from "../webgpu/device.ts";
import type { OptimizerStep } from "../webgpu/kernels/optimizer_step.ts";
import { GpuSampler, samplerTimes } from "../webgpu/sampler.ts";
import type { SamplerRowOptions } from "../webgpu/sampler_rows.ts";
import { GpuTrainer, type TrainingBatch, type TrainingState } from "../webgpu/trainer.ts";
import { GpuUNet, type GpuUNetOptions, uploadParameters } from "../webgpu/unet.ts";
import { defaultVariants, type Variants } from "../webgpu/variants.ts";
import { variantTableFromJson, variantTableToJson } from "../webgpu/variants_file.ts";
import type {
  Backend,
  OnCompile,
  Predictor,
  SamplingEvents,
  Trainer,
  TrainingTask,
} from "./backend.ts";
import { readVariants } from "./networks.ts";
import { CLIPS, sampleBatches, type SamplingOptions, samplingProcess } from "./sampling.ts";
import {
  emaDecay,
  learningRate,
  networkTimes,
  type OptimiserOptions,
  type RunState,
  type TrainBatch,
} from "./trainer.ts";

/** With the step that is asked for next three are under way: the device does not wait for the host, and a bad loss shows soon. */
const AHEAD = 2;

/** Samples start..start + N − 1 of a tensor `[…, C, H, W]`; those beyond its end are zero. */
function samplesOf({ shape, data }: Tensor, start: number, N: number): Tensor {
  const D = sizeOf(shape.slice(1));
  const part = tensor([N, ...shape.slice(1)]);
  part.data.set(data.subarray(start * D, (start + N) * D));
  return part;
}

function modelOptions(
  config: UNetConfig,
  batch: number,
  variants: Variants,
  onProgress: OnCompile,
): GpuUNetOptions {
  // Whoever gets here has images of the size that the config gives.
  const [height, width] = sampleHeightWidth(config) as readonly [number, number];
  return { batch, height, width, variants, onProgress };
}

/** The step's numbers as `trainStep` of the reference has them. */
function optimizerStep(options: OptimiserOptions, step: number): OptimizerStep {
  return {
    step,
    lr: learningRate(options, step),
    ...{ beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0, decoupled: true },
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

  async step(batch: TrainBatch, step: number) {
    const { accumulate, optimiser } = this.#task;
    const size = batch.items.length / accumulate;
    const xt = qSample(this.#task.schedule, batch.times, batch.x0, batch.noise);
    const parts = Array.from(
      { length: accumulate },
      (_, k) => this.#part(batch, xt, k * size, size),
    );
    const result = await this.#trainer.step(parts, optimizerStep(optimiser, step));
    return { loss: result.loss, gradNorm: result.gradientNorm };
  }

  #part({ noise, times, items, classes }: TrainBatch, xt: Tensor, start: number, N: number): TrainingBatch {
    const end = start + N;
    return {
      xt: samplesOf(xt, start, N),
      target: samplesOf(noise, start, N),
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

/** A network that is compiled once, when its first weights are known. */
class WebGpuPredictor implements Predictor {
  readonly #create: (parameters: Parameters) => Promise<GpuUNet>;
  #model: GpuUNet | null = null;
  #loaded: Parameters | null = null;

  constructor(create: (parameters: Parameters) => Promise<GpuUNet>) {
    this.#create = create;
  }

  async predict(parameters: Parameters, xt: Tensor, times: readonly number[]): Promise<Tensor> {
    const model = this.#model ??= await this.#create(this.#loaded = parameters);
    if (this.#loaded !== parameters) {
      uploadParameters(model.executor, model.config, model.planned.parameters, parameters);
      model.prepare();
      this.#loaded = parameters;
    }
    const { batch } = model;
    const filled = [...times, ...new Array(batch - times.length).fill(times[0])];
    const output = await model.predict(samplesOf(xt, 0, batch), networkTimes(filled));
    return samplesOf(output, 0, times.length);
  }

  close(): void {
    this.#model?.destroy();
  }
}

function stepOptions({ sampler, variance, eta, clip }: SamplingOptions): SamplerRowOptions {
  const rule = CLIPS[clip];
  const shared = {
    prediction: "epsilon",
    clipRange: rule?.kind === "static" ? rule.range : null,
  } as const;
  return sampler === "ddpm"
    ? { kind: "ddpm", ...shared, variance }
    : { kind: "ddim", ...shared, eta, rederiveEpsilon: true };
}

class WebGpuBackend implements Backend {
  readonly device = "webgpu";
  readonly #gpu: Gpu;
  readonly #variants: Variants;

  constructor(gpu: Gpu, variants: Variants) {
    this.#gpu = gpu;
    this.#variants = variants;
  }

  get adapter(): string {
    return this.#gpu.adapter;
  }

  get record() {
    const { adapter, adapterClass } = this.#gpu;
    const table = variantTableToJson({ adapter, adapterClass, variants: this.#variants });
    return { device: this.device, adapter, variants: JSON.stringify(table) };
  }

  async trainer(task: TrainingTask, onCompile: OnCompile): Promise<Trainer> {
    const { config, state, batch, accumulate } = task;
    const trainer = await GpuTrainer.create(this.#gpu, config, toDeviceState(state), {
      ...modelOptions(config, batch / accumulate, this.#variants, onCompile),
      accumulation: accumulate,
    });
    return new WebGpuTrainer(this.#gpu, task, trainer);
  }

  predictor(config: UNetConfig, batch: number, onCompile: OnCompile): Promise<Predictor> {
    const options = modelOptions(config, batch, this.#variants, onCompile);
    return Promise.resolve(
      new WebGpuPredictor((parameters) => GpuUNet.create(this.#gpu, config, parameters, options)),
    );
  }

  async sampleImages(
    config: UNetConfig,
    parameters: Parameters,
    schedule: ScheduleConfig,
    options: SamplingOptions,
    { onCompile = () => {}, onShare = () => {} }: SamplingEvents = {},
  ): Promise<Tensor> {
    const { respaced } = samplingProcess(config, schedule, options);
    const batch = Math.min(options.batch, options.count);
    const sampler = await GpuSampler.create(this.#gpu, config, parameters, {
      ...modelOptions(config, batch, this.#variants, onCompile),
      times: samplerTimes(respaced),
      steps: stepOptions(options),
    });
    try {
      return await sampleBatches(config, options, async (noiseAt, N, start) => {
        const filled = (t: number) => samplesOf(noiseAt(t), 0, batch);
        const x0 = await sampler.sample({
          xT: filled(0),
          noiseAt: filled,
          onStep: ({ step, steps }) => onShare((start + N * step / steps) / options.count),
        });
        return samplesOf(x0, 0, N);
      });
    } finally {
      sampler.destroy();
    }
  }

  close(): void {
    this.#gpu.device.destroy();
  }
}

/** What a device is opened with. */
export interface WebGpuRequest extends DeviceOptions {
  /** File of a variant table. */
  readonly variants?: string;
  /** What a checkpoint recorded of the device that it was made on. */
  readonly recorded: Readonly<Record<string, unknown>>;
}

/**
 * Opens a device. A run that goes on with the adapter that it was made on keeps its variant table, unless
 * another is given.
 *
 * @throws {NoAdapterError} if there is no adapter, or none that fits.
 * @throws {FailureError} if there is no variant table in the file.
 */
export async function openWebGpu(
  { variants: file, recorded, ...options }: WebGpuRequest,
): Promise<Backend> {
  const given = file === undefined ? null : await readVariants(file);
  const gpu = await requestGpu(options);
  const { variants } = given ?? recordedTable(recorded, gpu) ??
    { variants: defaultVariants(gpu.adapterClass) };
  return new WebGpuBackend(gpu, variants);
}

function recordedTable({ adapter, variants }: WebGpuRequest["recorded"], gpu: Gpu) {
  if (adapter !== gpu.adapter || typeof variants !== "string") return null;
  return variantTableFromJson(JSON.parse(variants));
}
