/**
 * The folder of a training run: checkpoints to go on from, `model.safetensors` to sample from,
 * `config.json` to read, `metrics.jsonl` with a line per step, pictures and a report.
 *
 * `checkpoint.safetensors` is the newest checkpoint; older ones have their step in their names. Whenever a
 * program is ended, even while it saves, every one of these files is whole: a new one is written beside
 * them, and only then do names change.
 *
 * @module
 */
import { writeAtomic } from "../data/write_atomic.ts";
import { type Checkpoint, decodeCheckpoint, encodeCheckpoint } from "../spec/checkpoint.ts";
import { unetConfigToDiffusers } from "../spec/unet_config.ts";
import { FailureError, note } from "./terminal.ts";

/** Names of the files in a run's folder. */
const FILES = {
  checkpoint: "checkpoint.safetensors",
  model: "model.safetensors",
  config: "config.json",
  metrics: "metrics.jsonl",
  samples: "samples.png",
  report: "report.html",
} as const;

/** The path of a file of a run. */
export function runFile(folder: string, file: keyof typeof FILES): string {
  return `${folder}/${FILES[file]}`;
}

const digits = (step: number) => String(step).padStart(6, "0");

/** The checkpoint of a step that is no longer, or not yet, the newest. */
function numberedFile(folder: string, step: number): string {
  return `${folder}/checkpoint-${digits(step)}.safetensors`;
}

/** The folder of the pictures that are drawn as a run goes. */
export function progressFolder(folder: string): string {
  return `${folder}/samples`;
}

/** The picture drawn after a step. */
export function progressFile(folder: string, step: number): string {
  return `${progressFolder(folder)}/step-${digits(step)}.png`;
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

/** Names in a folder, sorted; none if there is no such folder. */
export async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await Array.fromAsync(Deno.readDir(folder), ({ name }) => name)).sort();
  } catch (error) {
    const absent = [Deno.errors.NotFound, Deno.errors.NotADirectory];
    if (absent.some((kind) => error instanceof kind)) return [];
    throw error;
  }
}

/** Steps of the checkpoints with numbers, the newest first. */
async function numberedSteps(folder: string): Promise<number[]> {
  const steps = (await namesIn(folder)).map((name) => {
    const step = /^checkpoint-(\d{6,15})\.safetensors$/.exec(name)?.[1];
    return step === undefined ? NaN : Number(step);
  });
  return steps.filter((step) => !Number.isNaN(step)).sort((a, b) => b - a);
}

/** Whether a folder holds a run that can be gone on with. */
export async function holdsRun(folder: string): Promise<boolean> {
  return await exists(runFile(folder, "checkpoint")) || (await numberedSteps(folder)).length > 0;
}

/** A checkpoint and where it was. */
export interface FoundCheckpoint {
  readonly file: string;
  readonly checkpoint: Checkpoint;
}

/**
 * The checkpoint at a path: a file, or a folder that holds a run or a model. Of a run it is the newest that
 * is whole; one that is not is named in a line.
 *
 * @throws {FailureError} if there is none, or none that is whole, with the path before the reason.
 */
export async function readCheckpoint(path: string): Promise<FoundCheckpoint> {
  const found = await readIfCheckpoint(path) ?? await newestOf(path) ??
    await readIfCheckpoint(runFile(path, "model"));
  if (found !== null) return found;
  throw new FailureError(
    `Expected a checkpoint, or a folder with one, at ${path} but found none: make one with ` +
      "`deno task train`",
  );
}

/** The newest whole checkpoint of a run; null if there is no run. */
async function newestOf(folder: string): Promise<FoundCheckpoint | null> {
  const faults: FailureError[] = [];
  const attempt = async (file: string): Promise<FoundCheckpoint | null> => {
    try {
      return await readIfCheckpoint(file);
    } catch (error) {
      if (!(error instanceof FailureError)) throw error;
      faults.push(error);
      return null;
    }
  };
  let found = await attempt(runFile(folder, "checkpoint"));
  for (const step of await numberedSteps(folder)) {
    if (found !== null && found.checkpoint.step >= step) break;
    const numbered = await attempt(numberedFile(folder, step));
    if (numbered === null) continue;
    found = numbered;
    break;
  }
  if (faults.length === 0) return found;
  if (found === null) throw faults[0];
  for (const { message } of faults) note(`${message}; taking ${found.file} instead`);
  return found;
}

async function readIfCheckpoint(file: string): Promise<FoundCheckpoint | null> {
  const bytes = await readIfFile(file);
  if (bytes === null) return null;
  try {
    return { file, checkpoint: decodeCheckpoint(bytes) };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new FailureError(`Expected a checkpoint in ${file}. ${reason}`);
  }
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

/**
 * Makes a folder ready to train in: what a program that was ended had half written goes, and the checkpoint
 * that the run goes on from is `checkpoint.safetensors`, in place of one that is not whole.
 *
 * @param from the step and file that the run goes on from; null for a new one.
 */
export async function tidyRun(
  folder: string,
  from: { readonly step: number; readonly file: string } | null,
): Promise<void> {
  await removePartial(folder);
  await removePartial(progressFolder(folder));
  if (from === null) return;
  const newest = runFile(folder, "checkpoint");
  if (from.file !== newest) {
    const older = await readIfCheckpoint(newest).catch(() => null);
    if (older !== null) await Deno.rename(newest, numberedFile(folder, older.checkpoint.step));
    await Deno.rename(from.file, newest);
  }
  for (const step of await numberedSteps(folder)) {
    if (step > from.step) await Deno.remove(numberedFile(folder, step));
  }
}

async function removePartial(folder: string): Promise<void> {
  for (const name of await namesIn(folder)) {
    if (name.endsWith(".partial")) await Deno.remove(`${folder}/${name}`);
  }
}

/**
 * Saves a checkpoint of a run as its newest.
 *
 * @param before step of the newest so far, null if there is none.
 * @param keep how many checkpoints are left, this one included.
 */
export async function saveCheckpoint(
  folder: string,
  checkpoint: Checkpoint,
  before: number | null,
  keep: number,
): Promise<void> {
  const newest = runFile(folder, "checkpoint"), { step } = checkpoint;
  await writeAtomic(numberedFile(folder, step), encodeCheckpoint(checkpoint));
  if (before !== null && before !== step) {
    await Deno.rename(newest, numberedFile(folder, before));
  }
  await Deno.rename(numberedFile(folder, step), newest);
  for (const old of (await numberedSteps(folder)).slice(keep - 1)) {
    await Deno.remove(numberedFile(folder, old));
  }
}

/** Writes the averaged weights of a run by themselves: a quarter of its checkpoint, an eighth as F16. */
export async function saveModel(
  folder: string,
  checkpoint: Checkpoint,
  dtype: "F32" | "F16",
): Promise<void> {
  const { training: _, ...model } = checkpoint;
  await writeAtomic(runFile(folder, "model"), encodeCheckpoint(model, dtype));
}

/** Writes what a run is made with, for people: the checkpoint holds the same. */
export async function saveConfig(folder: string, checkpoint: Checkpoint): Promise<void> {
  const { unet, schedule, seed, train, prediction = "epsilon" } = checkpoint;
  const config = { unet: unetConfigToDiffusers(unet), schedule, prediction, seed, train };
  await writeAtomic(runFile(folder, "config"), `${JSON.stringify(config, null, 2)}\n`);
}
