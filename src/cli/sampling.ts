/**
 * What there is to draw from a checkpoint, and the noise that it is drawn from.
 *
 * @module
 */
import { ArgumentError } from "../math/errors.ts";
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

/** z of a batch's samples at time t; x_T at time 0. */
export type NoiseAt = (t: number) => Tensor;

/**
 * Draws samples batch by batch.
 *
 * @param draw images of N samples, the first of them number `start` of those that are asked for.
 * @returns shape `[count, C, H, W]`.
 */
export async function sampleBatches(
  config: UNetConfig,
  { seed, first, count, batch }: SamplingOptions,
  draw: (noiseAt: NoiseAt, N: number, start: number) => Promise<Tensor>,
): Promise<Tensor> {
  const imageShape = imageShapeOf(config);
  const images = tensor([count, ...imageShape]);
  for (let start = 0; start < count; start += batch) {
    const N = Math.min(batch, count - start);
    const noiseAt = (t: number) =>
      normalTensor(
        seed,
        Array.from({ length: N }, (_, n) => streamOf("sample", first + start + n, t)),
        [N, ...imageShape],
      );
    const x0 = await draw(noiseAt, N, start);
    images.data.set(x0.data, start * sizeOf(imageShape));
  }
  return images;
}
