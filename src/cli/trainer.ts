/**
 * What a training run is made of: the examples of each step, and one step of the optimiser.
 *
 * @module
 */
import { imageBatch, type ImageDataset } from "../data/image_dataset.ts";
import {
  normalTensor,
  permutation,
  randomInteger,
  streamOf,
  uniformDoubles,
} from "../math/noise.ts";
import type { Tensor } from "../math/tensor.ts";
import { adamStepAll } from "../reference/adam.ts";
import { emaStepAll } from "../reference/ema.ts";
import { qSample } from "../reference/forward.ts";
import { clipGradNormAll } from "../reference/grad_norm.ts";
import type { Schedule } from "../reference/schedule.ts";
import { unetBackward, unetForward } from "../reference/unet.ts";
import type { TrainingState } from "../spec/checkpoint.ts";
import type { UNetConfig } from "../spec/unet_config.ts";
import { initialParameters, type Parameters, zeroParameters } from "../spec/unet_parameters.ts";
import { exampleWeights, type Objective, SIMPLE, targetOf, weightedLoss } from "./objective.ts";

/** The examples of one optimiser step. */
export interface TrainBatch {
  /** Images, `[N, C, H, W]`. */
  readonly x0: Tensor;
  /** The paper's time of each, 1..T. */
  readonly times: readonly number[];
  /** ε of each, shaped like `x0`. */
  readonly noise: Tensor;
  /** The number of each example in the run: what its dropout masks are drawn from. */
  readonly items: readonly number[];
  /** The class that each is shown with, if the network takes any; `dataset.classes` means none. */
  readonly classes?: readonly number[];
}

/** What moves the weights: one setting of a run. */
export interface OptimiserOptions {
  /** Learning rate after the warm-up. */
  readonly lr: number;
  /** Steps over which the learning rate rises from 0. */
  readonly warmup: number;
  /** Step at which the learning rate, falling along a cosine, is 0 again; 0 if it stays. */
  readonly decay: number;
  /** Decay of Adam's first moment. Default 0.9. */
  readonly beta1?: number;
  /** Decay of Adam's second moment. Default 0.999. */
  readonly beta2?: number;
  /** ε of Adam. Default 1e−8. */
  readonly eps?: number;
  /** Weight decay of AdamW. Default 0. */
  readonly weightDecay?: number;
  /** Decay of the averaged weights, reached from below as the run gets long enough. */
  readonly ema: number;
  /** Global norm that gradients are clipped to. */
  readonly clipNorm: number;
}

/** Weights, their average and the optimiser's moments between two steps. */
export interface RunState extends TrainingState {
  /** Averaged weights. */
  readonly ema: Parameters;
}

/**
 * The state before the first step: weights of a trained model, or else drawn from the seed, the average
 * a copy, moments zero.
 */
export function initialState(
  config: UNetConfig,
  seed: number,
  model: Parameters = initialParameters(config, seed),
): RunState {
  const zeros = zeroParameters(model);
  return { model, ema: model, m: zeros, v: zeros };
}

/** How examples are made of images. */
export interface ExampleOptions {
  /**
   * Share of the examples whose class is withheld (Ho and Salimans 2022, algorithm 1); null for a network
   * without classes. Default null.
   */
  readonly labelDrop?: number | null;
  /** Whether each example is mirrored left to right with a chance of one half. Default false. */
  readonly flip?: boolean;
}

/**
 * The examples of step `step` (counted from 0). Example number e = step·N + n of the run has its
 * image, time, noise, mirroring and the withholding of its class from streams of its own, so nothing depends on how a run is cut into batches.
 * Every epoch takes the images in an order of its own.
 */
