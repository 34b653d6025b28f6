/**
 * A training run made or gone on with as a command line says.
 *
 * @module
 */
import type { ImageDataset } from "../data/image_dataset.ts";
import type { Checkpoint, RunOptions, TrainingState } from "../spec/checkpoint.ts";
import type { ScheduleConfig } from "../spec/schedule_config.ts";
import { type UNetConfig, unetConfigToDiffusers } from "../spec/unet_config.ts";
import { LOSSES, type Objective } from "./objective.ts";
import { readModel } from "./read_model.ts";
import { type FoundCheckpoint, holdsRun, readCheckpoint } from "./run_folder.ts";
import { FailureError, UsageError } from "./terminal.ts";
import { checkImages, imageRecord, type ImageSource, openImages } from "./train_data.ts";
import { MOST_EXAMPLES, type TrainRequest } from "./train_flags.ts";
import { checkFits, networkOf } from "./train_network.ts";
import { PRESETS } from "./train_presets.ts";
import { type ExampleOptions, initialState, type OptimiserOptions } from "./trainer.ts";

/** A run about to train. */
export interface Run {
  readonly folder: string;
  readonly checkpoint: Checkpoint & { readonly training: TrainingState };
  /** File of the checkpoint that it goes on from; null for a new run. */
  readonly file: string | null;
  readonly source: ImageSource;
  readonly dataset: ImageDataset;
  /** Steps in all. */
  readonly steps: number;
  /** Whether time alone ends it: then `steps` is as many as there can be. */
  readonly endless: boolean;
  readonly saveEvery: number;
  /** Steps between grids of samples; 0 for none. */
  readonly sampleEvery: number;
  readonly batch: number;
  /** Parts of a batch. */
  readonly accumulate: number;
  readonly optimiser: OptimiserOptions;
  readonly objective: Objective;
  readonly examples: ExampleOptions;
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
  "beta1",
  "beta2",
  "adam-eps",
  "weight-decay",
  "loss",
  "flip",
  "preset",
] as const;

/** Values that a checkpoint does not write down. */
const UNWRITTEN: RunOptions = {
  accumulate: 1,
  decay: 0,
  "label-drop": 0.1,
  beta1: 0.9,
  beta2: 0.999,
  "adam-eps": 1e-8,
  "weight-decay": 0,
  loss: "simple",
  flip: "off",
  preset: "tiny",
};

/** The image size that a run began with, where one was asked for. */
const IMAGE_SIZE = "image-size";

/** A command line with the preset's values where it leaves flags out. */
type Chosen = ReturnType<typeof chosenOf>;

function chosenOf({ values }: TrainRequest, preset: keyof typeof PRESETS) {
  const { defaults } = PRESETS[preset];
  const given = Object.fromEntries(
    Object.entries(values).filter(([, value]) => value !== undefined),
  );
  return { ...values, ...defaults, ...given, preset } as
    & TrainRequest["values"]
    & { readonly [K in keyof typeof defaults]: NonNullable<TrainRequest["values"][K]> };
}

/**
 * The run that a command line asks for: a new one, or with `--resume` the one in its folder with its
 * own options.
 *
 * @throws {UsageError} if the folder holds a run and `--resume` is missing, or flags contradict it.
 * @throws {FailureError} if there is nothing to go on from, or it does not fit the data.
 */
