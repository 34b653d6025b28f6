/**
 * The flags of `train`, and a run made or gone on with from them.
 *
 * @module
 */
import type { ImageDataset } from "../data/image_dataset.ts";
import type { Checkpoint, RunOptions, TrainingState } from "../spec/checkpoint.ts";
import { DDPM_SCHEDULE } from "../spec/schedule_config.ts";
import {
  sampleHeightWidth,
  type UNetConfig,
  unetConfigFromDiffusers,
  unetConfigToDiffusers,
} from "../spec/unet_config.ts";
import { MNIST_CLASSES, MNIST_TINY } from "../spec/unet_presets.ts";
import { DEVICE_FLAGS } from "./device_flags.ts";
import type { Flag, FlagValues } from "./flags.ts";
import { exists, readCheckpoint, runFile } from "./run_folder.ts";
import { FailureError, UsageError } from "./terminal.ts";
import { initialState, type OptimiserOptions } from "./trainer.ts";

const MAX = Number.MAX_SAFE_INTEGER;

/** The flags of `train`. */
export const TRAIN_FLAGS = {
  preset: {
    kind: "choice",
    values: ["tiny", "mnist"],
    default: "tiny",
    help: "U-Net of 115 thousand (tiny) or 1 million parameters.",
  },
  config: {
    kind: "text",
    placeholder: "FILE",
    help: "A U-Net of your own: a config.json as diffusers' UNet2DModel has it.",
  },
  data: {
    kind: "text",
    placeholder: "FOLDER",
    help: "Folder with the four IDX files of MNIST or its kin (default: the real MNIST).",
  },
  seed: { kind: "integer", min: 0, max: MAX, default: 0, help: "Seed of everything random." },
  steps: { kind: "integer", min: 1, max: 2 ** 28, default: 1000, help: "Optimiser steps in all." },
  batch: { kind: "integer", min: 1, max: 1024, default: 8, help: "Images per step." },
  accumulate: {
    kind: "integer",
    min: 1,
    max: 1024,
    default: 1,
    help: "Parts of a batch that does not fit on the device whole.",
  },
  lr: { kind: "number", min: 1e-9, max: 1, default: 3e-3, help: "Learning rate." },
  warmup: {
    kind: "integer",
    min: 0,
    max: MAX,
    default: 50,
    help: "Steps of rising learning rate.",
  },
  decay: {
    kind: "integer",
    min: 0,
    max: MAX,
    default: 0,
    help: "Step at which the learning rate, falling along a cosine, is 0 (default: it stays).",
  },
  "label-drop": {
    kind: "number",
    min: 0,
    max: 1,
    default: 0.1,
    help: "Share of images shown without their class, for guidance; of networks with classes.",
  },
  ema: { kind: "number", min: 0, max: 1, default: 0.99, help: "Decay of the averaged weights." },
  "clip-norm": { kind: "number", min: 1e-9, max: 1e9, default: 1, help: "Largest gradient norm." },
  out: { kind: "text", placeholder: "FOLDER", help: "Folder of the run (default runs/PRESET)." },
  resume: { kind: "switch", help: "Go on with the run in that folder, exactly where it was." },
  "save-every": { kind: "integer", min: 1, max: MAX, default: 100, help: "Steps between saves." },
  eval: {
    kind: "integer",
    min: 0,
    max: 10000,
    default: 512,
    help: "Test images to judge by at the end.",
  },
  samples: {
    kind: "integer",
    min: 0,
    max: 1024,
    default: 16,
    help: "Samples to draw at the end.",
  },
  "sample-steps": {
    kind: "integer",
    min: 1,
    max: 1000,
    default: 100,
    help: "Steps to draw each of them with.",
  },
  ...DEVICE_FLAGS,
} as const satisfies Record<string, Flag>;

/** A command line of `train`. */
export interface TrainRequest {
  readonly values: FlagValues<typeof TRAIN_FLAGS>;
  readonly given: ReadonlySet<string>;
}

/** A run about to train. */
export interface Run {
  readonly folder: string;
  readonly checkpoint: Checkpoint & { readonly training: TrainingState };
  readonly batch: number;
  /** Parts of a batch. */
  readonly accumulate: number;
  readonly optimiser: OptimiserOptions;
  /** Share of images shown without their class; null for a network without classes. */
  readonly labelDrop: number | null;
}

/** Flags that a run keeps for life, with the names that its checkpoint knows them by. */
const LASTING = [
  "batch",
  "accumulate",
  "lr",
  "warmup",
  "decay",
  "ema",
  "clip-norm",
  "label-drop",
] as const;

/** Values that a checkpoint does not write down. */
const UNWRITTEN: RunOptions = { accumulate: 1, decay: 0, "label-drop": 0.1 };

/**
 * The run that a command line asks for: a new one, or with `--resume` the one in its folder with its
 * own options.
 *
 * @throws {UsageError} if the folder holds a run and `--resume` is missing, or flags contradict it.
 * @throws {FailureError} if there is nothing to go on from, or it does not fit the data.
 */
