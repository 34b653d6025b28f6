/**
 * Training and sampling on WebGPU. Only loaded when it is used.
 *
 * @module
 */
import type { Tensor } from "../math/tensor.ts";
import type { ScheduleConfig } from "../spec/schedule_config.ts";
import type { UNetConfig } from "../spec/unet_config.ts";
import type { Parameters } from "../spec/unet_parameters.ts";
import { type DeviceOptions, type Gpu, requestGpu } from "../webgpu/device.ts";
import { defaultVariants } from "../webgpu/variants.ts";
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
import type { SamplingOptions } from "./sampling.ts";
import { webgpuPredictor } from "./webgpu_predictor.ts";
import { sampleOnWebGpu } from "./webgpu_sampling.ts";
import type { GpuChoice } from "./webgpu_support.ts";
import { webgpuTrainer } from "./webgpu_trainer.ts";

class WebGpuBackend implements Backend {
  readonly device = "webgpu";
  readonly #choice: GpuChoice;

  constructor(choice: GpuChoice) {
    this.#choice = choice;
  }

  get adapter(): string {
    return this.#choice.gpu.adapter;
  }

  get record() {
    const { gpu: { adapter, adapterClass }, variants } = this.#choice;
    const table = variantTableToJson({ adapter, adapterClass, variants });
    return { device: this.device, adapter, variants: JSON.stringify(table) };
  }

  trainer(task: TrainingTask, onCompile: OnCompile): Promise<Trainer> {
    return webgpuTrainer(this.#choice, task, onCompile);
  }

  predictor(config: UNetConfig, batch: number, onCompile: OnCompile): Promise<Predictor> {
    return Promise.resolve(webgpuPredictor(this.#choice, config, batch, onCompile));
  }

  sampleImages(
    config: UNetConfig,
    parameters: Parameters,
    schedule: ScheduleConfig,
    options: SamplingOptions,
    events?: SamplingEvents,
  ): Promise<Tensor> {
    return sampleOnWebGpu(this.#choice, config, parameters, schedule, options, events);
  }

  close(): void {
    this.#choice.gpu.device.destroy();
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
  return new WebGpuBackend({ gpu, variants });
}

function recordedTable({ adapter, variants }: WebGpuRequest["recorded"], gpu: Gpu) {
  if (adapter !== gpu.adapter || typeof variants !== "string") return null;
  return variantTableFromJson(JSON.parse(variants));
}
