/**
 * The flags of `train`.
 *
 * @module
 */
import { DEVICE_FLAGS } from "./device_flags.ts";
import type { Flag, FlagValues } from "./flags.ts";

const MAX = Number.MAX_SAFE_INTEGER;

/** Examples that a run can have: their numbers must fit a stream. */
export const MOST_EXAMPLES = 2 ** 28;

const WHAT = {
  preset: {
    kind: "choice",
    values: ["tiny", "mnist", "fashion", "cifar10"],
    default: "tiny",
    help:
      "Network, images and numbers: 115 thousand, 1.5 million (twice) or 36 million parameters.",
  },
  config: {
    kind: "text",
    placeholder: "FILE",
    help: "A U-Net of your own: a config.json as diffusers' UNet2DModel has it.",
  },
  init: {
    kind: "text",
    placeholder: "MODEL",
    help:
      "Begin with the network and weights of another run, a checkpoint or a folder of diffusers.",
  },
  dropout: {
    kind: "number",
    min: 0,
    max: 0.99,
    help: "Share of values dropped in the residual blocks (default: the network's).",
  },
  data: {
    kind: "text",
    placeholder: "FOLDER",
    help: "IDX files, CIFAR-10's binary batches, or PNG and JPEG images (default: the preset's).",
  },
  "image-size": {
    kind: "integer",
    min: 1,
    max: 4096,
    help: "Height and width that a folder's pictures are brought to (default: as they are).",
  },
  flip: {
    kind: "choice",
    values: ["on", "off"],
    help: "Whether every other image is mirrored left to right (default: the preset's).",
  },
} as const satisfies Record<string, Flag>;

const PROCESS = {
  schedule: {
    kind: "choice",
    values: ["linear", "quadratic", "sigmoid", "cosine"],
    default: "linear",
    help: "How noise grows with time.",
  },
  T: { kind: "integer", min: 2, max: 100_000, default: 1000, help: "Times of the process." },
  "beta-start": { kind: "number", min: 1e-12, max: 0.999, help: "First β (default 0.0001)." },
  "beta-end": { kind: "number", min: 1e-12, max: 0.999, help: "Last β (default 0.02)." },
  "zero-terminal-snr": {
    kind: "switch",
    help: "Rescale the schedule so that x_T is pure noise; not for ε.",
  },
  prediction: {
    kind: "choice",
    values: ["epsilon", "v", "x0"],
    default: "epsilon",
    help: "What the network predicts.",
  },
  loss: {
    kind: "choice",
    values: ["simple", "vlb", "min-snr", "p2"],
    default: "simple",
    help: "How the error is weighted over time.",
  },
} as const satisfies Record<string, Flag>;

const OPTIMISER = {
  seed: { kind: "integer", min: 0, max: MAX, default: 0, help: "Seed of everything random." },
  steps: {
    kind: "integer",
    min: 1,
    max: MOST_EXAMPLES,
    help: "Optimiser steps in all (default: the preset's; with --minutes: no end).",
  },
  minutes: {
    kind: "number",
    min: 0.01,
    max: 1e6,
    help: "Stop and finish after so many minutes of training.",
  },
  batch: {
    kind: "integer",
    min: 1,
    max: 1024,
    help: "Images per step (default: the preset's).",
  },
  accumulate: {
    kind: "integer",
    min: 1,
    max: 1024,
    default: 1,
    help: "Parts of a batch that does not fit on the device whole.",
  },
  lr: { kind: "number", min: 1e-9, max: 1, help: "Learning rate (default: the preset's)." },
  warmup: {
    kind: "integer",
    min: 0,
    max: MAX,
    help: "Steps of rising learning rate (default: the preset's).",
  },
  decay: {
    kind: "integer",
    min: 0,
    max: MAX,
    default: 0,
    help: "Step at which the learning rate, falling along a cosine, is 0; 0: it stays.",
  },
  beta1: { kind: "number", min: 0, max: 0.9999999, default: 0.9, help: "Adam's β₁." },
  beta2: { kind: "number", min: 0, max: 0.9999999, default: 0.999, help: "Adam's β₂." },
  "adam-eps": { kind: "number", min: 1e-30, max: 1, default: 1e-8, help: "Adam's ε." },
  "weight-decay": { kind: "number", min: 0, max: 1e3, default: 0, help: "AdamW's weight decay." },
  "clip-norm": { kind: "number", min: 1e-9, max: 1e9, default: 1, help: "Largest gradient norm." },
  "label-drop": {
    kind: "number",
    min: 0,
    max: 1,
    default: 0.1,
    help: "Share of images shown without their class, for guidance; of networks with classes.",
  },
  ema: {
    kind: "number",
    min: 0,
    max: 1,
    help: "Decay of the averaged weights (default: the preset's).",
  },
} as const satisfies Record<string, Flag>;

const RUN = {
  out: { kind: "text", placeholder: "FOLDER", help: "Folder of the run (default runs/PRESET)." },
  resume: { kind: "switch", help: "Go on with the run in that folder, exactly where it was." },
  "save-every": {
    kind: "integer",
    min: 1,
    max: MAX,
    help: "Steps between saves (default: the preset's).",
  },
  keep: { kind: "integer", min: 1, max: 1000, default: 2, help: "Checkpoints that are kept." },
  half: { kind: "switch", help: "Write the model's weights as float16, half the size." },
  eval: {
    kind: "integer",
    min: 0,
    max: 10000,
    default: 512,
    help: "Test images to judge by at the end.",
  },
  "sample-every": {
    kind: "integer",
    min: 0,
    max: MAX,
    help: "Steps between grids of samples; 0: none before the end (default: the preset's).",
  },
  samples: {
    kind: "integer",
    min: 0,
    max: 1024,
    help: "Samples to draw at the end (default 16, or 4 of each class).",
  },
  "sample-steps": {
    kind: "integer",
    min: 1,
    max: 1000,
    default: 100,
    help: "Steps to draw each of them with.",
  },
} as const satisfies Record<string, Flag>;

/** The flags of `train`. */
export const TRAIN_FLAGS = { ...WHAT, ...PROCESS, ...OPTIMISER, ...RUN, ...DEVICE_FLAGS } as const;

/** A command line of `train`. */
export interface TrainRequest {
  readonly values: FlagValues<typeof TRAIN_FLAGS>;
  readonly given: ReadonlySet<string>;
}
