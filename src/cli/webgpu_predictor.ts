/**
 * Prediction on WebGPU.
 *
 * @module
 */
import type { Tensor } from "../math/tensor.ts";
import type { UNetConfig } from "../spec/unet_config.ts";
import type { Parameters } from "../spec/unet_parameters.ts";
import { GpuUNet, uploadParameters } from "../webgpu/unet.ts";
import type { OnCompile, Predictor } from "./backend.ts";
import { networkTimes } from "./trainer.ts";
import { type GpuChoice, modelOptions, samplesOf } from "./webgpu_support.ts";

/** A network that is compiled once, when its first weights are known. */
class WebGpuPredictor implements Predictor {
  readonly #create: (parameters: Parameters) => Promise<GpuUNet>;
  #model: GpuUNet | null = null;
  #loaded: Parameters | null = null;

  constructor(create: (parameters: Parameters) => Promise<GpuUNet>) {
    this.#create = create;
  }

  async predict(
    parameters: Parameters,
    xt: Tensor,
    times: readonly number[],
    classes?: readonly number[],
  ): Promise<Tensor> {
    const model = this.#model ??= await this.#create(this.#loaded = parameters);
    if (this.#loaded !== parameters) {
      uploadParameters(model.executor, model.config, model.planned.parameters, parameters);
      model.prepare();
      this.#loaded = parameters;
    }
    const { batch } = model;
    const filled = (values: readonly number[]) =>
      Array.from({ length: batch }, (_, n) => values[n] ?? values[0]);
    const output = await model.predict(
      samplesOf(xt, 0, batch),
      networkTimes(filled(times)),
      classes && filled(classes),
    );
    return samplesOf(output, 0, times.length);
  }

  close(): void {
    this.#model?.destroy();
  }
}

/** A network for batches of up to some size, compiled when its first weights come. */
export function webgpuPredictor(
  { gpu, variants }: GpuChoice,
  config: UNetConfig,
  batch: number,
  onCompile: OnCompile,
): Predictor {
  const options = modelOptions(config, batch, variants, onCompile);
  return new WebGpuPredictor((parameters) => GpuUNet.create(gpu, config, parameters, options));
}
