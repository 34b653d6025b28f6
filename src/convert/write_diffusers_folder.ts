/**
 * Writing folders that diffusers' `DDPMPipeline.from_pretrained` and `UNet2DModel.from_pretrained` load.
 *
 * @module
 */
import { writeAtomic } from "../data/write_atomic.ts";
import { ArgumentError } from "../math/errors.ts";
import type { Checkpoint } from "../spec/checkpoint.ts";
import { unetConfigToDiffusers } from "../spec/unet_config.ts";
import type { Parameters } from "../spec/unet_parameters.ts";
import { PIPELINE } from "./diffusers_folder.ts";
import { encodeDiffusersWeights } from "./diffusers_weights.ts";
import { SCHEDULERS, type SchedulerSampling } from "./scheduler_config.ts";
import { isThere } from "./files.ts";
import { encodeMoments, encodeTrainingFacts, type WeightsKind } from "./training_state.ts";
import { DEFAULT_SAMPLING, writeSchedulerConfig } from "./write_scheduler_config.ts";

/** What is written, and how. */
export interface DiffusersOptions {
  /** Which weights `unet/` gets: what a pipeline samples with. Default `ema`. */
  readonly weights?: WeightsKind;
  /** Format of the weights: F32 (the default, exact), or F16, which leaves the state of training out. */
  readonly dtype?: "F32" | "F16";
  /** How the scheduler samples. Default {@linkcode DEFAULT_SAMPLING}. */
  readonly sampling?: SchedulerSampling;
}

/**
 * Writes a pipeline: the averaged weights (or the raw ones) in `unet/`, a scheduler, and next to them what a
 * checkpoint holds besides. Each file is written atomically, `model_index.json` last, so that a folder that has
 * one is whole.
 *
 * @throws {ArgumentError} before anything is written: raw weights that the checkpoint does not have, a schedule
 * that diffusers has no words for, a value beyond F16.
 */
export async function writeDiffusersFolder(
  folder: string,
  checkpoint: Checkpoint,
  { weights = "ema", dtype = "F32", sampling = DEFAULT_SAMPLING }: DiffusersOptions = {},
): Promise<void> {
  const { unet, schedule, prediction = "epsilon", ema, training } = checkpoint;
  if (weights === "raw" && training === undefined) {
    throw new ArgumentError("Expected a checkpoint with raw weights but got averaged ones only");
  }
  const scheduler = writeSchedulerConfig({ schedule, prediction, sampling });
  const config = json(unetConfigToDiffusers(unet));
  const files = new Map<string, () => Uint8Array | string>();
  const addModel = (name: string, parameters: Parameters): void => {
    const bytes = encodeDiffusersWeights(parameters, dtype);
    files.set(`${name}/${PIPELINE.config}`, () => config);
    files.set(`${name}/${PIPELINE.weights}`, () => bytes);
  };
  addModel(PIPELINE.unet, weights === "raw" && training !== undefined ? training.model : ema);
  files.set(`${PIPELINE.scheduler}/${PIPELINE.schedulerConfig}`, () => json(scheduler));
  if (training !== undefined && dtype === "F32") {
    if (weights === "ema") addModel(PIPELINE.raw, training.model);
    else addModel(PIPELINE.ema, ema);
    files.set(PIPELINE.optimizer, () => encodeMoments(training));
  }
  files.set(PIPELINE.training, () => encodeTrainingFacts(checkpoint, weights));
  files.set(PIPELINE.index, () =>
    json({
      _class_name: sampling.sampler === "ddim" ? "DDIMPipeline" : "DDPMPipeline",
      scheduler: ["diffusers", SCHEDULERS[sampling.sampler]],
      unet: ["diffusers", "UNet2DModel"],
    }));
  // Of an earlier write nothing may stay that the new one would be read with.
  const parts = [PIPELINE.raw, PIPELINE.ema].map((name) => `${name}/${PIPELINE.weights}`);
  for (const name of [PIPELINE.index, PIPELINE.optimizer, ...parts]) {
    if (await isThere(`${folder}/${name}`)) await Deno.remove(`${folder}/${name}`);
  }
  for (const [name, content] of files) {
    const path = `${folder}/${name}`;
    await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    await writeAtomic(path, content());
  }
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
