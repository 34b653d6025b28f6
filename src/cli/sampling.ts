/**
 * What there is to draw from a checkpoint, and the noise that it is drawn from.
 *
 * @module
 */
import { ArgumentError, checkInteger, show } from "../math/errors.ts";
import { normalTensor, streamOf } from "../math/noise.ts";
import { sizeOf, type Tensor, tensor } from "../math/tensor.ts";
import { type Clip, CLIP_TO_DATA } from "../reference/clip.ts";
import { selectTimesteps, type Spacing } from "../reference/respacing.ts";
import { createSchedule, type Schedule } from "../reference/schedule.ts";
import { slerp } from "../reference/slerp.ts";
import type { TrainedPrediction } from "../spec/checkpoint.ts";
import type { ScheduleConfig } from "../spec/schedule_config.ts";
import { sampleHeightWidth, type UNetConfig } from "../spec/unet_config.ts";

/** How x̂_0 is kept in range, by name. */
export const CLIPS = {
  static: CLIP_TO_DATA,
  // The quantile of Saharia et al. 2022, and no limit that an image would reach.
  dynamic: { kind: "dynamic", quantile: 0.995, max: 1e3 },
  none: null,
} as const satisfies Record<string, Clip>;

/** Scale of guidance for models with classes, unless told otherwise: digits get clearer, and stay varied. */
export const DEFAULT_GUIDANCE = 1.4;

/** What to draw, and how. */
export interface SamplingOptions {
  /** The process: DDPM's own or DDIM's. */
  readonly sampler: "ddpm" | "ddim";
  /** Times to visit, out of the schedule's T. */
  readonly steps: number;
  /** The rule by which they are picked. */
  readonly spacing: Spacing;
  /** DDIM's η. */
  readonly eta: number;
  /** DDPM's variance. */
  readonly variance: "beta" | "betaTilde";
  /** How x̂_0 is kept in range. */
  readonly clip: keyof typeof CLIPS;
  /** Seed of the noise. */
  readonly seed: number;
  /** Number of the first sample. */
  readonly first: number;
  /** How many samples. */
  readonly count: number;
  /** Samples that go through the network together; no image depends on it. */
  readonly batch: number;
  /** Sample i is drawn of class i mod length of this list; null for a network without classes. */
  readonly classes: readonly number[] | null;
  /** How far samples are pushed towards their class; null for as the network says. */
  readonly guidance: Guidance | null;
  /** What the network's output stands for. Default `epsilon`. */
  readonly prediction?: TrainedPrediction;
  /** Set where samples go from one noise to another, row by row. */
  readonly interpolate?: Interpolation;
}

/** Classifier-free guidance (Ho and Salimans 2022) and its rescaling (Lin et al. 2023, section 3.4). */
export interface Guidance {
  /** s: 1 is the conditional prediction, 0 the unconditional one. */
  readonly scale: number;
  /** φ in 0..1: how much of the conditional prediction's standard deviation is given back. */
  readonly rescale: number;
}

/**
 * Rows of samples between two noises (Song et al. 2021, section 5.3): sample i starts at fraction
 * (i mod columns)/(columns − 1) of the way from noise ⌊i/columns⌋ of the one seed to that of the other, and
 * classes go by rows.
 */
export interface Interpolation {
  /** Seed of the noises at the right ends. */
  readonly seed: number;
  /** Samples per row, both ends included. */
  readonly columns: number;
}

/** The process that samples are drawn by. */
export interface SamplingProcess {
  /** The schedule, of the times to visit alone. */
  readonly respaced: Schedule;
  /** `[C, H, W]` */
  readonly imageShape: readonly [C: number, H: number, W: number];
}

/**
 * The times to visit and the images to draw.
 *
 * @throws {ArgumentError} if the options do not fit the schedule, or the network does not predict ε of
 * images of a known size.
 */
export function samplingProcess(
  config: UNetConfig,
  schedule: ScheduleConfig,
  { steps, spacing }: Pick<SamplingOptions, "steps" | "spacing">,
): SamplingProcess {
  const { T } = createSchedule(schedule);
  const keep = selectTimesteps({ T, spacing, steps }).reverse();
  return {
    respaced: createSchedule({ ...schedule, keep }),
    imageShape: imageShapeOf(config),
  };
}

