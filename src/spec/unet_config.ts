/**
 * What a U-Net is, as data: the fields of diffusers' `UNet2DModel` in camelCase, so that a published
 * `config.json` is read as it is, and a field value that is not supported is refused by name.
 *
 * @module
 */
import { ArgumentError, checkFinite, checkInteger, unexpected } from "../math/errors.ts";

/** The levels of the way down. `Attn…` has attention after every residual block. */
export type DownBlockType = "DownBlock2D" | "AttnDownBlock2D" | "ResnetDownsampleBlock2D";
/** The levels of the way up. `Attn…` has attention after every residual block. */
export type UpBlockType = "UpBlock2D" | "AttnUpBlock2D" | "ResnetUpsampleBlock2D";
/** What changes the resolution of a level: a convolution, or a residual block around average pooling or doubling. */
export type ResampleType = "conv" | "resnet";

/** A denoising U-Net of the DDPM family (Ho et al. 2020, appendix B; Dhariwal and Nichol 2021, section 3). */
export interface UNetConfig {
  /** Height and width of the images, or null if left open. */
  readonly sampleSize: number | readonly [number, number] | null;
  /** Channels of x_t. */
  readonly inChannels: number;
  /** Channels of the output; twice `inChannels` where the variance is learned. */
  readonly outChannels: number;
  /** Whether the input is mapped to 2x − 1 first. */
  readonly centerInputSample: boolean;
  /** The time embedding: sinusoidal. */
  readonly timeEmbeddingType: "positional";
  /** The embedding's frequencies are maxPeriod^(−i/(half − freqShift)): 1 as in DDPM, 0 as in improved DDPM. */
  readonly freqShift: number;
  /** Order of the embedding's halves: false is sin then cos (DDPM), true is cos then sin. */
  readonly flipSinToCos: boolean;
  /** Levels from the finest to the coarsest. */
  readonly downBlockTypes: readonly DownBlockType[];
  /** Levels from the coarsest to the finest. */
  readonly upBlockTypes: readonly UpBlockType[];
  /** Channels per level, from the finest to the coarsest. */
  readonly blockOutChannels: readonly number[];
  /** Residual blocks per level on the way down; one more on the way up. */
  readonly layersPerBlock: number;
  /** What the sums of the middle's residual blocks and attention are divided by. */
  readonly midBlockScaleFactor: number;
  /** Padding of the strided convolution: 1 on all sides, or 0, which means one to the right and at the bottom (DDPM). */
  readonly downsamplePadding: 0 | 1;
  /** How `AttnDownBlock2D` halves the resolution. */
  readonly downsampleType: ResampleType;
  /** How `AttnUpBlock2D` doubles the resolution. */
  readonly upsampleType: ResampleType;
  /** Probability of dropping a value before the second convolution of a residual block, in training. */
  readonly dropout: number;
  /** The activation, x·σ(x). */
  readonly actFn: "silu";
  /** Channels per attention head; null is one head over all channels. */
  readonly attentionHeadDim: number | null;
  /** Groups of every group norm. */
  readonly normNumGroups: number;
  /** Groups of the norm before the middle's attention; null: `normNumGroups`, or no norm at all with `scale_shift`. */
  readonly attnNormNumGroups: number | null;
  /** ε of every group norm: 1e−6 in DDPM, 1e−5 elsewhere. */
  readonly normEps: number;
  /** How time enters a residual block: added before its second norm, or as scale and shift after it. */
  readonly resnetTimeScaleShift: "default" | "scale_shift";
  /** Whether the middle has attention. */
  readonly addAttention: boolean;
  /** How class labels enter: null with `numClassEmbeds` is a table; embedded like times; or given as vectors. */
  readonly classEmbedType: "timestep" | "identity" | null;
  /** Rows of the class table, or null for none. */
  readonly numClassEmbeds: number | null;
}

/** A field: its key in `config.json`, its default in `UNet2DModel`, and how its value is read. */
interface Field<T> {
  readonly key: string;
  readonly default: T;
  readonly read: (key: string, value: unknown) => T;
}

