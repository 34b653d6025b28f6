/**
 * The folder of a training run: `checkpoint.safetensors` to go on from, `model.safetensors` to sample
 * from, `config.json` to read, `metrics.jsonl` with a line per step, `samples.png`.
 *
 * @module
 */
import { writeAtomic } from "../data/write_atomic.ts";
import { type Checkpoint, decodeCheckpoint, encodeCheckpoint } from "../spec/checkpoint.ts";
import { unetConfigToDiffusers } from "../spec/unet_config.ts";
import { FailureError } from "./terminal.ts";

/** A line of `metrics.jsonl`. */
export type Metric =
  | {
    readonly kind: "train";
    readonly step: number;
    readonly loss: number;
    readonly gradNorm: number;
  }
  | {
    readonly kind: "heldOut";
    readonly step: number;
    /** Number of test images. */
    readonly images: number;
    /** L_simple of the weights. */
    readonly raw: number;
    /** L_simple of the averaged weights. */
    readonly ema: number;
  };

/** Names of the files in a run's folder. */
const FILES = {
  checkpoint: "checkpoint.safetensors",
  model: "model.safetensors",
  config: "config.json",
  metrics: "metrics.jsonl",
  samples: "samples.png",
} as const;

/** The path of a file of a run. */
export function runFile(folder: string, file: keyof typeof FILES): string {
  return `${folder}/${FILES[file]}`;
}

/** Whether something is there. */
export async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/**
 * The checkpoint at a path: a file, or a folder that holds a run or a model.
 *
 * @throws {FailureError} if there is none.
 * @throws {FormatError} if it is none, with the path before the reason.
 */
export async function readCheckpoint(
  path: string,
): Promise<{ file: string; checkpoint: Checkpoint }> {
  const candidates = [path, runFile(path, "checkpoint"), runFile(path, "model")];
  for (const file of candidates) {
    const bytes = await readIfFile(file);
    if (bytes === null) continue;
    try {
      return { file, checkpoint: decodeCheckpoint(bytes) };
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new FailureError(`Expected a checkpoint in ${file}. ${reason}`);
    }
  }
  throw new FailureError(
    `Expected a checkpoint, or a folder with one, at ${path} but found none: make one with ` +
      "`deno task train`",
  );
}

async function readIfFile(path: string): Promise<Uint8Array | null> {
  try {
    return await Deno.readFile(path);
  } catch (error) {
    const absent = [Deno.errors.NotFound, Deno.errors.IsADirectory, Deno.errors.NotADirectory];
    if (absent.some((kind) => error instanceof kind)) return null;
    throw error;
  }
}

/** Writes the checkpoint of a run in place of the one before it. */
export async function saveCheckpoint(folder: string, checkpoint: Checkpoint): Promise<void> {
  await writeAtomic(runFile(folder, "checkpoint"), encodeCheckpoint(checkpoint));
}

/** Writes the averaged weights of a run by themselves, a quarter of its checkpoint. */
export async function saveModel(folder: string, checkpoint: Checkpoint): Promise<void> {
  const { training: _, ...model } = checkpoint;
  await writeAtomic(runFile(folder, "model"), encodeCheckpoint(model));
}

/** Writes what a run is made with, for people: the checkpoint holds the same. */
export async function saveConfig(folder: string, checkpoint: Checkpoint): Promise<void> {
  const { unet, schedule, seed, train } = checkpoint;
  const config = { unet: unetConfigToDiffusers(unet), schedule, seed, train };
  await writeAtomic(runFile(folder, "config"), `${JSON.stringify(config, null, 2)}\n`);
}

/** Drops the metrics after a step: a run that goes on from its checkpoint makes them again. */
export async function keepMetricsUpTo(folder: string, step: number): Promise<void> {
  const path = runFile(folder, "metrics");
  const lines = await exists(path) ? (await Deno.readTextFile(path)).split("\n") : [];
  const kept = lines.filter((line) => isTrainLineUpTo(line, step));
  await writeAtomic(path, kept.map((line) => `${line}\n`).join(""));
}

/** A line that a crash cut short is no JSON, and goes. */
function isTrainLineUpTo(line: string, step: number): boolean {
  try {
    const metric: unknown = JSON.parse(line);
    return typeof metric === "object" && metric !== null && "kind" in metric &&
      metric.kind === "train" && "step" in metric && Number(metric.step) <= step;
  } catch {
    return false;
  }
}

/** Adds a line to the metrics of a run. */
export async function appendMetric(folder: string, metric: Metric): Promise<void> {
  await Deno.writeTextFile(runFile(folder, "metrics"), `${JSON.stringify(metric)}\n`, {
    append: true,
  });
}
