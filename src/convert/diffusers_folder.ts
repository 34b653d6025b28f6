/**
 * Reading folders of diffusers: a pipeline (`model_index.json`, `unet/`, `scheduler/`) or a model by itself.
 *
 * @module
 */
import { show } from "../math/errors.ts";
import type { Checkpoint } from "../spec/checkpoint.ts";
import { FormatError } from "../spec/format_error.ts";
import { DDPM_SCHEDULE, type ScheduleConfig } from "../spec/schedule_config.ts";
import { type UNetConfig, unetConfigFromDiffusers } from "../spec/unet_config.ts";
import { type Parameters, unetParameters } from "../spec/unet_parameters.ts";
import { decodeDiffusersWeights } from "./diffusers_weights.ts";
import { isThere, naming, readFile, readIfThere, readJson, readJsonIfThere } from "./files.ts";
import { readSchedulerConfig, type SchedulerSettings } from "./scheduler_config.ts";
import { decodeMoments, decodeTrainingFacts, type TrainingFacts } from "./training_state.ts";
import { DEFAULT_SAMPLING, writeSchedulerConfig } from "./write_scheduler_config.ts";

/** Names in a pipeline's folder; the last four are this package's. */
export const PIPELINE = {
  index: "model_index.json",
  unet: "unet",
  scheduler: "scheduler",
  config: "config.json",
  weights: "diffusion_pytorch_model.safetensors",
  schedulerConfig: "scheduler_config.json",
  raw: "unet_raw",
  ema: "unet_ema",
  optimizer: "optimizer.safetensors",
  training: "training_state.json",
} as const;

/** The pipelines whose parts are a `UNet2DModel` and a scheduler. */
const PIPELINES: readonly unknown[] = ["DDPMPipeline", "DDIMPipeline"];

/** Other forms of a model's weights, with what to do about them. */
const OTHER_WEIGHTS: readonly (readonly [file: string, advice: string])[] = [
  [
    `${PIPELINE.weights}.index.json`,
    "weights in several files are not read: save the model again with a larger max_shard_size",
  ],
  [
    "diffusion_pytorch_model.bin",
    "pickled weights are not read: load the model in Python and save it with safe_serialization=True",
  ],
  [
    "diffusion_pytorch_model.fp16.safetensors",
    "variants are not looked for: rename the file, whose float16 is read as it is",
  ],
];

/** What a folder of diffusers holds. */
export interface DiffusersModel {
  /** The file of the weights. */
  readonly file: string;
  /** The model; step 0 of seed 0 where no run is known. */
  readonly checkpoint: Checkpoint;
  /** What its scheduler says; null without one, where the process is taken to be DDPM's and the output ε. */
  readonly scheduler: SchedulerSettings | null;
}

/** Whether a path is a folder of diffusers. A run of this package has a `config.json` too, of another kind. */
export async function isDiffusersFolder(path: string): Promise<boolean> {
  if (await isThere(`${path}/${PIPELINE.index}`)) return true;
  const config = await readJsonIfThere(`${path}/${PIPELINE.config}`).catch(() => null);
  return isRecord(config) && Object.hasOwn(config, "_class_name");
}

/**
 * Reads a folder of diffusers. Where `training_state.json` and what belongs to it are there, it is a whole
 * checkpoint again; what diffusers' own files say goes before what `training_state.json` says.
 *
 * @throws {FormatError} naming the file and what is wrong with it.
 */
export async function readDiffusersFolder(folder: string): Promise<DiffusersModel> {
  const index = `${folder}/${PIPELINE.index}`;
  const pipeline = await readJsonIfThere(index);
  if (pipeline !== null) checkPipeline(pipeline, index);
  // Early repositories have everything in one folder.
  const nested = pipeline !== null &&
    await isThere(`${folder}/${PIPELINE.unet}/${PIPELINE.config}`);
  const model = nested ? `${folder}/${PIPELINE.unet}` : folder;
  const config = await readConfig(model);
  const parameters = await readWeights(model, config);
  const scheduler = await readScheduler(
    nested ? `${folder}/${PIPELINE.scheduler}` : folder,
    pipeline !== null,
  );
  const training = `${folder}/${PIPELINE.training}`;
  const json = await readJsonIfThere(training);
  const facts = json === null ? null : naming(training, () => decodeTrainingFacts(json));
  const { schedule, prediction } = naming(training, () => processOf(scheduler, facts));
  const checkpoint = facts === null
    ? { unet: config, schedule, step: 0, seed: 0, train: {}, ema: parameters }
    : await withTraining(folder, config, schedule, parameters, facts);
  return {
    file: `${model}/${PIPELINE.weights}`,
    checkpoint: prediction === "epsilon" ? checkpoint : { ...checkpoint, prediction },
    scheduler,
  };
}

