/**
 * Training of the classifier: cross-entropy, shifted images, Adam, an average of the weights.
 *
 * @module
 */
import type { ImageDataset } from "../data/image_dataset.ts";
import { scaleByte } from "../data/pixels.ts";
import { unexpected } from "../math/errors.ts";
import { permutation, streamOf, uniformDoubles } from "../math/noise.ts";
import { type Tensor, tensor } from "../math/tensor.ts";
import { adamStepAll, initialAdamState } from "../reference/adam.ts";
import { emaStepAll } from "../reference/ema.ts";
import { zerosLike } from "../reference/nn/zeros_like.ts";
import type { Parameters } from "../spec/unet_parameters.ts";
import { classify, initialClassifier } from "./classifier.ts";

/** How the shipped classifier was trained, but for seed and epochs. */
const BATCH = 64;
const PEAK_RATE = 3e-3;
const WARM_UP = 200;
const WEIGHT_DECAY = 0.02;
const EMA_DECAY = 0.995;
/** Pixels by which an image is moved at most, in each direction. */
const MAX_SHIFT = 2;

/** What a training run is made with. */
export interface ClassifierTraining {
  /** Seed of weights, order and shifts. */
  readonly seed: number;
  /** Passes over the data. */
  readonly epochs: number;
}

/** Told how far training is. */
export interface TrainingEvents {
  /** After every step, with the mean cross-entropy before it. */
  readonly onStep?: (step: number, steps: number, loss: number) => void;
  /** After every epoch, with the average of the weights so far. */
  readonly onEpoch?: (epoch: number, average: Parameters) => Promise<void> | void;
}

/** Steps of a run. */
export function stepsOf({ epochs }: ClassifierTraining, count: number): number {
  return epochs * Math.floor(count / BATCH);
}

/**
 * Trains a classifier from the start.
 *
 * Epoch e sees the images in the order of stream ("order", e, 0), in whole batches; each is moved by
 * whole pixels that stream ("flip", i, 0) of the i-th example of the run picks. The learning rate
 * climbs linearly, then falls to 0 as a cosine.
 *
 * @returns the exponential moving average of the weights.
 * @throws {ArgumentError} if the images are not 28×28 grey ones, or fewer than a batch.
 */
export async function trainClassifier(
  dataset: ImageDataset,
  training: ClassifierTraining,
  { onStep = () => {}, onEpoch = () => {} }: TrainingEvents = {},
): Promise<Parameters> {
  const { seed, epochs } = training;
  if (dataset.count < BATCH) unexpected(`at least ${BATCH} images`, dataset.count);
  const steps = stepsOf(training, dataset.count), perEpoch = Math.floor(dataset.count / BATCH);
  let state = initialAdamState(initialClassifier(seed));
  let average = state.params;
  let step = 0;
  for (let epoch = 0; epoch < epochs; epoch++) {
    const order = permutation(seed, streamOf("order", epoch, 0), dataset.count);
    for (let batch = 0; batch < perEpoch; batch++) {
      const indices = order.subarray(batch * BATCH, (batch + 1) * BATCH);
      const images = shiftedBatch(dataset, indices, seed, step * BATCH);
      const { logits, backward } = classify(state.params, images);
      const { loss, gradient } = crossEntropy(
        logits,
        Array.from(indices, (i) => dataset.labels[i]),
      );
      step++;
      state = adamStepAll(state, backward(gradient), step, {
        lr: rateAt(step, steps),
        weightDecay: WEIGHT_DECAY,
      });
      // Early on a slow average would remember the first weights: it starts as a plain mean.
      average = emaStepAll(average, state.params, Math.min(EMA_DECAY, 1 - 1 / step));
      onStep(step, steps, loss);
    }
    await onEpoch(epoch + 1, average);
  }
  return average;
}

function rateAt(step: number, steps: number): number {
  const warmUp = Math.min(WARM_UP, steps / 2);
  if (step < warmUp) return PEAK_RATE * step / warmUp;
  return PEAK_RATE * (1 + Math.cos(Math.PI * (step - warmUp) / (steps - warmUp))) / 2;
}

/**
 * Images scaled to [−1, 1] and moved by up to 2 pixels each way, black where nothing moves in.
 *
 * @param first number of the first example in the run: example i moves as stream ("flip", i, 0) says.
 * @returns shape `[N, C, H, W]`.
 */
export function shiftedBatch(
  dataset: ImageDataset,
  indices: Uint32Array,
  seed: number,
  first: number,
): Tensor {
  const [C, H, W] = dataset.imageShape;
  const batch = tensor(
    [indices.length, C, H, W],
    new Float32Array(indices.length * C * H * W).fill(-1),
  );
  indices.forEach((index, n) => {
    const [down, right] = uniformDoubles(seed, streamOf("flip", first + n, 0), 0, 2)
      .map((u) => Math.floor(u * (2 * MAX_SHIFT + 1)) - MAX_SHIFT);
    for (let row = 0; row < C * H; row++) {
      const y = row % H + down;
      if (y < 0 || y >= H) continue;
      for (let x = Math.max(0, right); x < Math.min(W, W + right); x++) {
        batch.data[((n * C * H) + row + down) * W + x] = scaleByte(
          dataset.pixels[(index * C * H + row) * W + x - right],
        );
      }
    }
  });
  return batch;
}

/**
 * Mean of −ln softmax(logits)[label], and its gradient (softmax − onehot)/N.
 *
 * @param logits `[N, K]`
 * @param labels N classes below K.
 */
export function crossEntropy(
  logits: Tensor,
  labels: readonly number[],
): { readonly loss: number; readonly gradient: Tensor } {
  const [N, K] = logits.shape;
  const gradient = zerosLike(logits);
  let loss = 0;
  labels.forEach((label, n) => {
    const row = logits.data.subarray(n * K, (n + 1) * K);
    const max = Math.max(...row);
    const sum = row.reduce((total, value) => total + Math.exp(value - max), 0);
    loss += (max - row[label] + Math.log(sum)) / N;
    row.forEach((value, k) => {
      gradient.data[n * K + k] = (Math.exp(value - max) / sum - (k === label ? 1 : 0)) / N;
    });
  });
  return { loss, gradient };
}
