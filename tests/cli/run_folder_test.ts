import { assertEquals, assertRejects } from "@std/assert";
import { lossByQuartile, MetricsLog, type StepMetric } from "../../src/cli/metrics.ts";
import {
  holdsRun,
  namesIn,
  readCheckpoint,
  saveCheckpoint,
  tidyRun,
} from "../../src/cli/run_folder.ts";
import { FailureError } from "../../src/cli/terminal.ts";
import { initialState } from "../../src/cli/trainer.ts";
import { type Checkpoint, encodeCheckpoint } from "../../src/spec/checkpoint.ts";
import { DDPM_SCHEDULE } from "../../src/spec/schedule_config.ts";
import { MICRO } from "./support.ts";

const { ema, ...training } = initialState(MICRO, 0);
const at = (step: number): Checkpoint => ({
  ...{ unet: MICRO, schedule: DDPM_SCHEDULE, step, seed: 0, train: {}, ema, training },
});
const NEWEST = "checkpoint.safetensors";
const numbered = (step: number) => `checkpoint-${String(step).padStart(6, "0")}.safetensors`;

async function inRun(test: (run: string) => Promise<void>): Promise<void> {
  const run = await Deno.makeTempDir();
  try {
    await test(run);
  } finally {
    await Deno.remove(run, { recursive: true });
  }
}

Deno.test("the newest checkpoints are kept, as many as asked for, and the newest has the plain name", async () => {
  for (
    const [keep, left] of [
      [1, [NEWEST]],
      [3, [numbered(20), numbered(30), NEWEST]],
      [9, [numbered(10), numbered(20), numbered(30), NEWEST]],
    ] as const
  ) {
    await inRun(async (run) => {
      assertEquals(await holdsRun(run), false);
      let before: number | null = null;
      for (const step of [10, 20, 30, 1234567]) {
        await saveCheckpoint(run, at(step), before, keep);
        before = step;
      }
      // The same step again, as where a run goes on elsewhere, takes the place of what there is.
      await saveCheckpoint(run, { ...at(1234567), train: { device: "b" } }, before, keep);
      assertEquals(await namesIn(run), [...left]);
      const { step, train } = (await readCheckpoint(run)).checkpoint;
      assertEquals([step, train.device], [1234567, "b"]);
      assertEquals(await holdsRun(run), true);
    });
  }
});

/** What a program may leave that is ended while it saves step 20 after step 10, and what is gone on from. */
const LEFT: Record<string, { files: Record<string, number | "cut">; step: number }> = {
  "before the first file is whole": {
    files: { [NEWEST]: 10, [`${numbered(20)}.partial`]: "cut" },
    step: 10,
  },
  "when the new file is whole": { files: { [NEWEST]: 10, [numbered(20)]: 20 }, step: 20 },
  "between the two new names": { files: { [numbered(10)]: 10, [numbered(20)]: 20 }, step: 20 },
  "before the oldest is removed": { files: { [NEWEST]: 20, [numbered(10)]: 10 }, step: 20 },
  // These need a disk that lies or a file that was copied in part.
  "with the newest cut short": { files: { [NEWEST]: "cut", [numbered(10)]: 10 }, step: 10 },
  "with a numbered one cut short": { files: { [NEWEST]: 10, [numbered(20)]: "cut" }, step: 10 },
  "with two cut short": {
    files: { [NEWEST]: "cut", [numbered(20)]: "cut", [numbered(10)]: 10 },
    step: 10,
  },
};

for (const [when, { files, step }] of Object.entries(LEFT)) {
  Deno.test(`a run that was ended while it saved goes on from the newest whole checkpoint: ${when}`, async () => {
    await inRun(async (run) => {
      for (const [name, content] of Object.entries(files)) {
        const bytes = encodeCheckpoint(at(content === "cut" ? 30 : content));
        const whole = content === "cut" ? bytes.subarray(0, bytes.length - 4) : bytes;
        await Deno.writeFile(`${run}/${name}`, whole);
      }
      const { file, checkpoint } = await readCheckpoint(run);
      assertEquals(checkpoint.step, step);
      await tidyRun(run, { step, file });
      // No whole one is lost.
      const whole = Object.values(files).filter((content) => content !== "cut" && content !== step);
      assertEquals(await namesIn(run), [...whole.map((old) => numbered(Number(old))), NEWEST]);
      assertEquals((await readCheckpoint(`${run}/${NEWEST}`)).checkpoint.step, step);
      await saveCheckpoint(run, at(25), step, 2);
      assertEquals(await namesIn(run), [numbered(step), NEWEST]);
      for (const [name, saved] of [[numbered(step), step], [NEWEST, 25]] as const) {
        assertEquals((await readCheckpoint(`${run}/${name}`)).checkpoint.step, saved);
      }
    });
  });
}

Deno.test("a run with no whole checkpoint is an error that names the newest", async () => {
  await inRun(async (run) => {
    for (const name of [NEWEST, numbered(10)]) await Deno.writeTextFile(`${run}/${name}`, "x");
    await assertRejects(
      () => readCheckpoint(run),
      FailureError,
      `Expected a checkpoint in ${run}/${NEWEST}. `,
    );
  });
});

const metric = (step: number): StepMetric => ({
  ...{ kind: "train", step, loss: 1, lossByQuartile: lossByQuartile([1], [step], 1000) },
  ...{ gradNorm: 2, lr: 3, imagesPerSecond: null },
});

Deno.test("the metrics of a run that goes on are those up to its checkpoint, and half a line goes", async () => {
  await inRun(async (run) => {
    const path = `${run}/metrics.jsonl`;
    const log = await MetricsLog.open(path, 0);
    for (const step of [1, 2, 3]) await log.append(metric(step));
    await log.append({ kind: "heldOut", step: 3, images: 1, raw: 1, ema: 1 });
    log.close();
    const whole = await Deno.readTextFile(path);
    const steps = whole.slice(0, whole.lastIndexOf("\n", whole.length - 2) + 1);
    for (
      const [content, step, kept] of [
        [whole, 3, [1, 2, 3]],
        [whole, 2, [1, 2]],
        [steps + '{"kind":"train","step":4', 9, [1, 2, 3]],
        [steps + '{"kind":"train","step":4}\n', 9, [1, 2, 3]],
        [whole, 0, []],
      ] as const
    ) {
      await Deno.writeTextFile(path, content);
      const seen: StepMetric[] = [];
      (await MetricsLog.open(path, step, (line) => seen.push(line))).close();
      assertEquals(seen, kept.map(metric));
      const lines = (await Deno.readTextFile(path)).split("\n");
      assertEquals(lines.pop(), "");
      assertEquals(lines.map((line) => JSON.parse(line)), kept.map(metric));
    }
  });
});

Deno.test("while a run's metrics are open no other training gets them", async () => {
  await inRun(async (run) => {
    const path = `${run}/metrics.jsonl`;
    const log = await MetricsLog.open(path, 0);
    await log.append(metric(1));
    await assertRejects(
      () => MetricsLog.open(path, 0),
      FailureError,
      `${path} is in use by another`,
    );
    await log.append(metric(2));
    log.close();
    const seen: number[] = [];
    (await MetricsLog.open(path, 9, ({ step }) => seen.push(step))).close();
    assertEquals(seen, [1, 2]);
  });
});