export async function startRun(request: TrainRequest): Promise<Run> {
  const { values } = request;
  const folder = values.out ?? `runs/${values.config === undefined ? values.preset : "custom"}`;
  const found = values.resume ? await readCheckpoint(folder) : null;
  if (found === null && await holdsRun(folder)) {
    throw new UsageError(
      `Expected a new run but found one in ${folder}: go on with it by --resume, or choose ` +
        "another --out",
    );
  }
  const chosen = chosenOf(request, presetOf(request, found));
  const size = values["image-size"] ?? found?.checkpoint.train[IMAGE_SIZE];
  const source: ImageSource = {
    preset: PRESETS[chosen.preset],
    folder: values.data,
    size: typeof size === "number" ? size : undefined,
  };
  const dataset = await openImages(source, "train");
  const checkpoint = found === null
    ? await started(request, chosen, dataset)
    : await resumed(request, chosen, dataset, folder, found);
  checkFits(checkpoint, dataset);
  if (found !== null) await checkImages(checkpoint.train, dataset);
  const lasting = lastingOf(checkpoint, found?.file ?? folder);
  const most = Math.floor(MOST_EXAMPLES / lasting.batch);
  const endless = values.steps === undefined && values.minutes !== undefined;
  const steps = endless ? most : values.steps ?? chosen.steps;
  if (steps < checkpoint.step || steps > most) {
    throw new UsageError(
      `Expected --steps in ${checkpoint.step}..${most} for the run in ${folder}, which has done ` +
        `${checkpoint.step} of ${lasting.batch} images each, but got ${steps}`,
    );
  }
  await Deno.mkdir(folder, { recursive: true });
  return {
    ...{ folder, checkpoint, file: found?.file ?? null, source, dataset, steps, endless },
    saveEvery: chosen["save-every"],
    sampleEvery: chosen["sample-every"],
    ...lasting,
  };
}

/** The preset that a run began with, if it goes on and no other is asked for. */
function presetOf(
  { values, given }: TrainRequest,
  found: FoundCheckpoint | null,
): keyof typeof PRESETS {
  const recorded = found?.checkpoint.train.preset;
  return !given.has("preset") && isPreset(recorded) ? recorded : values.preset;
}

function isPreset(name: unknown): name is keyof typeof PRESETS {
  return typeof name === "string" && Object.hasOwn(PRESETS, name);
}

/** What a checkpoint says of how its run is trained. */
function lastingOf(
  { train, unet, prediction = "epsilon" }: Checkpoint,
  file: string,
): Pick<Run, "batch" | "accumulate" | "optimiser" | "objective" | "examples"> {
  const option = <T>(name: typeof LASTING[number], is: (value: unknown) => value is T): T => {
    const value = train[name] ?? UNWRITTEN[name];
    if (is(value)) return value;
    throw new FailureError(
      `Expected the run's ${name} in the checkpoint ${file} but got ${value}`,
    );
  };
  const number = (name: typeof LASTING[number]) =>
    option(name, (value): value is number => typeof value === "number");
  const isLoss = (value: unknown): value is Objective["loss"] =>
    typeof value === "string" && Object.hasOwn(LOSSES, value);
  const isFlip = (value: unknown): value is "on" | "off" => value === "on" || value === "off";
  return {
    batch: number("batch"),
    accumulate: number("accumulate"),
    optimiser: {
      ...{ lr: number("lr"), warmup: number("warmup"), decay: number("decay") },
      ...{ beta1: number("beta1"), beta2: number("beta2"), eps: number("adam-eps") },
      weightDecay: number("weight-decay"),
      ...{ ema: number("ema"), clipNorm: number("clip-norm") },
    },
    objective: { prediction, loss: option("loss", isLoss) },
    examples: {
      labelDrop: unet.numClassEmbeds === null ? null : number("label-drop"),
      flip: option("flip", isFlip) === "on",
    },
  };
}

type Resumable = Run["checkpoint"];

async function started(
  { given }: TrainRequest,
  chosen: Chosen,
  dataset: ImageDataset,
): Promise<Resumable> {
  const { batch, accumulate, seed, prediction } = chosen;
  if (batch % accumulate !== 0) {
    throw new UsageError(
      `Expected --accumulate to divide --batch ${batch} but got ${accumulate}`,
    );
  }
  if (chosen["zero-terminal-snr"] && (prediction === "epsilon" || chosen.loss === "vlb")) {
    throw new UsageError(
      "Expected --prediction v or x0, and no --loss vlb, with --zero-terminal-snr but got " +
        `--prediction ${prediction} --loss ${chosen.loss}`,
    );
  }
  const model = chosen.init === undefined ? null : await modelToBeginWith(chosen.init, chosen);
  const unet = model === null
    ? await networkOf(chosen, dataset)
    : { ...model.unet, dropout: chosen.dropout ?? model.unet.dropout };
  const { ema, ...training } = initialState(unet, seed, model?.ema);
  const size = chosen["image-size"];
  const train: RunOptions = {
    images: dataset.count,
    ...Object.fromEntries(
      LASTING.filter((name) => chosen[name] !== UNWRITTEN[name]).map((
        name,
      ) => [name, chosen[name]]),
    ),
    ...(size === undefined ? {} : { [IMAGE_SIZE]: size }),
    ...(chosen.init === undefined ? {} : { init: chosen.init }),
    ...await imageRecord(dataset),
  };
  const schedule = scheduleOf(chosen, given);
  const known = prediction === "epsilon" ? {} : { prediction };
  return { unet, schedule, step: 0, seed, train, ...known, ema, training };
}