const MAX = 2 ** 20;

function integer(min: number, max = MAX): (key: string, value: unknown) => number {
  return (key, value) => checkInteger(key, value, min, max);
}

function orNull<T>(
  read: (key: string, value: unknown) => T,
): (key: string, value: unknown) => T | null {
  return (key, value) => value === null ? null : read(key, value);
}

function boolean(key: string, value: unknown): boolean {
  return typeof value === "boolean" ? value : unexpected(`true or false for ${key}`, value);
}

function oneOf<T extends string | number | null>(
  ...values: readonly T[]
): (key: string, value: unknown) => T {
  return (key, value) => {
    const found = values.find((v) => v === value);
    return found === undefined
      ? unexpected(`${key} to be ${values.map((v) => JSON.stringify(v)).join(" or ")}`, value)
      : found;
  };
}

function listOf<T>(
  read: (key: string, value: unknown) => T,
): (key: string, value: unknown) => readonly T[] {
  return (key, value) =>
    Array.isArray(value) && value.length > 0
      ? value.map((v) => read(`every entry of ${key}`, v))
      : unexpected(`a non-empty list for ${key}`, value);
}

function positive(key: string, value: unknown): number {
  const number = checkFinite(key, value);
  return number > 0 ? number : unexpected(`${key} above 0`, value);
}

function probability(key: string, value: unknown): number {
  const number = checkFinite(key, value);
  return number >= 0 && number < 1 ? number : unexpected(`${key} in [0, 1)`, value);
}

function sampleSize(key: string, value: unknown): number | readonly [number, number] {
  if (!Array.isArray(value)) return checkInteger(key, value, 1, MAX);
  if (value.length !== 2) unexpected(`a size or a pair of sizes for ${key}`, value);
  return [checkInteger(key, value[0], 1, MAX), checkInteger(key, value[1], 1, MAX)];
}

