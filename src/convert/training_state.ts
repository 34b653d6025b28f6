/**
 * What a folder of diffusers has no place for: how far a run is, what it was made with, and the optimiser's
 * moments. `training_state.json` and `optimizer.safetensors` stand beside the model, and a PyTorch program reads
 * both without this package.
 *
 * @module
 */
import { checkInteger, show } from "../math/errors.ts";
import type { Tensor } from "../math/tensor.ts";
import type { Checkpoint, RunOptions } from "../spec/checkpoint.ts";
import { FormatError } from "../spec/format_error.ts";
import {
  decodeSafetensors,
  encodeSafetensors,
  type Safetensors,
  type StoredTensor,
} from "../spec/safetensors.ts";
import type { ScheduleConfig } from "../spec/schedule_config.ts";
import { type Parameters, type ParameterSpec } from "../spec/unet_parameters.ts";
import { takeParameters } from "./take_parameters.ts";

/** Which weights: averaged, or those of the last step. */
export type WeightsKind = "ema" | "raw";

/** The content of `training_state.json`. */
export interface TrainingFacts {
  /** Which weights `unet/` holds; the others, if there are any, are in `unet_ema/` or `unet_raw/`. */
  readonly weights: WeightsKind;
  /** Optimiser steps done. */
  readonly step: number;
  /** Seed of the run. */
  readonly seed: number;
  /** The process, in this package's words. */
  readonly schedule: ScheduleConfig;
  /** Options of the run. */
  readonly train: RunOptions;
}

const FORMAT = "ddpm-training-state", VERSION = 1;

/** Adam's moments under the names that `torch.optim.Adam` has for them. */
const MOMENTS = { m: "exp_avg/", v: "exp_avg_sq/" } as const;

/** The text of `training_state.json`. */
export function encodeTrainingFacts(checkpoint: Checkpoint, weights: WeightsKind): string {
  const { step, seed, schedule, train } = checkpoint;
  const json = {
    ...{ format: FORMAT, version: VERSION, weights, step, seed, schedule, train },
    recipe: recipeOf(train),
  };
  return `${JSON.stringify(json, null, 2)}\n`;
}

/** How the run is trained, in PyTorch's words: the same as in `train`, and never read back. */
function recipeOf(train: RunOptions): Record<string, unknown> {
  const { lr = 2e-4, beta1 = 0.9, beta2 = 0.999, warmup = 0, decay = 0, batch = 16 } = train;
  return {
    lr,
    betas: [beta1, beta2],
    eps: train["adam-eps"] ?? 1e-8,
    weight_decay: train["weight-decay"] ?? 0,
    max_grad_norm: train["clip-norm"] ?? 1,
    lr_warmup_steps: warmup,
    lr_decay_end: decay,
    ema_decay: train.ema ?? 0.9999,
    batch_size: batch,
    label_drop: train["label-drop"] ?? 0.1,
    loss: train.loss ?? "simple",
  };
}

/**
 * Reads `training_state.json`.
 *
 * @throws {FormatError | ArgumentError} naming what is wrong with it.
 */
export function decodeTrainingFacts(json: unknown): TrainingFacts {
  if (!isRecord(json) || json.format !== FORMAT || json.version !== VERSION) {
    throw new FormatError(
      `Expected format "${FORMAT}" and version ${VERSION} but got ` +
        (isRecord(json) ? `${show(json.format)} and ${show(json.version)}` : show(json)),
    );
  }
  const { weights, schedule, train } = json;
  if (weights !== "ema" && weights !== "raw") {
    throw new FormatError(`Expected weights "ema" or "raw" but got ${show(weights)}`);
  }
  if (!isSchedule(schedule)) {
    throw new FormatError(`Expected a schedule with a kind but got ${show(schedule)}`);
  }
  if (!isRunOptions(train)) {
    throw new FormatError(
      `Expected train to be an object of texts, numbers and switches but got ${show(train)}`,
    );
  }
  const count = (name: string) => checkInteger(name, json[name], 0, Number.MAX_SAFE_INTEGER);
  return { weights, step: count("step"), seed: count("seed"), schedule, train };
}

/** The bytes of `optimizer.safetensors`. */
export function encodeMoments(moments: { m: Parameters; v: Parameters }): Uint8Array<ArrayBuffer> {
  const tensors = new Map<string, Tensor>();
  for (const kind of ["m", "v"] as const) {
    for (const [name, tensor] of moments[kind]) tensors.set(MOMENTS[kind] + name, tensor);
  }
  return encodeSafetensors(tensors, { metadata: new Map([["format", "pt"]]) });
}

/**
 * Reads `optimizer.safetensors`.
 *
 * @throws {FormatError} if it is no such file, or its tensors are not the model's.
 */
export function decodeMoments(
  file: Uint8Array,
  specs: readonly ParameterSpec[],
  where: string,
): { m: Parameters; v: Parameters } {
  const { tensors } = decodeSafetensors(file);
  for (const name of tensors.keys()) {
    if (!Object.values(MOMENTS).some((prefix) => name.startsWith(prefix))) {
      throw new FormatError(
        `Expected ${Object.values(MOMENTS).join("… and ")}… in ${where} but got ${show(name)}`,
      );
    }
  }
  const take = (prefix: string): Parameters =>
    takeParameters(
      specs,
      withPrefix(tensors, prefix),
      (name) => ({ name: prefix + name, layout: "same" }),
      where,
    );
  return { m: take(MOMENTS.m), v: take(MOMENTS.v) };
}

function withPrefix(tensors: Safetensors["tensors"], prefix: string): Map<string, StoredTensor> {
  return new Map([...tensors].filter(([name]) => name.startsWith(prefix)));
}

function isRecord(json: unknown): json is Record<string, unknown> {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}

function isSchedule(json: unknown): json is ScheduleConfig {
  return isRecord(json) && typeof json.kind === "string";
}

function isRunOptions(json: unknown): json is RunOptions {
  return isRecord(json) &&
    Object.values(json).every((value) => ["string", "number", "boolean"].includes(typeof value));
}