/** The model whose network and weights a new run begins with. */
async function modelToBeginWith(path: string, chosen: Chosen): Promise<Checkpoint> {
  if (chosen.config !== undefined) {
    throw new UsageError(
      `Expected no --config with --init ${path}, which has a network, but got ${chosen.config}`,
    );
  }
  const { file, checkpoint } = await readModel(path);
  const { prediction = "epsilon" } = checkpoint;
  if (prediction !== chosen.prediction) {
    throw new UsageError(
      `Expected --prediction ${prediction}, as the network in ${file} predicts, but got ` +
        chosen.prediction,
    );
  }
  return checkpoint;
}

/** The noise schedule that flags choose. */
function scheduleOf(chosen: Chosen, given: ReadonlySet<string>): ScheduleConfig {
  const { schedule: kind, T } = chosen;
  const zero = chosen["zero-terminal-snr"] ? { zeroTerminalSnr: true } : {};
  if (kind === "cosine") {
    for (const name of ["beta-start", "beta-end"]) {
      if (given.has(name)) {
        throw new UsageError(
          `Expected no --${name} with --schedule cosine, which has its own, but got one`,
        );
      }
    }
    return { kind, T, ...zero };
  }
  return {
    kind,
    T,
    betaStart: chosen["beta-start"] ?? 1e-4,
    betaEnd: chosen["beta-end"] ?? 0.02,
    ...zero,
  };
}

const SCHEDULE_FLAGS = ["schedule", "T", "beta-start", "beta-end", "zero-terminal-snr"];

async function resumed(
  { given }: TrainRequest,
  chosen: Chosen,
  dataset: ImageDataset,
  folder: string,
  { file, checkpoint }: FoundCheckpoint,
): Promise<Resumable> {
  const { training, train, seed, prediction = "epsilon" } = checkpoint;
  if (training === undefined) {
    throw new FailureError(
      `Expected a checkpoint to go on training from but ${file} only holds weights to sample from`,
    );
  }
  if (given.has("init")) {
    throw new UsageError(
      `Expected --init with a new run only, but the run in ${folder} has weights of its own`,
    );
  }
  const kept: Record<string, unknown> = { ...UNWRITTEN, ...train, seed, prediction };
  // Another preset is told by its network and images.
  const lasting = LASTING.filter((name) => name !== "preset");
  for (const name of [...lasting, "seed", "prediction", IMAGE_SIZE] as const) {
    if (given.has(name) && chosen[name] !== kept[name]) {
      throw new UsageError(
        `Expected --${name} ${kept[name] ?? "left out"}, as the run in ${folder} began, but got ` +
          `${chosen[name]}`,
      );
    }
  }
  const began = (what: string) =>
    new UsageError(`Expected the ${what} that the run in ${folder} began with but got another`);
  if (["preset", "config", "dropout"].some((name) => given.has(name))) {
    const dropout = given.has("dropout") ? chosen.dropout : checkpoint.unet.dropout;
    const json = (config: UNetConfig) => JSON.stringify(unetConfigToDiffusers(config));
    const asked = given.has("preset") || given.has("config")
      ? await networkOf({ ...chosen, dropout }, dataset)
      : { ...checkpoint.unet, dropout: dropout ?? 0 };
    if (json(asked) !== json(checkpoint.unet)) throw began("U-Net");
  }
  if (SCHEDULE_FLAGS.some((name) => given.has(name))) {
    const asked = scheduleOf(chosen, given);
    if (JSON.stringify(asked) !== JSON.stringify(checkpoint.schedule)) throw began("schedule");
  }
  return { ...checkpoint, training };
}
