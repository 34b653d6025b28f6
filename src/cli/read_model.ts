/**
 * Models to sample from: this package's, or folders of diffusers.
 *
 * @module
 */
import { isDiffusersFolder, readDiffusersFolder } from "../convert/diffusers_folder.ts";
import type { SchedulerSampling } from "../convert/scheduler_config.ts";
import { type FoundCheckpoint, readCheckpoint } from "./run_folder.ts";

/** A model, where it was, and how it asks to be sampled. */
export interface FoundModel extends FoundCheckpoint {
  /** What the scheduler of a folder of diffusers does; null where there is none. */
  readonly sampling: SchedulerSampling | null;
}

/**
 * The model at a path: a checkpoint or the folder of a run, as {@linkcode readCheckpoint} finds them, or a
 * folder of diffusers: a pipeline, or a `UNet2DModel` by itself, whose process is then taken to be DDPM's.
 *
 * @throws {FailureError} if there is none.
 * @throws {FormatError} naming the file of a folder of diffusers that is not as it should be.
 */
export async function readModel(path: string): Promise<FoundModel> {
  if (!await isDiffusersFolder(path)) return { ...await readCheckpoint(path), sampling: null };
  const { file, checkpoint, scheduler } = await readDiffusersFolder(path);
  return { file, checkpoint, sampling: scheduler?.sampling ?? null };
}
