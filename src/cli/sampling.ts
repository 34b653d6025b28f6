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
import type { ScheduleConfig } from "../spec/schedule_config.ts";
import { sampleHeightWidth, type UNetConfig } from "../spec/unet_config.ts";

/** How x̂_0 is kept in range, by name. */
export const CLIPS = {
  static: CLIP_TO_DATA,
  // The quantile of Saharia et al. 2022, and no limit that an image would reach.
  dynamic: { kind: "dynamic", quantile: 0.995, max: 1e3 },
  none: null,
} as const satisfies Record<string, Clip>;

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
}

/** Classifier-free guidance (Ho and Salimans 2022) and its rescaling (Lin et al. 2023, section 3.4). */
export interface Guidance {
  /** s: 1 is the conditional prediction, 0 the unconditional one. */
  readonly scale: number;
  /** φ in 0..1: how much of the conditional prediction's standard deviation is given back. */
  readonly rescale: number;
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

/** @throws {ArgumentError} if there are classes and the network takes none, or the other way round. */
function checkClasses(config: UNetConfig, classes: readonly number[] | null): void {
  const K = noClass(config);
  if (K === null) {
    if (classes !== null) {
      throw new ArgumentError(
        `Expected no classes for a network that takes none but got ${show(classes)}`,
      );
    }
    return;
  }
  if (classes === null || classes.length === 0) {
    throw new ArgumentError(`Expected classes for a network that takes them but got none`);
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
 * @throws {ArgumentError} if the classes do not fit the network.
 */
export async function sampleBatches(
  config: UNetConfig,
  { seed, first, count, batch, classes, guidance }: SamplingOptions,
  draw: (batch: SampleBatch) => Promise<Tensor>,
): Promise<Tensor> {
  const imageShape = imageShapeOf(config);
  checkClasses(config, classes);
  if (guidance !== null) {
    throw new ArgumentError("Expected no guidance: neither device has it yet");
  }
  const images = tensor([count, ...imageShape]);
  for (let start = 0; start < count; start += batch) {
    const N = Math.min(batch, count - start);
    const numbers = Array.from({ length: N }, (_, n) => first + start + n);
    const noiseAt = (t: number) =>
      normalTensor(seed, numbers.map((i) => streamOf("sample", i, t)), [N, ...imageShape]);
    const labels = classes === null ? undefined : numbers.map((i) => classes[i % classes.length]);
    const x0 = await draw({ noiseAt, classes: labels, N, start });
    images.data.set(x0.data, start * sizeOf(imageShape));
  }
  return images;
}