export async function startRun(request: TrainRequest, dataset: ImageDataset): Promise<Run> {
  const { values } = request;
  const folder = values.out ?? `runs/${values.config === undefined ? values.preset : "custom"}`;
  const file = runFile(folder, "checkpoint");
  const checkpoint = values.resume
    ? await resumed(request, folder)
    : await started(request, dataset, file);
  checkFits(checkpoint, dataset);
  await Deno.mkdir(folder, { recursive: true });
  const option = (name: typeof LASTING[number]) => numberOption(checkpoint.train, name, file);
  return {
    folder,
    checkpoint,
    batch: option("batch"),
    accumulate: option("accumulate"),
    optimiser: {
      lr: option("lr"),
      warmup: option("warmup"),
      decay: option("decay"),
      ema: option("ema"),
      clipNorm: option("clip-norm"),
    },
    labelDrop: checkpoint.unet.numClassEmbeds === null ? null : option("label-drop"),
  };
}

type Resumable = Run["checkpoint"];

async function started(
  { values }: TrainRequest,
  dataset: ImageDataset,
  file: string,
): Promise<Resumable> {
  if (await exists(file)) {
    throw new UsageError(
      `Expected a new run but found ${file}: go on with it by --resume, or choose another --out`,
    );
  }
  if (values.batch % values.accumulate !== 0) {
    throw new UsageError(
      `Expected --accumulate to divide --batch ${values.batch} but got ${values.accumulate}`,
    );
  }
  const unet = await networkOf(values);
  const { ema, ...training } = initialState(unet, values.seed);
  const train: RunOptions = {
    images: dataset.count,
    ...Object.fromEntries(
      LASTING.filter((name) => values[name] !== UNWRITTEN[name]).map((
        name,
      ) => [name, values[name]]),
    ),
  };
  return { unet, schedule: DDPM_SCHEDULE, step: 0, seed: values.seed, train, ema, training };
}

async function networkOf(values: TrainRequest["values"]): Promise<UNetConfig> {
  if (values.config === undefined) return values.preset === "tiny" ? MNIST_TINY : MNIST_CLASSES;
  try {
    return unetConfigFromDiffusers(JSON.parse(await Deno.readTextFile(values.config)));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new FailureError(`Expected a U-Net config in ${values.config}. ${reason}`);
  }
}

async function resumed(request: TrainRequest, folder: string): Promise<Resumable> {
  const { values, given } = request;
  const { file, checkpoint } = await readCheckpoint(runFile(folder, "checkpoint"));
  const { training, train, seed, step } = checkpoint;
  if (training === undefined) {
    throw new FailureError(
      `Expected a checkpoint to go on training from but ${file} only holds weights to sample from`,
    );
  }
  const kept: Record<string, unknown> = { ...UNWRITTEN, ...train, seed };
  for (const name of [...LASTING, "seed"] as const) {
    if (given.has(name) && values[name] !== kept[name]) {
      throw new UsageError(
        `Expected --${name} ${kept[name]}, as the run in ${folder} began, but got ${values[name]}`,
      );
    }
  }
  if (given.has("preset") || given.has("config")) {
    const json = (config: UNetConfig) => JSON.stringify(unetConfigToDiffusers(config));
    if (json(await networkOf(values)) !== json(checkpoint.unet)) {
      throw new UsageError(
        `Expected the U-Net that the run in ${folder} began with but got another`,
      );
    }
  }
  if (step >= values.steps) {
    throw new UsageError(
      `Expected --steps above ${step}, which the run in ${folder} has done, but got ${values.steps}`,
    );
  }
  return { ...checkpoint, training };
}

/** Checks that a network takes the images of a dataset, and a run its number of them. */
function checkFits({ unet, train }: Checkpoint, dataset: ImageDataset): void {
  const [C, H, W] = dataset.imageShape;
  const size = sampleHeightWidth(unet);
  if (unet.inChannels !== C || unet.outChannels !== C || size?.[0] !== H || size?.[1] !== W) {
    throw new FailureError(
      `Expected a U-Net for images of ${C} channel and ${H}×${W} pixels but got one for ` +
        `${unet.inChannels} channels in, ${unet.outChannels} out and size ${size?.join("×")}`,
    );
  }
  const classes = unet.numClassEmbeds ?? dataset.classes + 1;
  if (classes !== dataset.classes + 1) {
    throw new FailureError(
      `Expected a U-Net for ${dataset.classes} classes and "no class", so with num_class_embeds ` +
        `${dataset.classes + 1}, but got ${classes}`,
    );
  }
  if (train.images !== dataset.count) {
    throw new FailureError(
      `Expected the ${train.images} images that the run began with but got ${dataset.count}`,
    );
  }
}

function numberOption(train: RunOptions, name: string, file: string): number {
  const value = train[name] ?? UNWRITTEN[name];
  if (typeof value === "number") return value;
  throw new FailureError(`Expected the run's ${name} in the checkpoint ${file} but got ${value}`);
}