function checkPipeline(json: unknown, where: string): void {
  const { _class_name: name, unet } = isRecord(json) ? json : {};
  if (!PIPELINES.includes(name)) {
    throw new FormatError(
      `Expected ${where} to be of a ${PIPELINES.join(" or a ")} but got ${show(name)}`,
    );
  }
  const kind = Array.isArray(unet) ? unet[1] : unet;
  if (kind !== "UNet2DModel") {
    throw new FormatError(
      `Expected the unet of ${where} to be a UNet2DModel but got ${show(kind)}`,
    );
  }
}

async function readConfig(folder: string): Promise<UNetConfig> {
  const path = `${folder}/${PIPELINE.config}`;
  const json = await readJson(path);
  return naming(path, () => unetConfigFromDiffusers(json));
}

async function readWeights(folder: string, config: UNetConfig): Promise<Parameters> {
  const path = `${folder}/${PIPELINE.weights}`;
  const bytes = await readIfThere(path);
  if (bytes !== null) return naming(path, () => decodeDiffusersWeights(bytes, config, path));
  for (const [file, advice] of OTHER_WEIGHTS) {
    const other = `${folder}/${file}`;
    if (!await isThere(other)) continue;
    throw new FormatError(`Expected ${path} but got ${other}: ${advice}`);
  }
  throw new FormatError(`Expected weights in ${path} but found none`);
}

async function readScheduler(folder: string, needed: boolean): Promise<SchedulerSettings | null> {
  const path = `${folder}/${PIPELINE.schedulerConfig}`;
  const json = needed ? await readJson(path) : await readJsonIfThere(path);
  return json === null ? null : naming(path, () => readSchedulerConfig(json));
}

/**
 * The process: the scheduler's; in the words of `training_state.json` if they say the same, so that a checkpoint
 * comes back as it was, and by itself where there is no scheduler.
 */
function processOf(
  scheduler: SchedulerSettings | null,
  facts: TrainingFacts | null,
): Pick<SchedulerSettings, "schedule" | "prediction"> {
  if (scheduler === null) {
    return { schedule: facts?.schedule ?? DDPM_SCHEDULE, prediction: "epsilon" };
  }
  if (facts === null) return scheduler;
  const { prediction } = scheduler;
  const same = inDiffusersWords(facts.schedule) === inDiffusersWords(scheduler.schedule);
  return { schedule: same ? facts.schedule : scheduler.schedule, prediction };
}

function inDiffusersWords(schedule: ScheduleConfig): string {
  return JSON.stringify(
    writeSchedulerConfig({ schedule, prediction: "epsilon", sampling: DEFAULT_SAMPLING }),
  );
}

async function withTraining(
  folder: string,
  unet: UNetConfig,
  schedule: ScheduleConfig,
  parameters: Parameters,
  { weights, step, seed, train }: TrainingFacts,
): Promise<Checkpoint> {
  const path = `${folder}/${PIPELINE.optimizer}`;
  const optimizer = await readIfThere(path);
  const about = { unet, schedule, step, seed, train };
  if (optimizer === null) return { ...about, ema: parameters };
  const moments = naming(path, () => decodeMoments(optimizer, unetParameters(unet), path));
  const others = `${folder}/${PIPELINE[weights === "ema" ? "raw" : "ema"]}/${PIPELINE.weights}`;
  const bytes = await readFile(others);
  const other = naming(others, () => decodeDiffusersWeights(bytes, unet, others));
  const [ema, model] = weights === "ema" ? [parameters, other] : [other, parameters];
  return { ...about, ema, training: { model, ...moments } };
}

function isRecord(json: unknown): json is Record<string, unknown> {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}
