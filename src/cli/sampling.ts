/**
 * Drawing images from a checkpoint with the reference.
 *
 * @module
 */
import { ArgumentError } from "../math/errors.ts";
import { normalTensor, streamOf } from "../math/noise.ts";
import { type Tensor, tensor } from "../math/tensor.ts";
import { type Clip, CLIP_TO_DATA } from "../reference/clip.ts";
import { selectTimesteps, type Spacing } from "../reference/respacing.ts";
import { sampleDdim, sampleDdpm } from "../reference/sample.ts";
import { createSchedule } from "../reference/schedule.ts";
import { unet } from "../reference/unet.ts";
import type { ScheduleConfig } from "../spec/schedule_config.ts";
import { sampleHeightWidth, type UNetConfig } from "../spec/unet_config.ts";
import type { Parameters } from "../spec/unet_parameters.ts";
import { networkTimes } from "./trainer.ts";

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
}

/** Samples that go through the network together; the images do not depend on it. */
const BATCH = 16;

/**
 * Draws samples number first..first + count − 1. Sample i starts from stream ("sample", i, 0) and
 * takes the z of time t from ("sample", i, t): it depends on the seed and i, never on the batch.
 *
 * @param onProgress called with the share of all work that is done, 0..1.
 * @returns shape `[count, C, H, W]`, values near [−1, 1].
 * @throws {ArgumentError} if the options do not fit the schedule, or the network does not predict ε of
 * images of a known size.
 */
export async function sampleImages(
  config: UNetConfig,
  parameters: Parameters,
  schedule: ScheduleConfig,
  options: SamplingOptions,
  onProgress: (share: number) => void = () => {},
): Promise<Tensor> {
  const { sampler, steps, spacing, eta, variance, seed, first, count } = options;
  const size = sampleHeightWidth(config);
  if (size === null) throw new ArgumentError("Expected a U-Net with a sample_size but got null");
  if (config.outChannels !== config.inChannels) {
    throw new ArgumentError(
      `Expected a U-Net that predicts ε, with ${config.inChannels} output channels, but got ` +
        `${config.outChannels}`,
    );
  }
  const { T } = createSchedule(schedule);
  const keep = selectTimesteps({ T, spacing, steps }).reverse();
  const respaced = createSchedule({ ...schedule, keep });
  const imageShape = [config.inChannels, ...size];
  const images: Float32Array[] = [];
  for (let start = 0; start < count; start += BATCH) {
    const N = Math.min(BATCH, count - start);
    const noiseAt = (t: number) =>
      normalTensor(
        seed,
        Array.from({ length: N }, (_, n) => streamOf("sample", first + start + n, t)),
        [N, ...imageShape],
      );
    const model = (x: Tensor, t: number) =>
      unet(config, parameters, x, networkTimes(new Array(N).fill(t)));
    const onStep = ({ step, steps }: { step: number; steps: number }) =>
      onProgress((start + N * step / steps) / count);
    const common = { clip: CLIPS[options.clip], onStep };
    const x0 = sampler === "ddpm"
      ? await sampleDdpm(respaced, model, noiseAt(0), noiseAt, { ...common, variance })
      : await sampleDdim(respaced, model, noiseAt(0), noiseAt, { ...common, eta });
    images.push(x0.data);
  }
  return tensor([count, ...imageShape], concatenated(images));
}

function concatenated(parts: readonly Float32Array[]): Float32Array {
  const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