const FIELDS: { readonly [K in keyof UNetConfig]: Field<UNetConfig[K]> } = {
  sampleSize: { key: "sample_size", default: null, read: orNull(sampleSize) },
  inChannels: { key: "in_channels", default: 3, read: integer(1) },
  outChannels: { key: "out_channels", default: 3, read: integer(1) },
  centerInputSample: { key: "center_input_sample", default: false, read: boolean },
  timeEmbeddingType: {
    key: "time_embedding_type",
    default: "positional",
    read: oneOf("positional"),
  },
  freqShift: { key: "freq_shift", default: 0, read: integer(0) },
  flipSinToCos: { key: "flip_sin_to_cos", default: true, read: boolean },
  downBlockTypes: {
    key: "down_block_types",
    default: ["DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"],
    read: listOf(oneOf("DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D")),
  },
  upBlockTypes: {
    key: "up_block_types",
    default: ["AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
    read: listOf(oneOf("UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D")),
  },
  blockOutChannels: {
    key: "block_out_channels",
    default: [224, 448, 672, 896],
    read: listOf(integer(1)),
  },
  layersPerBlock: { key: "layers_per_block", default: 2, read: integer(1) },
  midBlockScaleFactor: { key: "mid_block_scale_factor", default: 1, read: positive },
  downsamplePadding: { key: "downsample_padding", default: 1, read: oneOf(0, 1) },
  downsampleType: { key: "downsample_type", default: "conv", read: oneOf("conv", "resnet") },
  upsampleType: { key: "upsample_type", default: "conv", read: oneOf("conv", "resnet") },
  dropout: { key: "dropout", default: 0, read: probability },
  actFn: {
    key: "act_fn",
    default: "silu",
    // Two names of one function.
    read: (key, value) => value === "swish" ? "silu" : oneOf("silu")(key, value),
  },
  attentionHeadDim: { key: "attention_head_dim", default: 8, read: orNull(integer(1)) },
  normNumGroups: { key: "norm_num_groups", default: 32, read: integer(1) },
  attnNormNumGroups: { key: "attn_norm_num_groups", default: null, read: orNull(integer(1)) },
  normEps: { key: "norm_eps", default: 1e-5, read: positive },
  resnetTimeScaleShift: {
    key: "resnet_time_scale_shift",
    default: "default",
    read: oneOf("default", "scale_shift"),
  },
  addAttention: { key: "add_attention", default: true, read: boolean },
  classEmbedType: {
    key: "class_embed_type",
    default: null,
    read: oneOf("timestep", "identity", null),
  },
  numClassEmbeds: { key: "num_class_embeds", default: null, read: orNull(integer(1)) },
};

/** Keys that `config.json` may hold and that change nothing for the supported models, with the values they may have. */
const INERT: Readonly<Record<string, (key: string, value: unknown) => unknown>> = {
  // Used only by the learned time embedding.
  num_train_timesteps: orNull(integer(1)),
  attention_legacy_order: (key, value) =>
    value === false ? value : unexpected(`${key} to be false`, value),
  mid_block_type: oneOf("UNetMidBlock2D"),
  // Null is four times the first level's channels.
  time_embedding_dim: oneOf(null),
};

const KEYS = Object.keys(FIELDS) as readonly (keyof UNetConfig)[];

/** Reads every field from `source` under the name that `name` gives it, with UNet2DModel's defaults. */
function readFields(
  source: Readonly<Record<string, unknown>>,
  name: (field: keyof UNetConfig) => string,
): UNetConfig {
  const entries = KEYS.map((field) => {
    const { read, default: missing } = FIELDS[field] as Field<unknown>;
    const value = source[name(field)];
    return [field, value === undefined ? missing : read(name(field), value)];
  });
  return checkLevels(Object.fromEntries(entries) as UNetConfig);
}

function checkLevels(config: UNetConfig): UNetConfig {
  const levels = config.blockOutChannels.length;
  for (const field of ["downBlockTypes", "upBlockTypes"] as const) {
    if (config[field].length !== levels) {
      throw new ArgumentError(
        `Expected ${levels} entries of ${
          FIELDS[field].key
        }, one per entry of block_out_channels, ` +
          `but got ${config[field].length}`,
      );
    }
  }
  if (config.freqShift >= Math.floor(config.blockOutChannels[0] / 2)) {
    unexpected("freq_shift below half of the first block_out_channels", config.freqShift);
  }
  return config;
}

/**
 * A config from some of its fields, the others as `UNet2DModel` defaults them.
 *
 * @throws {ArgumentError} naming the first field whose value is not supported.
 */
export function unetConfig(fields: Partial<UNetConfig>): UNetConfig {
  return readFields(fields, (field) => field);
}

/**
 * Reads a `config.json` of diffusers' `UNet2DModel`. Missing keys get that class's defaults (v0.27);
 * keys that start with an underscore are only looked at for the class name.
 *
 * @throws {ArgumentError} naming the first key that is unknown or whose value is not supported.
 */
export function unetConfigFromDiffusers(json: unknown): UNetConfig {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    unexpected("the object of a UNet2DModel's config.json", json);
  }
  const source = json as Readonly<Record<string, unknown>>;
  const known = new Set(KEYS.map((field) => FIELDS[field].key));
  for (const [key, value] of Object.entries(source)) {
    if (key === "_class_name") oneOf("UNet2DModel")(key, value);
    else if (Object.hasOwn(INERT, key)) INERT[key](key, value);
    else if (!key.startsWith("_") && !known.has(key)) unexpected("a field of UNet2DModel", key);
  }
  return readFields(source, (field) => FIELDS[field].key);
}

/** Writes a config as the `config.json` that diffusers' `UNet2DModel` reads. */
export function unetConfigToDiffusers(config: UNetConfig): Record<string, unknown> {
  const entries = KEYS.map((field) => [FIELDS[field].key, config[field]]);
  return { _class_name: "UNet2DModel", ...Object.fromEntries(entries) };
}

/** Height and width of a config's images, or null if left open. */
export function sampleHeightWidth(config: UNetConfig): readonly [number, number] | null {
  const { sampleSize } = config;
  return typeof sampleSize === "number" ? [sampleSize, sampleSize] : sampleSize;
}
