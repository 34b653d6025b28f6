/**
 * The variational bound on −log₂ p(x_0) of a model, per dimension, over images it has not seen.
 *
 * @module
 */
import { imageBatch, type ImageDataset } from "../data/image_dataset.ts";
import { checkInteger } from "../math/errors.ts";
import { normalTensor, streamOf, uniformDoubles } from "../math/noise.ts";
import type { Tensor } from "../math/tensor.ts";
import { qSample } from "../reference/forward.ts";
import { priorKl, type VlbOptions, vlbTerm } from "../reference/likelihood.ts";
import type { Schedule } from "../reference/schedule.ts";

/** The network's output for a batch with one time (the paper's) and class per sample. */
export type BoundModel = (
  xt: Tensor,
  times: readonly number[],
  classes: readonly number[],
) => Tensor | Promise<Tensor>;

/** Which terms of the bound, over which images. */
export interface BoundOptions extends VlbOptions {
  /** Number of images, the first of the dataset. */
  readonly images: number;
  /** 1 computes every term; K draws one time out of every K successive ones and counts it K times. */
  readonly every: number;
  /** Images that the model is given at once; no figure depends on it. */
  readonly batch: number;
}

/** The bound in bits per dimension, mean over images, and its parts. */
export interface BoundInBits {
  /** L = L_0 + Σ_{t=2..T} L_{t−1} + L_T. */
  readonly total: number;
  /** Standard error of `total` over the images, from their spread; null for one image. */
  readonly standardError: number | null;
  /** L_0, the cost of the pixels' levels given x_1. */
  readonly decoder: number;
  /** L_1 + … + L_{T−1}, the divergences of the steps between. */
  readonly steps: number;
  /** L_T, what the forward process leaves of an image. */
  readonly prior: number;
  /** Terms that were computed for each image, out of T: L_0 and those of `steps`. */
  readonly terms: number;
}

/** Seed of every evaluation, so that the figures of all models can be compared. */
const SEED = 0;
/** Slots of the stream ("evaluate", image): the times that are drawn, and from here on the noise of time t. */
const TIMES = 2, NOISE = 3;

/**
 * The bound L = L_T + Σ_{t>1} L_{t−1} + L_0 (Ho et al. 2020, eq. 5) with one draw of x_t per image and
 * time. With `every` > 1 the times above the first are cut into runs of K from below; each image draws
 * one time of each run, uniformly and by itself, and its term counts as often as the run is long: the
 * expectation is the sum of all terms. L_0 and L_T are always computed.
 *
 * Noise and times of image i come from stream ("evaluate", i, …): no figure depends on the batch, and
 * two models meet the same.
 *
 * @param onImages called with how many images are done, fractions included.
 * @throws {ArgumentError} if there are fewer images, or as `vlbTerm` does.
 */
export async function boundInBits(
  model: BoundModel,
  schedule: Schedule,
  dataset: ImageDataset,
  { images, every, batch, ...options }: BoundOptions,
  onImages: (done: number) => void = () => {},
): Promise<BoundInBits> {
  checkInteger("images", images, 1, dataset.count);
  checkInteger("every", every, 1, schedule.timesteps.length);
  const runs = runsOf(schedule, every);
  const decoder = new Float64Array(images), steps = new Float64Array(images);
  const prior = new Float64Array(images);
  for (let start = 0; start < images; start += batch) {
    const indices = Array.from({ length: Math.min(batch, images - start) }, (_, k) => start + k);
    const x0 = imageBatch(dataset, indices);
    const classes = indices.map((i) => dataset.labels[i]);
    prior.set(priorKl(schedule, x0), start);
    const draws = indices.map((i) =>
      uniformDoubles(SEED, streamOf("evaluate", i, TIMES), 0, runs.length)
    );
    for (const [r, run] of runs.entries()) {
      const times = draws.map((u) => run[Math.floor(u[r] * run.length)]);
      const streams = indices.map((i, n) => streamOf("evaluate", i, NOISE + times[n]));
      const xt = qSample(schedule, times, x0, normalTensor(SEED, streams, x0.shape));
      const terms = vlbTerm(schedule, times, x0, xt, await model(xt, times, classes), options);
      const into = r === 0 ? decoder : steps;
      terms.forEach((bits, n) => into[start + n] += run.length * bits);
      onImages(start + indices.length * (r + 1) / runs.length);
    }
  }
  const totals = decoder.map((bits, i) => bits + steps[i] + prior[i]);
  return {
    total: meanOf(totals),
    standardError: images === 1 ? null : standardErrorOf(totals),
    decoder: meanOf(decoder),
    steps: meanOf(steps),
    prior: meanOf(prior),
    terms: runs.length,
  };
}

/** The first time by itself, then the others in runs of `every`, the last of which may be shorter. */
function runsOf(schedule: Schedule, every: number): readonly (readonly number[])[] {
  const [first, ...others] = schedule.timesteps;
  const runs: number[][] = [[first]];
  for (let i = 0; i < others.length; i += every) runs.push(others.slice(i, i + every));
  return runs;
}

function meanOf(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function standardErrorOf(values: Float64Array): number {
  const mean = meanOf(values), n = values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1) / n);
}
