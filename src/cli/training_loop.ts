/**
 * The steps of a training run: examples in, metrics and checkpoints out, whatever computes them.
 *
 * @module
 */
import type { ImageDataset } from "../data/image_dataset.ts";
import type { Schedule } from "../reference/schedule.ts";
import type { Checkpoint, TrainingState } from "../spec/checkpoint.ts";
import { DeviceLostError } from "../webgpu/errors.ts";
import type { StepResult, Trainer } from "./backend.ts";
import { appendMetric, runFile, saveCheckpoint } from "./run_folder.ts";
import { duration, FailureError, type ProgressLine } from "./terminal.ts";
import { type RunState, trainBatch } from "./trainer.ts";

/** A run, and how long it goes on. */
export interface TrainingLoop {
  readonly folder: string;
  /** Where it stands. */
  readonly from: Checkpoint & { readonly training: TrainingState };
  readonly trainer: Trainer;
  readonly schedule: Schedule;
  readonly dataset: ImageDataset;
  /** Steps in all. */
  readonly steps: number;
  /** Images per step. */
  readonly batch: number;
  /** Share of images shown without their class; null for a network without classes. */
  readonly labelDrop: number | null;
  /** Steps between saves. */
  readonly saveEvery: number;
  /** Ends the run after the step under way. */
  readonly interrupted: AbortSignal;
  readonly progress: ProgressLine;
}

/** What a loop keeps count of. */
interface Books {
  /** Step of the checkpoint in the folder; null if there is none. */
  saved: number | null;
  /** Steps whose results are known. */
  known: number;
  /** Loss, smoothed. */
  smooth: number;
  /** When the first result came: compilation, and the results that wait for it, say nothing of the pace. */
  start: number;
}

/**
 * Trains to step `steps`, or until interrupted, and saves the run.
 *
 * @throws {FailureError} if a loss or gradient is not finite; the checkpoint before it stays.
 * @throws {DeviceLostError} which says where to go on from.
 */
export async function trainSteps(loop: TrainingLoop): Promise<Checkpoint> {
  const { from } = loop;
  const saved = from.step > 0 ? from.step : null;
  const books: Books = { saved, known: from.step, smooth: NaN, start: NaN };
  try {
    return await walk(loop, books);
  } catch (error) {
    if (!(error instanceof DeviceLostError)) throw error;
    const { folder } = loop;
    const remains = books.saved === null
      ? "nothing had been saved"
      : `continue with --resume --out ${folder}: ${checkpointOf(loop, books)}`;
    throw new DeviceLostError(`${error.message}; ${remains}`);
  } finally {
    loop.progress.finish();
  }
}

async function walk(loop: TrainingLoop, books: Books): Promise<Checkpoint> {
  const {
    folder,
    from,
    trainer,
    schedule,
    dataset,
    steps,
    batch,
    saveEvery,
    labelDrop,
    interrupted,
  } = loop;
  const pending: Promise<StepResult>[] = [];
  /** Waits until only so many results are missing. */
  const settle = async (missing: number): Promise<void> => {
    while (pending.length > missing) {
      await keepBooks(loop, books, await pending[0]);
      pending.shift();
    }
  };
  const save = async (step: number): Promise<Checkpoint> => {
    // No state is saved before it is known that every loss on the way to it was finite.
    await settle(0);
    const checkpoint = at(from, step, await trainer.state());
    await saveCheckpoint(folder, checkpoint);
    books.saved = step;
    return checkpoint;
  };
  let step = from.step;
  while (step < steps && !interrupted.aborted) {
    const examples = trainBatch(dataset, schedule, from.seed, step, batch, labelDrop);
    step++;
    const result = trainer.step(examples, step);
    // Of several steps that fail, the first one's error is told.
    result.catch(() => {});
    pending.push(result);
    await settle(trainer.ahead);
    if (step % saveEvery === 0 && step < steps) await save(step);
    // Lets a signal in.
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  return await save(step);
}

function at(from: Checkpoint, step: number, { ema, ...training }: RunState): Checkpoint {
  return { ...from, step, ema, training };
}

async function keepBooks(
  loop: TrainingLoop,
  books: Books,
  { loss, gradNorm }: StepResult,
): Promise<void> {
  const { folder, from, steps, batch, progress } = loop;
  const step = books.known + 1;
  for (const [what, value] of [["loss", loss], ["gradient norm", gradNorm]] as const) {
    if (Number.isFinite(value)) continue;
    throw new FailureError(
      `Expected a finite ${what} at step ${step} but got ${value}: try a lower --lr; ` +
        (books.saved === null ? "nothing was saved" : checkpointOf(loop, books)),
    );
  }
  await appendMetric(folder, { kind: "train", step, loss, gradNorm });
  books.known = step;
  books.smooth = Number.isNaN(books.smooth) ? loss : 0.95 * books.smooth + 0.05 * loss;
  const now = performance.now();
  if (Number.isNaN(books.start)) books.start = now;
  const rate = (step - 1 - from.step) / ((now - books.start) / 1000);
  const pace = rate > 0 && Number.isFinite(rate)
    ? `  ${(rate * batch).toFixed(1)} images/s  ${duration((steps - step) / rate)} left`
    : "";
  progress.update(`step ${step}/${steps}  loss ${books.smooth.toFixed(4)}${pace}`);
}

function checkpointOf({ folder }: TrainingLoop, { saved }: Books): string {
  return `${runFile(folder, "checkpoint")} is from step ${saved}`;
}
