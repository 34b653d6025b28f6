/**
 * What the checks against diffusers share: asking adapters/check_unet.py, and judging all of its answers but the
 * outputs.
 *
 * @module
 */
import { encodeCheckpoint } from "../../src/spec/checkpoint.ts";
import { PIPELINE, readDiffusersFolder } from "../../src/convert/diffusers_folder.ts";
import { PREDICTION_TYPES, SCHEDULERS } from "../../src/convert/scheduler_config.ts";
import { DEFAULT_SAMPLING } from "../../src/convert/write_scheduler_config.ts";
import { U32 } from "../../src/math/float32.ts";
import type { Tensor } from "../../src/math/tensor.ts";
import { betas } from "../../src/reference/schedule.ts";
import type { Parameters } from "../../src/spec/unet_parameters.ts";
import { LAMBDA } from "../support/rounding_study.ts";
import type { InteropCase } from "./cases.ts";

/** What check_unet.py answers. */
export interface Answer {
  readonly error?: string;
  /** Of Python's packages. */
  readonly versions: string;
  readonly parameters: number;
  readonly output: { readonly shape: number[]; readonly data: number[] };
  readonly scheduler: string;
  readonly prediction_type: string;
  readonly betas: readonly number[];
}

/** Roundoff of float64 in units of float32's: the error of a run is proportional to it, to first order. */
export const DOUBLE: number = 2 ** -53 / U32;

const SCRIPT = new URL("../../adapters/check_unet.py", import.meta.url).pathname;

/** Runs check_unet.py on some requests. */
export async function ask(python: string, requests: readonly unknown[]): Promise<Answer[]> {
  const child = new Deno.Command(python, {
    args: [SCRIPT],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  // Read while writing: both pipes may be full at a time.
  const ended = child.output();
  const writer = child.stdin.getWriter();
  const text = requests.map((request) => `${JSON.stringify(request)}\n`).join("");
  await writer.write(new TextEncoder().encode(text));
  await writer.close();
  const { stdout, stderr } = await ended;
  const lines = new TextDecoder().decode(stdout).trim().split("\n").filter((line) => line !== "");
  if (lines.length !== requests.length) {
    throw new Error(
      `Expected ${requests.length} answers of ${SCRIPT} but got ${lines.length}: ` +
        new TextDecoder().decode(stderr),
    );
  }
  return lines.map((line) => JSON.parse(line));
}

/** The weights that `unet/` gets, as they come back from their format. */
export function weightsOf({ checkpoint: { ema, training }, options }: InteropCase): Parameters {
  const parameters = options.weights === "raw" && training !== undefined ? training.model : ema;
  if (options.dtype !== "F16") return parameters;
  return new Map(
    [...parameters].map(([k, { shape, data }]) => [k, { shape, data: data.map(Math.f16round) }]),
  );
}

/** The largest error in units of its bound λ·σ, at a unit roundoff that is `unit` times float32's. */
export function worstError(
  found: readonly number[],
  exact: Tensor["data"],
  sigma: Float64Array,
  unit = 1,
): number {
  return found.length !== exact.length ? Infinity : found.reduce(
    (most, value, i) => Math.max(most, Math.abs(value - exact[i]) / (LAMBDA * unit * sigma[i])),
    0,
  );
}

/** The faults of an answer besides its output, and of the folders on either side of diffusers. */
export async function folderFaults(
  one: InteropCase,
  answer: Answer,
  folder: string,
  saved: string,
): Promise<string[]> {
  await addOwnFiles(folder, saved);
  const before = bytesOf(one);
  const faults = processFaults(one, answer);
  for (const [from, what] of [[folder, "the folder"], [saved, "what diffusers saved of it"]]) {
    const after = encodeCheckpoint((await readDiffusersFolder(from)).checkpoint);
    if (before.length !== after.length || !before.every((byte, i) => byte === after[i])) {
      faults.push(`${what} does not give the checkpoint back`);
    }
  }
  return faults;
}

/** The file of a case; with float16 of what can be sampled from. */
function bytesOf(one: InteropCase): Uint8Array {
  if (one.options.dtype !== "F16") return encodeCheckpoint(one.checkpoint);
  const { training: _, ...model } = one.checkpoint;
  return encodeCheckpoint({ ...model, ema: weightsOf(one) });
}

/** Puts what diffusers passes over next to what it saved; nothing that it saved is touched. */
async function addOwnFiles(folder: string, saved: string): Promise<void> {
  const { unet, scheduler, index, ...own } = PIPELINE;
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if ([unet, scheduler, index].some((known) => known === name)) continue;
    const parts = isDirectory ? [own.config, own.weights].map((part) => `${name}/${part}`) : [name];
    if (isDirectory) await Deno.mkdir(`${saved}/${name}`);
    for (const part of parts) await Deno.copyFile(`${folder}/${part}`, `${saved}/${part}`);
  }
}

/** What diffusers' scheduler takes the process to be. Its β are float32, from float32 ends. */
function processFaults({ checkpoint, options }: InteropCase, answer: Answer): string[] {
  const { schedule, prediction = "epsilon" } = checkpoint;
  const { sampler } = options.sampling ?? DEFAULT_SAMPLING;
  const faults: string[] = [];
  if (answer.prediction_type !== PREDICTION_TYPES[prediction]) {
    faults.push(`prediction_type is ${answer.prediction_type}`);
  }
  if (answer.scheduler !== SCHEDULERS[sampler]) faults.push(`scheduler is ${answer.scheduler}`);
  const expected = betas(schedule);
  // start + k·step in float32: a rounding each of the ends, the step, the product and the sum.
  const bound = 4 * U32 * Math.max(...expected);
  const wrong = expected.findIndex((beta, k) => !(Math.abs(answer.betas[k] - beta) <= bound));
  if (wrong >= 0 || answer.betas.length !== expected.length) {
    faults.push(`beta ${wrong + 1} of ${answer.betas.length} is ${answer.betas[wrong]}`);
  }
  return faults;
}