export function trainBatch(
  dataset: ImageDataset,
  schedule: Schedule,
  seed: number,
  step: number,
  N: number,
  { labelDrop = null, flip = false }: ExampleOptions = {},
): TrainBatch {
  const items = Array.from({ length: N }, (_, n) => step * N + n);
  const noise = normalTensor(
    seed,
    items.map((item) => streamOf("noise", item, 0)),
    [N, ...dataset.imageShape],
  );
  const times = items.map((item) =>
    schedule.timesteps[randomInteger(seed, streamOf("time", item, 0), schedule.timesteps.length)]
  );
  const images = imagesOf(dataset, seed, items);
  const chance = (purpose: "flip" | "labelDrop", item: number): number =>
    uniformDoubles(seed, streamOf(purpose, item, 0), 0, 1)[0];
  const mirrored = flip ? items.map((item) => chance("flip", item) < 0.5) : undefined;
  const x0 = imageBatch(dataset, images, { flip: mirrored });
  const batch = { x0, times, noise, items };
  if (labelDrop === null) return batch;
  const classes = items.map((item, n) =>
    chance("labelDrop", item) < labelDrop ? dataset.classes : dataset.labels[images[n]]
  );
  return { ...batch, classes };
}

/** The images of some examples: position e mod count in the order of epoch ⌊e/count⌋. */
function imagesOf(dataset: ImageDataset, seed: number, items: readonly number[]): number[] {
  const { count } = dataset;
  const orders = new Map<number, Uint32Array>();
  return items.map((item) => {
    const epoch = Math.floor(item / count);
    const order = orders.get(epoch) ?? epochOrder(seed, epoch, count);
    orders.set(epoch, order);
    return order[item % count];
  });
}

/** The order of an epoch, kept for the steps after this one: drawing 60,000 places takes a while. */
let lastOrder: { key: string; order: Uint32Array } | null = null;

function epochOrder(seed: number, epoch: number, count: number): Uint32Array {
  const key = `${seed} ${epoch} ${count}`;
  if (lastOrder?.key !== key) {
    lastOrder = { key, order: permutation(seed, streamOf("order", epoch, 0), count) };
  }
  return lastOrder.order;
}

/** What one step of training leaves. */
export interface TrainStepResult {
  /** The state after it. */
  readonly state: RunState;
  /** The loss before it. */
  readonly loss: number;
  /** Mean squared error of each example before it, without its weight. */
  readonly losses: readonly number[];
  /** Global norm of the gradient, before clipping. */
  readonly gradNorm: number;
}

/**
 * One step of training (Ho et al. 2020, algorithm 1) with gradient clipping, Adam and the average of the
 * weights.
 *
 * @param step number of this step; the first is 1.
 */
export function trainStep(
  config: UNetConfig,
  schedule: Schedule,
  seed: number,
  state: RunState,
  batch: TrainBatch,
  step: number,
  options: OptimiserOptions,
  objective: Objective = SIMPLE,
): TrainStepResult {
  const xt = qSample(schedule, batch.times, batch.x0, batch.noise);
  const { output, tape } = unetForward(config, state.model, xt, networkTimes(batch.times), {
    dropout: { seed, items: batch.items },
    classLabels: batch.classes,
  });
  const target = targetOf(schedule, objective, batch);
  const loss = weightedLoss(target, output, exampleWeights(schedule, objective, batch.times));
  const { gradients, norm } = clipGradNormAll(
    unetBackward(tape, loss.gradient).gradients,
    options.clipNorm,
  );
  const { beta1, beta2, eps, weightDecay } = options;
  const adam = { lr: learningRate(options, step), beta1, beta2, eps, weightDecay };
  const next = adamStepAll({ params: state.model, m: state.m, v: state.v }, gradients, step, adam);
  const ema = emaStepAll(state.ema, next.params, emaDecay(options.ema, step));
  return {
    state: { model: next.params, m: next.m, v: next.v, ema },
    loss: loss.mean,
    losses: loss.losses,
    gradNorm: norm,
  };
}

/** The network counts times from 0, the paper from 1. */
export function networkTimes(times: readonly number[]): number[] {
  return times.map((t) => t - 1);
}

/** The learning rate of a step: it rises over the warm-up, and stays or falls along half a cosine. */
export function learningRate({ lr, warmup, decay }: OptimiserOptions, step: number): number {
  if (step <= warmup || decay === 0) return lr * Math.min(1, step / Math.max(1, warmup));
  const share = Math.min(1, (step - warmup) / Math.max(1, decay - warmup));
  return lr * 0.5 * (1 + Math.cos(Math.PI * share));
}

/** min(decay, (1 + step)/(10 + step)): a young average must forget its random start sooner. */
export function emaDecay(decay: number, step: number): number {
  return Math.min(decay, (1 + step) / (10 + step));
}