function imageShapeOf(config: UNetConfig): readonly [C: number, H: number, W: number] {
  const size = sampleHeightWidth(config);
  if (size === null) throw new ArgumentError("Expected a U-Net with a sample_size but got null");
  if (config.outChannels !== config.inChannels) {
    throw new ArgumentError(
      `Expected a U-Net that predicts ε, with ${config.inChannels} output channels, but got ` +
        `${config.outChannels}`,
    );
  }
  return [config.inChannels, ...size];
}

/** The class that stands for "no class": the last row of the table, as training withholds labels. */
export function noClass(config: UNetConfig): number | null {
  if (config.classEmbedType !== null) {
    throw new ArgumentError(
      `Expected a U-Net with a table of classes, or without classes, but got class_embed_type ` +
        config.classEmbedType,
    );
  }
  return config.numClassEmbeds === null ? null : config.numClassEmbeds - 1;
}

/** Every class of a network but "no class", in order; null if it takes none. */
export function allClasses(config: UNetConfig): readonly number[] | null {
  const K = noClass(config);
  return K === null ? null : Array.from({ length: K }, (_, k) => k);
}

function checkClasses(
  config: UNetConfig,
  { classes, guidance }: Pick<SamplingOptions, "classes" | "guidance">,
): void {
  const K = noClass(config);
  if (K === null) {
    if (classes === null && guidance === null) return;
    throw new ArgumentError(
      `Expected no ${classes === null ? "guidance" : "classes"} for a network without classes ` +
        `but got ${show(classes ?? guidance)}`,
    );
  }
  if (classes === null || classes.length === 0) {
    throw new ArgumentError(`Expected classes for a network with classes but got ${show(classes)}`);
  }
  for (const label of classes) checkInteger("class", label, 0, K);
}

/** One batch of the samples that are asked for. */
export interface SampleBatch {
  /** z of its samples at time t; x_T at time 0. */
  readonly noiseAt: (t: number) => Tensor;
  /** The class of each of them; undefined if the network takes none. */
  readonly classes: readonly number[] | undefined;
  /** How many they are. */
  readonly N: number;
  /** Which of those that are asked for is their first, from 0. */
  readonly start: number;
}

/**
 * Draws samples batch by batch.
 *
 * @param draw images of a batch.
 * @returns shape `[count, C, H, W]`.
 * @throws {ArgumentError} if the classes or guidance do not fit the network.
 */
export async function sampleBatches(
  config: UNetConfig,
  options: SamplingOptions,
  draw: (batch: SampleBatch) => Promise<Tensor>,
): Promise<Tensor> {
  const imageShape = imageShapeOf(config);
  checkClasses(config, options);
  const { seed, first, count, batch } = options;
  const images = tensor([count, ...imageShape]);
  for (let start = 0; start < count; start += batch) {
    const N = Math.min(batch, count - start);
    const numbers = Array.from({ length: N }, (_, n) => first + start + n);
    const noiseAt = (t: number) =>
      t === 0
        ? startNoise(options, numbers, imageShape)
        : sampleNoise(seed, numbers, t, imageShape);
    const x0 = await draw({ noiseAt, classes: classesOf(options, numbers), N, start });
    images.data.set(x0.data, start * sizeOf(imageShape));
  }
  return images;
}

/** The class of samples by their numbers; undefined if the network takes none. */
export function classesOf(
  { classes, interpolate }: Pick<SamplingOptions, "classes" | "interpolate">,
  numbers: readonly number[],
): readonly number[] | undefined {
  const perClass = interpolate?.columns ?? 1;
  return classes === null
    ? undefined
    : numbers.map((i) => classes[Math.floor(i / perClass) % classes.length]);
}

/** Normals of samples by their numbers, `[N, C, H, W]`. */
function sampleNoise(
  seed: number,
  numbers: readonly number[],
  t: number,
  imageShape: readonly number[],
): Tensor {
  const streams = numbers.map((i) => streamOf("sample", i, t));
  return normalTensor(seed, streams, [numbers.length, ...imageShape]);
}

/** x_T of samples by their numbers. */
function startNoise(
  { seed, interpolate }: SamplingOptions,
  numbers: readonly number[],
  imageShape: readonly number[],
): Tensor {
  if (interpolate === undefined) return sampleNoise(seed, numbers, 0, imageShape);
  const { seed: other, columns } = interpolate;
  const xT = tensor([numbers.length, ...imageShape]);
  numbers.forEach((i, n) => {
    const row = [Math.floor(i / columns)];
    const [a, b] = [seed, other].map((of) => sampleNoise(of, row, 0, imageShape));
    xT.data.set(slerp(a, b, (i % columns) / (columns - 1)).data, n * sizeOf(imageShape));
  });
  return xT;
}
