/**
 * Small networks that between them use every module and convention, and their results on the device.
 */
import { type Tensor, tensor } from "../../src/math/tensor.ts";
import type { UNetOptions } from "../../src/reference/unet.ts";
import { type UNetConfig, unetConfig } from "../../src/spec/unet_config.ts";
import { timeEmbeddingSize } from "../../src/spec/unet_modules.ts";
import { type Parameters, unetParameters } from "../../src/spec/unet_parameters.ts";
import type { OptimizerStep } from "../../src/webgpu/kernels/optimizer_step.ts";
import { GpuTrainer, type TrainingBatch, type TrainingState } from "../../src/webgpu/trainer.ts";
import { GpuUNet, type GpuUNetOptions } from "../../src/webgpu/unet.ts";
import type { Variants } from "../../src/webgpu/variants.ts";
import { normals } from "../support/layers.ts";
import type { NetworkCase, Results } from "../support/webgpu_bounds.ts";
import { testGpu } from "./run_launch.ts";

/** Parameters none of which is zero or one: weights of variance 1/fanIn, biases and norms around their start. */
export function liveParameters(config: UNetConfig, seed: number): Parameters {
  return new Map(
    unetParameters(config).map(({ name, shape, initialiser }, number) => {
      const fanIn = shape.slice(1).reduce((a, b) => a * b, 1);
      const scale = shape.length > 1 ? fanIn ** -0.5 : 0.2;
      const start = initialiser === "ones" ? 1 : 0;
      const { data } = normals(seed, number, shape);
      return [name, tensor(shape, data.map((z) => start + scale * z))];
    }),
  );
}

/** What a case is made of: the fields that differ from UNet2DModel's, and the sizes of a batch. */
interface CaseFields {
  readonly config: Partial<UNetConfig>;
  readonly batch: number;
  readonly size: readonly [height: number, width: number];
  readonly options?: (config: UNetConfig) => UNetOptions;
}

/** Title of the case that is most like the original's network. */
export const DDPM_LIKE =
  "two levels as in DDPM, three samples, scale and shift, classes embedded as times";

const FIELDS: Record<string, CaseFields> = {
  "one level with two heads, a class table and dropout, centred, not square": {
    config: {
      downBlockTypes: ["AttnDownBlock2D"],
      upBlockTypes: ["AttnUpBlock2D"],
      blockOutChannels: [16],
      normNumGroups: 4,
      attentionHeadDim: 8,
      numClassEmbeds: 5,
      dropout: 0.2,
      centerInputSample: true,
      flipSinToCos: false,
      freqShift: 1,
    },
    batch: 2,
    size: [8, 6],
    options: () => ({ classLabels: [4, 1], dropout: { seed: 9, items: [5, 6] } }),
  },
  [DDPM_LIKE]: {
    config: {
      downBlockTypes: ["DownBlock2D", "AttnDownBlock2D"],
      upBlockTypes: ["AttnUpBlock2D", "UpBlock2D"],
      blockOutChannels: [8, 16],
      normNumGroups: 4,
      attentionHeadDim: null,
      downsamplePadding: 0,
      normEps: 1e-6,
      resnetTimeScaleShift: "scale_shift",
      attnNormNumGroups: 2,
      classEmbedType: "timestep",
    },
    batch: 3,
    size: [8, 8],
    options: () => ({ classLabels: [7, 0, 31] }),
  },
  "odd channels in one group, padding on all sides, a scaled middle, twice the output channels": {
    config: {
      inChannels: 2,
      outChannels: 4,
      downBlockTypes: ["DownBlock2D", "DownBlock2D"],
      upBlockTypes: ["UpBlock2D", "UpBlock2D"],
      blockOutChannels: [7, 9],
      normNumGroups: 1,
      attentionHeadDim: 3,
      downsamplePadding: 1,
      midBlockScaleFactor: Math.SQRT2,
    },
    batch: 1,
    size: [4, 10],
  },
  "residual resampling around attention, class vectors, no attention in the middle": {
    config: {
      downBlockTypes: ["ResnetDownsampleBlock2D", "AttnDownBlock2D"],
      upBlockTypes: ["AttnUpBlock2D", "ResnetUpsampleBlock2D"],
      downsampleType: "resnet",
      upsampleType: "resnet",
      blockOutChannels: [6, 12],
      normNumGroups: 3,
      attentionHeadDim: 4,
      addAttention: false,
      classEmbedType: "identity",
    },
    batch: 2,
    size: [8, 4],
    options: (config) => ({ classLabels: normals(5, 600, [2, timeEmbeddingSize(config)]) }),
  },
};

