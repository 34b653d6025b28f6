/**
 * The checkpoint format, bytes only: one safetensors file with the tensors `model/<name>`,
 * `ema/<name>`, `adam.m/<name>` and `adam.v/<name>` for every parameter of the U-Net, and in
 * `__metadata__` what is needed to go on training or to sample without any other file.
 *
 * | metadata | value |
 * | --- | --- |
 * | `format` | `ddpm-checkpoint` |
 * | `version` | `1` |
 * | `unet` | the config as JSON, as diffusers' `config.json` |
 * | `schedule` | a {@linkcode ScheduleConfig} as JSON |
 * | `step` | optimiser steps done, decimal |
 * | `seed` | of the run, decimal |
 * | `train` | the options of the run as JSON |
 * | `prediction` | what the network's output stands for, `v` or `x0`; left out for ε |
 *
 * A file to sample from holds `ema/` alone; one to go on training from holds all four.
 *
 * @module
 */
import { ArgumentError, checkInteger, show } from "../math/errors.ts";
import { shapesEqual, type Tensor } from "../math/tensor.ts";
import { FormatError } from "./format_error.ts";
import { decodeSafetensors, encodeSafetensors, storedTensor } from "./safetensors.ts";
import type { ScheduleConfig } from "./schedule_config.ts";
import { type UNetConfig, unetConfigFromDiffusers, unetConfigToDiffusers } from "./unet_config.ts";
import { type Parameters, type ParameterSpec, unetParameters } from "./unet_parameters.ts";

/** The options of a run, as the program that trained wrote them down. */
export type RunOptions = Readonly<Record<string, string | number | boolean>>;

/** What a network's output stands for: ε, v = √ᾱ·ε − √(1−ᾱ)·x_0 (Salimans and Ho 2022), or x_0. */
export type TrainedPrediction = "epsilon" | "v" | "x0";

const PREDICTIONS: readonly TrainedPrediction[] = ["epsilon", "v", "x0"];

/** What a run needs besides the averaged weights to go on exactly where it was. */
export interface TrainingState {
  /** The weights that the optimiser moves. */
  readonly model: Parameters;
  /** Adam's first moments. */
  readonly m: Parameters;
  /** Adam's second moments. */
  readonly v: Parameters;
}

/** A trained, or half trained, model. */
export interface Checkpoint {
  /** The network. */
  readonly unet: UNetConfig;
  /** The process that it was trained on. */
  readonly schedule: ScheduleConfig;
  /** Optimiser steps done. */
  readonly step: number;
  /** Seed of the run. */
  readonly seed: number;
  /** Options of the run. */
  readonly train: RunOptions;
  /** What the network's output stands for. Default `epsilon`. */
  readonly prediction?: TrainedPrediction;
  /** Exponential moving average of the weights: what to sample with. */
  readonly ema: Parameters;
  /** Present where training can go on. */
  readonly training?: TrainingState;
}

const FORMAT = "ddpm-checkpoint";
const VERSION = "1";

/**
 * The bytes of a checkpoint. The same checkpoint always gives the same bytes.
 *
 * @param dtype how to write the tensors: F32 (the default, exact) or F16 (for sampling only).
 * @throws {ArgumentError} if the parameters are not those of the config.
 */
export function encodeCheckpoint(
  checkpoint: Checkpoint,
  dtype: "F32" | "F16" = "F32",
): Uint8Array<ArrayBuffer> {
  const { training, ema } = checkpoint;
  if (training !== undefined && dtype === "F16") {
    throw new ArgumentError("Expected F32 for a checkpoint to go on training from but got F16");
  }
  const groups: [prefix: string, parameters: Parameters][] = [["ema/", ema]];
  if (training !== undefined) {
    groups.push(["model/", training.model], ["adam.m/", training.m], ["adam.v/", training.v]);
  }
  const specs = unetParameters(checkpoint.unet);
  const tensors = new Map<string, Tensor>();
  for (const [prefix, parameters] of groups) {
    checkComplete(specs, parameters, prefix);
    for (const [name, tensor] of parameters) tensors.set(prefix + name, tensor);
  }
  const metadata = new Map([
    ["format", FORMAT],
    ["version", VERSION],
    ["unet", JSON.stringify(unetConfigToDiffusers(checkpoint.unet))],
    ["schedule", JSON.stringify(checkpoint.schedule)],
    ["step", String(checkpoint.step)],
    ["seed", String(checkpoint.seed)],
    ["train", JSON.stringify(checkpoint.train)],
  ]);
  const { prediction = "epsilon" } = checkpoint;
  if (prediction !== "epsilon") metadata.set("prediction", prediction);
  return encodeSafetensors(tensors, { metadata, dtype });
}

/**
 * The checkpoint in a file.
 *
 * @throws {FormatError} if it is no checkpoint, of another version, cut short, or its tensors are not
 * those of its own config.
 */
