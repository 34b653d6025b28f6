/**
 * Small models that between them use every convention and every way in which a folder of diffusers may be
 * written.
 *
 * @module
 */
import type { Tensor } from "../../src/math/tensor.ts";
import type { Checkpoint, TrainedPrediction } from "../../src/spec/checkpoint.ts";
import type { ScheduleConfig } from "../../src/spec/schedule_config.ts";
import { type UNetConfig, unetConfig } from "../../src/spec/unet_config.ts";
import { type Parameters, unetParameters } from "../../src/spec/unet_parameters.ts";
import type { DiffusersOptions } from "../../src/convert/write_diffusers_folder.ts";
import { DEFAULT_SAMPLING } from "../../src/convert/write_scheduler_config.ts";
import { normals } from "../support/layers.ts";

/** A model, how it is written, and what it is run on. */
export interface InteropCase {
  readonly title: string;
  readonly checkpoint: Checkpoint;
  readonly options: DiffusersOptions;
  readonly x: Tensor;
  readonly labels?: readonly number[];
}

/** Parameters none of which is zero or one: weights of variance 1/fanIn, biases and norms around their start. */
export function liveParameters(config: UNetConfig, seed: number): Parameters {
  return new Map(
    unetParameters(config).map(({ name, shape, initialiser }, number) => {
      const { data } = normals(seed, number, shape);
      const fanIn = shape.slice(1).reduce((a, b) => a * b, 1);
      const scale = shape.length > 1 ? fanIn ** -0.5 : 0.2;
      const start = initialiser === "ones" ? 1 : 0;
      return [name, { shape, data: Float32Array.from(data, (z) => start + scale * z) }];
    }),
  );
}

const LINEAR: ScheduleConfig = { kind: "linear", T: 1000, betaStart: 1e-4, betaEnd: 0.02 };

/** The conventions of the DDPM paper in small. */
export const DDPM_SMALL: UNetConfig = unetConfig({
  sampleSize: 8,
  inChannels: 1,
  outChannels: 1,
  freqShift: 1,
  flipSinToCos: false,
  downBlockTypes: ["DownBlock2D", "AttnDownBlock2D"],
  upBlockTypes: ["AttnUpBlock2D", "UpBlock2D"],
  blockOutChannels: [8, 16],
  layersPerBlock: 1,
  downsamplePadding: 0,
  attentionHeadDim: null,
  normNumGroups: 4,
  normEps: 1e-6,
});

function interopCase(
  title: string,
  unet: UNetConfig,
  { schedule = LINEAR, prediction, options = {}, labels }: {
    schedule?: ScheduleConfig;
    prediction?: TrainedPrediction;
    options?: DiffusersOptions;
    labels?: readonly number[];
  } = {},
): InteropCase {
  const run = { step: 7, seed: 3, train: { lr: 1e-3, batch: 2 } };
  const [ema, model, m] = [1, 2, 3].map((seed) => liveParameters(unet, seed));
  const v = new Map([...m].map(([k, { shape, data }]) => [k, { shape, data: data.map(Math.abs) }]));
  return {
    title,
    checkpoint: { unet, schedule, ...run, prediction, ema, training: { model, m, v } },
    options,
    x: normals(4, 0, [2, unet.inChannels, 8, 8]),
    labels,
  };
}

/** The cases by title. */
export const INTEROP_CASES: readonly InteropCase[] = [
  interopCase("DDPM's conventions", DDPM_SMALL),
  interopCase("v-prediction, the cosine schedule, DDIM", DDPM_SMALL, {
    schedule: { kind: "cosine", T: 1000 },
    prediction: "v",
    options: { sampling: { ...DEFAULT_SAMPLING, sampler: "ddim" } },
  }),
  interopCase("a table of classes, prediction of x_0, raw weights", {
    ...DDPM_SMALL,
    numClassEmbeds: 5,
  }, { prediction: "x0", options: { weights: "raw" }, labels: [4, 1] }),
  interopCase(
    "the conventions that UNet2DModel defaults to, heads, residual resampling, scale and shift",
    unetConfig({
      sampleSize: 8,
      inChannels: 2,
      outChannels: 3,
      downBlockTypes: ["AttnDownBlock2D", "ResnetDownsampleBlock2D", "DownBlock2D"],
      upBlockTypes: ["UpBlock2D", "ResnetUpsampleBlock2D", "AttnUpBlock2D"],
      blockOutChannels: [16, 16, 32],
      layersPerBlock: 2,
      attentionHeadDim: 8,
      normNumGroups: 8,
      resnetTimeScaleShift: "scale_shift",
      attnNormNumGroups: 4,
      midBlockScaleFactor: 1.5,
      classEmbedType: "timestep",
    }),
    { labels: [3, 17] },
  ),
  interopCase("float16 weights, β values of no named rule", DDPM_SMALL, {
    schedule: { kind: "inverse", T: 20 },
    options: { dtype: "F16" },
  }),
];
