/**
 * The loop of a training run around trainers that are made up: what it asks of them, saves and says.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { StepResult, Trainer } from "../../src/cli/backend.ts";
import { MetricsLog } from "../../src/cli/metrics.ts";
import { exists } from "../../src/cli/run_folder.ts";
import { FailureError, ProgressLine } from "../../src/cli/terminal.ts";
import { initialState, trainBatch } from "../../src/cli/trainer.ts";
import { type TrainingLoop, trainSteps } from "../../src/cli/training_loop.ts";
import type { ImageDataset } from "../../src/data/image_dataset.ts";
import { createSchedule } from "../../src/reference/schedule.ts";
import { decodeCheckpoint } from "../../src/spec/checkpoint.ts";
import { DDPM_SCHEDULE } from "../../src/spec/schedule_config.ts";
import { DeviceLostError } from "../../src/webgpu/errors.ts";
import { MICRO } from "./support.ts";

const dataset: ImageDataset = {
  count: 2,
  imageShape: [1, 8, 8],
  pixels: new Uint8Array(128),
  labels: new Uint8Array(2),
  classes: 10,
};

/** A run in a folder of its own, removed after `test`. */
async function withLoop(
  trainer: Trainer,
  test: (loop: TrainingLoop) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  const { ema, ...training } = initialState(MICRO, 0);
  const shared = { schedule: DDPM_SCHEDULE, step: 0, seed: 0, train: {} };
  const log = await MetricsLog.open(`${folder}/metrics.jsonl`, 0);
  try {
    await test({
      folder,
      from: { unet: MICRO, ...shared, ema, training },
      trainer,
      schedule: createSchedule(DDPM_SCHEDULE),
      dataset,
      steps: 10,
      batch: 1,
      examples: {},
      optimiser: { lr: 1e-3, warmup: 2, decay: 0, ema: 0.99, clipNorm: 1 },
      savesAt: (step) => step % 3 === 0,
      keep: 1,
      log,
      interrupted: new AbortController().signal,
      progress: new ProgressLine(),
    });
  } finally {
    log.close();
    await Deno.remove(folder, { recursive: true });
  }
}

/** A trainer whose results come some time after the step was asked for. */
class LateTrainer implements Trainer {
  readonly ahead = 2;
  readonly #result: (step: number) => StepResult;
  readonly #waiting: (() => void)[] = [];
  /** Most results that were missing at once. */
  most = 0;

  constructor(result: (step: number) => StepResult) {
    this.#result = result;
  }

  step(_batch: unknown, step: number): Promise<StepResult> {
    const { promise, resolve, reject } = Promise.withResolvers<StepResult>();
    this.#waiting.push(() => {
      try {
        resolve(this.#result(step));
      } catch (error) {
        reject(error);
      }
    });
    this.most = Math.max(this.most, this.#waiting.length);
    // As a device does, whether or not anyone waits; not sooner than the next turn.
    setTimeout(() => this.#waiting.shift()?.(), 25);
    return promise;
  }

  state() {
    assertEquals(this.#waiting.length, 0, "a state was asked for before all results were known");
    return Promise.resolve(initialState(MICRO, 1));
  }

  close() {}
}

const fine = { loss: 1, losses: [1], gradNorm: 1 };

async function savedStep(folder: string): Promise<number | null> {
  const path = `${folder}/checkpoint.safetensors`;
  return await exists(path) ? decodeCheckpoint(await Deno.readFile(path)).step : null;
}

Deno.test("no more than three results are missing at once, and a state is only saved when all are known", async () => {
  const trainer = new LateTrainer(() => fine);
  await withLoop(trainer, async (loop) => {
    assertEquals((await trainSteps({ ...loop, savesAt: (step) => step === 6 })).step, 10);
    assertEquals(trainer.most, 3);
    assertEquals(await savedStep(loop.folder), 10);
    const lines = (await Deno.readTextFile(`${loop.folder}/metrics.jsonl`)).trimEnd().split("\n");
    const steps = Array.from({ length: 10 }, (_, i) => i + 1);
    assertEquals(lines.map((line) => JSON.parse(line).step), steps);
  });
});

Deno.test("a step's line has its own loss by quarter of t, its rate, and a pace where there is one", async () => {
  const trainer = new LateTrainer((step) => ({ ...fine, losses: [step] }));
  await withLoop(trainer, async (loop) => {
    await trainSteps({ ...loop, savesAt: (step) => step === 6 });
    const text = await Deno.readTextFile(`${loop.folder}/metrics.jsonl`);
    text.trimEnd().split("\n").forEach((line, i) => {
      const step = i + 1;
      const { lossByQuartile, lr, imagesPerSecond } = JSON.parse(line);
      const [t] = trainBatch(dataset, loop.schedule, 0, i, 1).times;
      const expected = [null, null, null, null].map((_, q) =>
        t > 250 * q && t <= 250 * (q + 1) ? step : null
      );
      assertEquals(lossByQuartile, expected, `step ${step} at t = ${t}`);
      assertEquals(lr, step === 1 ? 5e-4 : 1e-3);
      // The first result after the start or a save only starts the clock, and those that are waited for
      // before a save come all at once.
      if ([1, 5, 6, 7, 9, 10].includes(step)) assertEquals(imagesPerSecond, null);
      else assert(imagesPerSecond > 0);
    });
  });
});

Deno.test("a run that is out of time ends after the step under way and is saved", async () => {
  // A step takes 25 ms and more, three are under way.
  await withLoop(new LateTrainer(() => fine), async (loop) => {
    const { step } = await trainSteps({ ...loop, steps: 100_000, time: 100 });
    assert(step >= 1 && step < 100, `${step} steps`);
    assertEquals(await savedStep(loop.folder), step);
  });
});

Deno.test("a loss or gradient that is not finite ends the run and leaves the checkpoint before it", async () => {
  for (
    const [bad, name, saved, remains] of [
      [{ ...fine, loss: NaN }, "loss at step 6 but got NaN", 3, "is from step 3"],
      [{ ...fine, loss: Infinity }, "loss at step 6 but got Infinity", 3, "is from step 3"],
      [{ ...fine, gradNorm: NaN }, "gradient norm at step 6 but got NaN", 3, "is from step 3"],
      [{ ...fine, loss: NaN }, "loss at step 2 but got NaN", null, "nothing was saved"],
    ] as const
  ) {
    const at = Number(/step (\d+)/.exec(name)?.[1]);
    await withLoop(
      new LateTrainer((step) => step === at ? bad : fine),
      async (loop) => {
        const error = await assertRejects(() => trainSteps(loop), FailureError, remains);
        assertEquals(
          error.message.startsWith(`Expected a finite ${name}: try a lower --lr; `),
          true,
        );
        assertEquals(await savedStep(loop.folder), saved);
      },
    );
  }
});

Deno.test("a device that goes away says where to go on from", async () => {
  for (
    const [at, remains] of [
      [5, /^gone; continue with --resume --out (\S+): \1\/checkpoint\.safetensors is from step 3$/],
      [2, /^gone; nothing had been saved$/],
    ] as const
  ) {
    const trainer = new LateTrainer((step) => {
      if (step >= at) throw new DeviceLostError("gone");
      return fine;
    });
    await withLoop(trainer, async (loop) => {
      const { message } = await assertRejects(() => trainSteps(loop), DeviceLostError);
      assertEquals(remains.test(message), true, message);
    });
  }
});