export function decodeCheckpoint(file: Uint8Array): Checkpoint {
  const { metadata, tensors } = decodeSafetensors(file);
  if (metadata.get("format") !== FORMAT || metadata.get("version") !== VERSION) {
    throw new FormatError(
      `Expected a checkpoint with metadata format "${FORMAT}" and version "${VERSION}" but got ` +
        `format ${show(metadata.get("format"))} and version ${show(metadata.get("version"))}`,
    );
  }
  const read = <T>(key: string, parse: (text: string) => T): T => {
    try {
      const text = metadata.get(key);
      return text === undefined ? missing() : parse(text);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new FormatError(`Expected metadata "${key}" of a checkpoint to be readable: ${reason}`);
    }
  };
  const unet = read("unet", (text) => unetConfigFromDiffusers(JSON.parse(text)));
  // Every residual block has tensors of its own: a config that claims more blocks than the file has
  // tensors is refused before its list is made.
  const blocks = unet.layersPerBlock * unet.blockOutChannels.length;
  if (blocks > tensors.size) {
    throw new FormatError(
      `Expected tensors for ${blocks} residual blocks in a checkpoint but got ${tensors.size} tensors`,
    );
  }
  const specs = read("unet", () => unetParameters(unet));

  const unclaimed = new Set(tensors.keys());
  const group = (prefix: string): Parameters => {
    const parameters = new Map<string, Tensor>();
    for (const { name } of specs) {
      const stored = tensors.get(prefix + name);
      if (stored !== undefined) parameters.set(name, storedTensor(stored));
      unclaimed.delete(prefix + name);
    }
    return parameters;
  };
  const ema = group("ema/");
  const training = { model: group("model/"), m: group("adam.m/"), v: group("adam.v/") };
  const resumable = Object.values(training).some((parameters) => parameters.size > 0);
  try {
    checkComplete(specs, ema, "ema/");
    if (resumable) {
      checkComplete(specs, training.model, "model/");
      checkComplete(specs, training.m, "adam.m/");
      checkComplete(specs, training.v, "adam.v/");
    }
  } catch (error) {
    throw new FormatError(error instanceof Error ? error.message : String(error));
  }
  for (const name of unclaimed) {
    throw new FormatError(
      `Expected only tensors of the checkpoint's own U-Net but got one called ${show(name)}`,
    );
  }
  return {
    unet,
    schedule: read("schedule", scheduleFrom),
    step: read("step", (text) => count("step", text)),
    seed: read("seed", (text) => count("seed", text)),
    train: read("train", runOptionsFrom),
    ...(metadata.has("prediction") ? { prediction: read("prediction", predictionFrom) } : {}),
    ema,
    ...(resumable ? { training } : {}),
  };
}

/** Checks that `parameters` are those that `specs` list, no more and no fewer. */
function checkComplete(
  specs: readonly ParameterSpec[],
  parameters: Parameters,
  prefix: string,
): void {
  for (const { name, shape } of specs) {
    const found = parameters.get(name)?.shape;
    if (found === undefined || !shapesEqual(found, shape)) {
      throw new ArgumentError(
        `Expected ${prefix}${name} of shape [${shape.join(", ")}] but got ` +
          (found === undefined ? "no such tensor" : `[${found.join(", ")}]`),
      );
    }
  }
  if (parameters.size !== specs.length) {
    throw new ArgumentError(
      `Expected ${specs.length} tensors under ${prefix} but got ${parameters.size}`,
    );
  }
}

function predictionFrom(text: string): TrainedPrediction {
  const prediction = PREDICTIONS.find((known) => known === text);
  if (prediction !== undefined) return prediction;
  throw new FormatError(`one of ${PREDICTIONS.join(", ")} was expected, not ${show(text)}`);
}

function missing(): never {
  throw new FormatError("there is none");
}

function count(name: string, text: string): number {
  return checkInteger(name, /^\d+$/.test(text) ? Number(text) : text, 0, Number.MAX_SAFE_INTEGER);
}

/** Only the kind is looked at here: whoever builds the tables checks the numbers. */
function scheduleFrom(text: string): ScheduleConfig {
  const json: unknown = JSON.parse(text);
  if (isSchedule(json)) return json;
  throw new FormatError(`a schedule object with a kind was expected, not ${show(json)}`);
}

function isSchedule(json: unknown): json is ScheduleConfig {
  return typeof json === "object" && json !== null && "kind" in json &&
    typeof json.kind === "string";
}

function runOptionsFrom(text: string): RunOptions {
  const json: unknown = JSON.parse(text);
  if (isRunOptions(json)) return json;
  throw new FormatError(`an object of texts, numbers and switches was expected, not ${show(json)}`);
}

function isRunOptions(json: unknown): json is RunOptions {
  return typeof json === "object" && json !== null && !Array.isArray(json) &&
    Object.values(json).every((value) => ["string", "number", "boolean"].includes(typeof value));
}
