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
import { lossByQuartile, type MetricsLog, type StepMetric } from "./metrics.ts";
import { runFile, saveCheckpoint } from "./run_folder.ts";
import { bar, duration, FailureError, type ProgressLine } from "./terminal.ts";
import {
  type ExampleOptions,
  learningRate,
  type OptimiserOptions,
  type RunState,
  trainBatch,
} from "./trainer.ts";

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
  /** Whether time alone is meant to end the run. */
  readonly endless?: boolean;
  /** Images per step. */
  readonly batch: number;
  readonly examples: ExampleOptions;
  readonly optimiser: OptimiserOptions;
  /** Whether the run is saved after a step; after the last it always is. */
  readonly savesAt: (step: number) => boolean;
  /** How many checkpoints are left in the folder. */
  readonly keep: number;
  readonly log: MetricsLog;
  /** Told of every step. */
  readonly onStep?: (metric: StepMetric) => void;
  /** Told of every save, and awaited. */
  readonly onSaved?: (checkpoint: Checkpoint) => Promise<void>;
  /** Ends the run after the step under way. */
  readonly interrupted: AbortSignal;
  /** Milliseconds after which the run ends, counted from the start of the loop. Default: never. */
  readonly time?: number;
  readonly progress: ProgressLine;
}

/** A step whose result is not known yet. */
interface PendingStep {
  readonly result: Promise<StepResult>;
  readonly times: readonly number[];
}

/** What a loop keeps count of. */
interface Books {
  readonly start: number;
  /** Step of the checkpoint in the folder; null if there is none. */
  saved: number | null;
  /** Steps whose results are known. */
  known: number;
  /** Loss, smoothed. */
  smooth: number;
  /** When the result before came; NaN where what came since then says nothing of the pace. */
  last: number;
  /** Time and number of the steps that tell the pace. */
  seconds: number;
  counted: number;
}

/**
 * Trains to step `steps`, or until interrupted or out of time, and saves the run.
 *
 * @throws {FailureError} if a loss or gradient is not finite; the checkpoint before it stays.
 * @throws {DeviceLostError} which says where to go on from.
 */
export async function trainSteps(loop: TrainingLoop): Promise<Checkpoint> {
  const { from } = loop;
  const books: Books = {
    start: performance.now(),
    saved: from.step > 0 ? from.step : null,
    known: from.step,
    ...{ smooth: NaN, last: NaN, seconds: 0, counted: 0 },
  };
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
  const { folder, from, trainer, schedule, dataset, steps, batch, interrupted } = loop;
  const pending: PendingStep[] = [];
  /** Waits until only so many results are missing. */
  const settle = async (missing: number): Promise<void> => {
    while (pending.length > missing) {
      // What is waited for before a save comes in one go, whatever the pace.
      if (missing < trainer.ahead) books.last = NaN;
      await keepBooks(loop, books, await pending[0].result, pending[0].times);
      pending.shift();
    }
  };
  const save = async (step: number): Promise<Checkpoint> => {
    // No state is saved before it is known that every loss on the way to it was finite.
    await settle(0);
    const checkpoint = at(from, step, await trainer.state());
    await loop.log.flush();
    await saveCheckpoint(folder, checkpoint, books.saved, loop.keep);
    books.saved = step;
    await loop.onSaved?.(checkpoint);
    books.last = NaN;
    return checkpoint;
  };
  let step = from.step;
  const goesOn = () => step < steps && !interrupted.aborted && elapsed(books) < timeOf(loop);
  while (goesOn()) {
    const examples = trainBatch(dataset, schedule, from.seed, step, batch, loop.examples);
    step++;
    const result = trainer.step(examples, step);
    // Of several steps that fail, the first one's error is told.
    result.catch(() => {});
    pending.push({ result, times: examples.times });
    await settle(trainer.ahead);
    if (loop.savesAt(step) && step < steps) await save(step);
    // Lets a signal in.
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  return await save(step);
}

const timeOf = ({ time = Infinity }: TrainingLoop) => time;
const elapsed = ({ start }: Books) => performance.now() - start;

function at(from: Checkpoint, step: number, { ema, ...training }: RunState): Checkpoint {
  return { ...from, step, ema, training };
}

async function keepBooks(
  loop: TrainingLoop,
  books: Books,
  { loss, losses, gradNorm }: StepResult,
  times: readonly number[],
): Promise<void> {
  const { optimiser, schedule } = loop;
  const step = books.known + 1;
  for (const [what, value] of [["loss", loss], ["gradient norm", gradNorm]] as const) {
    if (Number.isFinite(value)) continue;
    throw new FailureError(
      `Expected a finite ${what} at step ${step} but got ${value}: try a lower --lr; ` +
        (books.saved === null ? "nothing was saved" : checkpointOf(loop, books)),
    );
  }
  const now = performance.now(), seconds = (now - books.last) / 1000;
  books.last = now;
  const metric: StepMetric = {
    kind: "train",
    ...{ step, loss, lossByQuartile: lossByQuartile(losses, times, schedule.T), gradNorm },
    lr: learningRate(optimiser, step),
    imagesPerSecond: seconds > 0 ? Number((times.length / seconds).toPrecision(4)) : null,
  };
  await loop.log.append(metric);
  loop.onStep?.(metric);
  books.known = step;
  books.smooth = Number.isNaN(books.smooth) ? loss : 0.95 * books.smooth + 0.05 * loss;
  if (seconds > 0) {
    books.seconds += seconds;
    books.counted++;
  }
  loop.progress.update(progressText(loop, books));
}

function progressText(loop: TrainingLoop, books: Books): string {
  const { steps, from, batch } = loop, { known: step } = books;
  const spent = elapsed(books), time = timeOf(loop);
  const share = Math.min(
    1,
    Math.max((step - from.step) / Math.max(1, steps - from.step), spent / time),
  );
  const rate = books.counted / books.seconds;
  const pace = rate > 0 && Number.isFinite(rate)
    ? `  ${(rate * batch).toFixed(1)} images/s  ` +
      `${duration(Math.max(0, Math.min((steps - step) / rate, (time - spent) / 1000)))} left`
    : "";
  const goal = loop.endless ? "" : `/${steps}`;
  return `${bar(share)}  step ${step}${goal}  loss ${books.smooth.toFixed(4)}${pace}`;
}

function checkpointOf({ folder }: TrainingLoop, { saved }: Books): string {
  return `${runFile(folder, "checkpoint")} is from step ${saved}`;
}