function networkCase({ config: fields, batch, size, options }: CaseFields): NetworkCase {
  const config = unetConfig({ layersPerBlock: 1, ...fields });
  const seed = 3;
  return {
    config,
    parameters: liveParameters(config, seed),
    x: normals(seed, 500, [batch, config.inChannels, ...size]),
    target: normals(seed, 501, [batch, config.outChannels, ...size]),
    timesteps: [3, 500, 999].slice(0, batch),
    options: options?.(config),
  };
}

/** The cases by title. */
export const NETWORKS: ReadonlyMap<string, NetworkCase> = new Map(
  Object.entries(FIELDS).map(([title, fields]) => [title, networkCase(fields)]),
);

/** A training run's start: moments zero, the average a copy of the weights. */
export function trainingState(parameters: Parameters): TrainingState {
  const zeros = new Map([...parameters].map(([name, { shape }]) => [name, tensor(shape)]));
  return { parameters, moment1: zeros, moment2: zeros, ema: parameters };
}

/** Sizes of a case as compiled models take them. */
export function sizesOf(
  { x: { shape: [batch, , height, width] } }: NetworkCase,
): Pick<GpuUNetOptions, "batch" | "height" | "width"> {
  return { batch, height, width };
}

/** Numbers of a step that changes nothing that is read afterwards. */
export const ANY_STEP: OptimizerStep = {
  ...{ step: 1, lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8 },
  ...{ weightDecay: 0, decoupled: true, maxNorm: 1, emaDecay: 0.99 },
};

/** A case as one part of a training batch. */
export function trainingBatch(
  { x, target, timesteps, options = {} }: NetworkCase,
): TrainingBatch {
  const { classLabels: classes, dropout } = options;
  return { xt: x, target, timesteps, classes, dropout };
}

/** ε̂ of a case on the device, without dropout. */
export async function devicePrediction(
  net: NetworkCase,
  { config, parameters }: Pick<NetworkCase, "config" | "parameters"> = net,
  variants?: Variants,
): Promise<Tensor> {
  const options = { ...sizesOf(net), variants };
  const model = await GpuUNet.create(await testGpu(), config, parameters, options);
  const output = await model.predict(net.x, net.timesteps, net.options?.classLabels);
  model.destroy();
  return output;
}

/** Output, loss and every gradient of a case on the device. */
export async function deviceResults(net: NetworkCase, variants?: Variants): Promise<Results> {
  const { config, parameters } = net;
  const options = { ...sizesOf(net), inputGradient: true, variants };
  const trainer = await GpuTrainer.create(
    await testGpu(),
    config,
    trainingState(parameters),
    options,
  );
  const { loss, sampleLosses } = await trainer.step([trainingBatch(net)], ANY_STEP);
  const { output: { view, N, C, H, W } } = trainer.planned;
  const [output] = await trainer.executor.read(view.tensor);
  const results = new Map([
    ["output", tensor([N, C, H, W], output.slice())],
    ["loss", tensor([1], [loss])],
    ["sample losses", tensor([sampleLosses.length], sampleLosses)],
    ["grad_x", await trainer.inputGradient()],
    ...await trainer.gradients(),
  ]);
  trainer.destroy();
  return results;
}
