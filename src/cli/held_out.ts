/**
 * The loss on images that a model has not seen.
 *
 * @module
 */
import { imageBatch, type ImageDataset } from "../data/image_dataset.ts";
import { normalTensor, randomInteger, streamOf } from "../math/noise.ts";
import type { Tensor } from "../math/tensor.ts";
import { qSample } from "../reference/forward.ts";
import { lossSimple } from "../reference/loss.ts";
import { convert } from "../reference/parameterisation.ts";
import type { Schedule } from "../reference/schedule.ts";
import type { TrainedPrediction } from "../spec/checkpoint.ts";

/** Seed of every evaluation, so that the figures of all runs can be compared. */
const EVALUATION_SEED = 0;
/** Images that a model is given at once, at most. */
export const HELD_OUT_BATCH = 16;

/** What a network predicts for a batch with one time (the paper's) and class per sample. */
export type BatchModel = (
  xt: Tensor,
  times: readonly number[],
  classes: readonly number[],
) => Tensor | Promise<Tensor>;

/**
 * L_simple of a model, mean over elements, on the first `count` images of a dataset it has not seen.
 * Image i always meets the same time and noise: those of streams ("evaluate", i, 0) and (…, 1).
 *
 * @param onImages called with the number of images done so far.
 * @param prediction what the model's output stands for; ε̂ is worked out from it.
 */
export async function heldOutLoss(
  model: BatchModel,
  schedule: Schedule,
  dataset: ImageDataset,
  count: number,
  onImages: (done: number) => void = () => {},
  prediction: TrainedPrediction = "epsilon",
): Promise<number> {
  let sum = 0, elements = 0;
  for (let start = 0; start < count; start += HELD_OUT_BATCH) {
    const indices = Array.from(
      { length: Math.min(HELD_OUT_BATCH, count - start) },
      (_, k) => start + k,
    );
    const x0 = imageBatch(dataset, indices);
    const times = indices.map((i) => {
      const stream = streamOf("evaluate", i, 0);
      return schedule.timesteps[
        randomInteger(EVALUATION_SEED, stream, schedule.timesteps.length)
      ];
    });
    const streams = indices.map((i) => streamOf("evaluate", i, 1));
    const noise = normalTensor(EVALUATION_SEED, streams, x0.shape);
    const classes = indices.map((i) => dataset.labels[i]);
    const xt = qSample(schedule, times, x0, noise);
    const output = await model(xt, times, classes);
    const loss = lossSimple(noise, convert(schedule, times, xt, prediction, "epsilon", output));
    sum += loss.sum;
    elements += noise.data.length;
    onImages(start + indices.length);
  }
  return sum / elements;
}
