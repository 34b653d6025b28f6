/**
 * A U-Net on the device: weights in, images and times in, predictions out.
 *
 * @module
 */
import { ArgumentError, show, unexpected } from "../math/errors.ts";
import { checkShape, sizeOf, type Tensor, tensor } from "../math/tensor.ts";
import type { UNetConfig } from "../spec/unet_config.ts";
import { timeEmbeddingSize } from "../spec/unet_modules.ts";
import { type Parameters, unetParameters } from "../spec/unet_parameters.ts";
import type { Gpu } from "./device.ts";
import { type CompileProgress, Executor, type SharedBuffers } from "./executor.ts";
import type { Activation } from "./network.ts";
import type { PlanTensor } from "./plan.ts";
import { timeRows } from "./time_rows.ts";
import { type UNetPlan, unetPlan } from "./unet_plan.ts";
import { defaultVariants, type Variants } from "./variants.ts";
import { toDevice } from "./weights.ts";

/** Class labels per sample, or class vectors `[N, E]` where the config takes those. */
export type Classes = readonly number[] | Tensor;

/** What a U-Net on the device is made for. */
export interface GpuUNetOptions {
  /** Samples per pass. */
  readonly batch: number;
  /** Height of the images. */
  readonly height: number;
  /** Width of the images. */
  readonly width: number;
  /** Which kernel computes what. Default: the adapter class's table. */
  readonly variants?: Variants;
  /** Called as shaders compile. */
  readonly onProgress?: (progress: CompileProgress) => void;
}

/** A U-Net compiled for one batch size. */
export class GpuUNet {
  /** The network. */
  readonly config: UNetConfig;
  /** Samples per pass. */
  readonly batch: number;
  /** What runs, and where everything lies. */
  readonly planned: UNetPlan;
  /** Runs the plan. */
  readonly executor: Executor;

  private constructor(config: UNetConfig, batch: number, planned: UNetPlan, executor: Executor) {
    this.config = config;
    this.batch = batch;
    this.planned = planned;
    this.executor = executor;
  }

  /**
   * Compiles the network and uploads its weights.
   *
   * @param parameters by name, or the `parameters` or `ema` buffer of a trainer with the same config.
   * @throws {ArgumentError} if a parameter is missing or has another shape.
   * @throws {LimitError | OutOfMemoryError | ShaderError | DeviceLostError}
   */
  static async create(
    gpu: Gpu,
    config: UNetConfig,
    parameters: Parameters | GPUBuffer,
    options: GpuUNetOptions,
  ): Promise<GpuUNet> {
    const { batch, height, width, onProgress } = options;
    const streamed = parameters instanceof Map;
    if (streamed) checkParameters(config, parameters);
    const variants = options.variants ?? defaultVariants(gpu.adapterClass);
    const planned = unetPlan({ config, batch, height, width, variants, streamed });
    const shared: SharedBuffers = streamed ? {} : { parameters: parameters as GPUBuffer };
    const executor = await Executor.create(gpu, planned.plan, shared, onProgress);
    const model = new GpuUNet(config, batch, planned, executor);
    if (streamed) uploadParameters(executor, config, planned.parameters, parameters);
    else model.prepare();
    return model;
  }

  /**
   * Brings shared weights into the form that kernels read; needed whenever they changed. Weights that
   * were given by name need it no more.
   */
  prepare(): void {
    if (this.planned.plan.sizes.staging === 0) this.executor.run("prepare");
  }

  /**
   * ε̂, or whatever the network was trained to predict.
   *
   * @param x `[batch, inChannels, H, W]`
   * @param timesteps as the network gets them: 0..T − 1.
   * @returns `[batch, outChannels, H, W]`
   * @throws {ArgumentError} if an input does not fit.
   */
  async predict(x: Tensor, timesteps: readonly number[], classes?: Classes): Promise<Tensor> {
    const { inputs, output } = this.planned;
    writeImages(this.executor, "x", inputs.x, x);
    writeConditions(this.executor, this.config, this.planned, timesteps, classes);
    this.executor.run("step");
    const [data] = await this.executor.read(output.view.tensor);
    return tensor([output.N, output.C, output.H, output.W], data.slice());
  }

