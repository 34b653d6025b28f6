/**
 * `metrics.jsonl`: what a run wrote down of every step, and of the judgement at its end.
 *
 * @module
 */
import { FailureError } from "./terminal.ts";

/** What a step left. */
export interface StepMetric {
  readonly kind: "train";
  /** Number of the step; the first is 1. */
  readonly step: number;
  /** The loss that was trained on, mean over elements, before the step. */
  readonly loss: number;
  /** Mean squared error of the examples by the quarter of 1..T that their time is in; null where there were none. */
  readonly lossByQuartile: readonly (number | null)[];
  /** Global norm of the gradient, before clipping. */
  readonly gradNorm: number;
  /** Learning rate of the step. */
  readonly lr: number;
  /** Images per second since the step before; null where that says nothing of the pace. */
  readonly imagesPerSecond: number | null;
}

/** A judgement on images that were not trained on. */
export interface HeldOutMetric {
  readonly kind: "heldOut";
  readonly step: number;
  /** Number of test images. */
  readonly images: number;
  /** L_simple of the weights. */
  readonly raw: number;
  /** L_simple of the averaged weights. */
  readonly ema: number;
}

/** A line of `metrics.jsonl`. */
export type Metric = StepMetric | HeldOutMetric;

/** Parts that 1..T is cut into. */
export const QUARTILES = 4;

/**
 * The mean of some losses by the quarter of 1..T that their time is in; null where there are none.
 *
 * @param losses one per example.
 * @param times of the examples, 1..T.
 */
export function lossByQuartile(
  losses: ArrayLike<number>,
  times: readonly number[],
  T: number,
): (number | null)[] {
  const sums = new Array<number>(QUARTILES).fill(0), counts = new Array<number>(QUARTILES).fill(0);
  times.forEach((t, n) => {
    const quartile = Math.floor(QUARTILES * (t - 1) / T);
    sums[quartile] += losses[n];
    counts[quartile]++;
  });
  return sums.map((sum, quartile) => counts[quartile] === 0 ? null : sum / counts[quartile]);
}

/**
 * The open file of a run's metrics. While it is open it is locked, so that no two trainings work in one
 * folder; the system gives the lock back however a program ends.
 */
export class MetricsLog {
  readonly #file: Deno.FsFile;

  private constructor(file: Deno.FsFile) {
    this.#file = file;
  }

  /**
   * Opens the metrics of a run that goes on from a step, and drops the lines after it: they are made again.
   *
   * @param onStep called with every line that is kept.
   * @throws {FailureError} if another training has it open.
   */
  static async open(
    path: string,
    step: number,
    onStep: (metric: StepMetric) => void = () => {},
  ): Promise<MetricsLog> {
    const file = await Deno.open(path, { read: true, write: true, create: true });
    try {
      if (!await file.tryLock(true)) {
        throw new FailureError(
          `Expected a folder of its own for every training but ${path} is in use by another`,
        );
      }
      const kept = keptBytes(await Deno.readFile(path), step, onStep);
      await file.truncate(kept);
      await file.seek(kept, Deno.SeekMode.Start);
      return new MetricsLog(file);
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** Adds a line. */
  async append(metric: Metric): Promise<void> {
    const bytes = new TextEncoder().encode(`${JSON.stringify(metric)}\n`);
    for (let done = 0; done < bytes.length;) done += await this.#file.write(bytes.subarray(done));
  }

  /** Waits until the lines so far are on the disk. */
  async flush(): Promise<void> {
    await this.#file.syncData();
  }

  /** Closes the file and gives the lock back. */
  close(): void {
    this.#file.close();
  }
}

const NEWLINE = 10;

/** Bytes of the lines up to a step. One that a crash cut short, and whatever is after it, goes. */
function keptBytes(
  bytes: Uint8Array,
  step: number,
  onStep: (metric: StepMetric) => void,
): number {
  const decoder = new TextDecoder();
  let start = 0;
  for (;;) {
    const end = bytes.indexOf(NEWLINE, start);
    const metric = end < 0 ? null : stepMetric(decoder.decode(bytes.subarray(start, end)));
    if (metric === null || metric.step > step) return start;
    onStep(metric);
    start = end + 1;
  }
}

/** The metric of a step in a line; null if it is none. Lines of older runs lack what was not measured then. */
function stepMetric(line: string): StepMetric | null {
  try {
    const json: unknown = JSON.parse(line);
    if (!isStepMetric(json)) return null;
    return { ...NOT_MEASURED, ...json };
  } catch {
    return null;
  }
}

const NOT_MEASURED = {
  lossByQuartile: new Array<null>(QUARTILES).fill(null),
  lr: NaN,
  imagesPerSecond: null,
};

function isStepMetric(
  json: unknown,
): json is Omit<StepMetric, keyof typeof NOT_MEASURED> & Partial<StepMetric> {
  return typeof json === "object" && json !== null && "kind" in json && json.kind === "train" &&
    "step" in json && typeof json.step === "number" &&
    "loss" in json && typeof json.loss === "number" &&
    "gradNorm" in json && typeof json.gradNorm === "number";
}