  /** Frees what this model allocated. */
  destroy(): void {
    this.executor.destroy();
  }
}

/** Checks that every parameter is there. @throws {ArgumentError} if one is missing or has another shape. */
export function checkParameters(config: UNetConfig, parameters: Parameters): void {
  for (const { name, shape } of unetParameters(config)) {
    const value = parameters.get(name);
    if (value === undefined) throw new ArgumentError(`Expected a parameter ${name} but got none`);
    checkShape(name, value, shape);
  }
}

/**
 * Uploads parameters by name; those that go through `staging` are transformed before the next one takes
 * their place.
 *
 * @throws {ArgumentError} if one is missing or has another shape.
 */
export function uploadParameters(
  executor: Executor,
  config: UNetConfig,
  tensors: UNetPlan["parameters"],
  parameters: Parameters,
): void {
  checkParameters(config, parameters);
  const specs = unetParameters(config);
  // Every write takes a copy, so that one array serves all.
  const scratch = new Float32Array(Math.max(...specs.map(({ shape }) => sizeOf(shape))));
  for (const spec of specs) {
    const place = tensors.get(spec.name) as PlanTensor;
    executor.write(place, toDevice(spec, parameters.get(spec.name) as Tensor, scratch));
    if (place.buffer === "staging") executor.prepareFrom(place);
  }
}

/** Uploads an image or what has its shape. @throws {ArgumentError} if the shape is another. */
export function writeImages(
  executor: Executor,
  name: string,
  { view, N, C, H, W }: Activation,
  value: Tensor,
): void {
  checkShape(name, value, [N, C, H, W]);
  executor.write(view.tensor, value.data);
}

/** Uploads times and classes. @throws {ArgumentError} if there are not as many as samples. */
export function writeConditions(
  executor: Executor,
  config: UNetConfig,
  planned: UNetPlan,
  timesteps: readonly number[],
  classes: Classes | undefined,
): void {
  const { x, times } = planned.inputs;
  if (timesteps.length !== x.N) {
    throw new ArgumentError(`Expected ${x.N} timesteps but got ${show(timesteps)}`);
  }
  executor.write(times.view.tensor, timeRows(config, timesteps));
  writeClasses(executor, config, planned, classes);
}

/** Uploads classes, if the config has any. @throws {ArgumentError} if they do not fit it. */
export function writeClasses(
  executor: Executor,
  config: UNetConfig,
  { inputs }: UNetPlan,
  classes: Classes | undefined,
): void {
  if (inputs.classes !== null) {
    executor.write(inputs.classes.view.tensor, classData(config, inputs.x.N, classes));
  } else if (classes !== undefined) {
    throw new ArgumentError("Expected no class labels for this config but got some");
  }
}

function classData(
  config: UNetConfig,
  N: number,
  classes: Classes | undefined,
): Float32Array | Uint32Array {
  if (classes === undefined) {
    throw new ArgumentError("Expected class labels for this config but got none");
  }
  if ("shape" in classes) {
    if (config.classEmbedType !== "identity") {
      unexpected("one class label per sample", classes.shape);
    }
    checkShape("class vectors", classes, [N, timeEmbeddingSize(config)]);
    return classes.data;
  }
  if (config.classEmbedType === "identity") unexpected("class vectors as a tensor", classes);
  if (classes.length !== N) {
    throw new ArgumentError(`Expected ${N} class labels but got ${show(classes)}`);
  }
  if (config.classEmbedType === "timestep") return timeRows(config, classes);
  const count = config.numClassEmbeds ?? 0;
  for (const label of classes) {
    if (!Number.isInteger(label) || label < 0 || label >= count) {
      throw new ArgumentError(`Expected class labels in 0..${count - 1} but got ${label}`);
    }
  }
  return Uint32Array.from(classes);
}
