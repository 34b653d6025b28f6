/**
 * `train`: trains a U-Net on images.
 *
 * @module
 */
import { createSchedule } from "../reference/schedule.ts";
import type { Checkpoint, RunOptions } from "../spec/checkpoint.ts";
import { type Backend, compileText } from "./backend.ts";
import { checkDeviceFlags, openBackend, PLACE_OPTIONS } from "./device_flags.ts";
import { type CommandSpec, type Flag, helpText, parseFlags } from "./flags.ts";
import { MetricsLog } from "./metrics.ts";
import { RunReport } from "./report/run_report.ts";
import {
  exists,
  progressFile,
  progressFolder,
  runFile,
  saveConfig,
  saveModel,
  tidyRun,
} from "./run_folder.ts";
import { EXIT, note, ProgressLine, runCommand, say } from "./terminal.ts";
import { openImages } from "./train_data.ts";
import { TRAIN_FLAGS, type TrainRequest } from "./train_flags.ts";
import { judge } from "./train_judgement.ts";
import { type Run, startRun } from "./train_options.ts";
import { drawGrid, PROGRESS_GRID } from "./train_samples.ts";
import { trainSteps } from "./training_loop.ts";

const TRAIN = {
  name: "train",
  summary: "trains a U-Net on images, draws samples and writes a report.",
  flags: TRAIN_FLAGS,
  examples: [
    ["deno task train", "The tiny preset, a few minutes on one core, into runs/tiny"],
    ["deno task train --steps 2000 --resume", "Go on with that run, exactly as if never stopped"],
    ["deno task train --seed 7 --steps 100 --out runs/short", "A short run of another seed"],
    [
      "deno task train --preset mnist --device webgpu",
      "A ten times larger network on WebGPU; an error if there is no adapter",
    ],
    ["deno task train --preset fashion --minutes 20", "Clothes, for twenty minutes"],
    [
      "deno task train --preset mnist --init models/mnist --seed 1 --out runs/more",
      "More training of the model that comes with the package",
    ],
    [
      "deno task train --preset mnist --data photos --image-size 32 --out runs/photos",
      "Pictures of your own, with a folder for each class",
    ],
    [
      "deno task train --device cpu --out runs/exact",
      "With the reference, whatever adapters there are",
    ],
  ],
} as const satisfies CommandSpec<Record<string, Flag>>;

/** Runs `train` with its arguments; returns the exit code. */
export async function train(args: readonly string[]): Promise<number> {
  const { help, values, given } = parseFlags(TRAIN, args);
  if (help) {
    say(helpText(TRAIN));
    return EXIT.success;
  }
  checkDeviceFlags(values);
  const run = await startRun({ values, given });
  const { folder, checkpoint, file } = run;
  const report = new RunReport(folder, ["train", ...args]);
  const log = await MetricsLog.open(
    runFile(folder, "metrics"),
    checkpoint.step,
    (metric) => report.add(metric),
  );
  try {
    await tidyRun(folder, file === null ? null : { step: checkpoint.step, file });
    const recorded = values.resume ? checkpoint.train : undefined;
    const backend = await openBackend(values, { recorded });
    try {
      return await trainOn(backend, run, values, log, report);
    } finally {
      backend.close();
    }
  } finally {
    log.close();
  }
}

/** Trains, judges and draws on a backend; returns the exit code. */
async function trainOn(
  backend: Backend,
  run: Run,
  values: TrainRequest["values"],
  log: MetricsLog,
  report: RunReport,
): Promise<number> {
  const { folder, steps, endless, saveEvery, sampleEvery } = run;
  const from = { ...run.checkpoint, train: trainedOn(backend, run.checkpoint.train) };
  await saveConfig(folder, from);
  const schedule = createSchedule(from.schedule);
  const { interrupted, release } = interruption();
  const drawsAt = (step: number) => sampleEvery > 0 && step > 0 && step % sampleEvery === 0;
  const onSaved = async (checkpoint: Checkpoint): Promise<void> => {
    const path = progressFile(folder, checkpoint.step);
    if (drawsAt(checkpoint.step) && !interrupted.aborted && !await exists(path)) {
      await Deno.mkdir(progressFolder(folder), { recursive: true });
      const what = `samples after step ${checkpoint.step}`;
      await drawGrid(backend, checkpoint, PROGRESS_GRID, path, what);
    }
    await report.write(checkpoint, endless ? null : steps);
  };
  // A program that was ended while it drew left the picture to this one.
  if (from.step > 0) await onSaved(from);
  const done = await trainAll(backend, run, {
    ...{ from, schedule, interrupted, log, onSaved },
    savesAt: (step) => step % saveEvery === 0 || drawsAt(step),
    onStep: (metric) => report.add(metric),
    keep: values.keep,
    time: values.minutes === undefined ? undefined : 60_000 * values.minutes,
  });
  release();
  if (interrupted.aborted) {
    note(`stopped after step ${done.step}; go on with --resume --out ${folder}`);
    return EXIT.interrupted;
  }
  if (values.minutes !== undefined && done.step < steps) {
    note(`time is up after step ${done.step}; more is --resume --out ${folder}`);
  }
  await finish(backend, run, done, schedule, values, log, report);
  return EXIT.success;
}

/** Takes the steps. */
async function trainAll(
  backend: Backend,
  run: Run,
  loop: Omit<
    Parameters<typeof trainSteps>[0],
    Exclude<keyof Run, "checkpoint"> | "trainer" | "progress"
  >,
): Promise<Checkpoint> {
  const { folder, dataset, steps, endless, batch, accumulate, optimiser, objective, examples } =
    run;
  const { from, schedule } = loop;
  const progress = new ProgressLine();
  const state = { ...from.training, ema: from.ema };
  const trainer = await backend.trainer(
    {
      ...{ config: from.unet, schedule, seed: from.seed, state },
      ...{ batch, accumulate, optimiser, objective },
    },
    (compiling) => progress.update(compileText(compiling)),
  );
  const done = await trainSteps({
    ...loop,
    ...{ folder, trainer, dataset, steps, endless, batch, optimiser, examples, progress },
  });
  trainer.close();
  return done;
}

/** What a run leaves besides its checkpoints: the model, a judgement, samples, a report. */
async function finish(
  backend: Backend,
  { folder, source, steps, endless }: Run,
  done: Checkpoint,
  schedule: ReturnType<typeof createSchedule>,
  values: TrainRequest["values"],
  log: MetricsLog,
  report: RunReport,
): Promise<void> {
  await saveModel(folder, done, values.half ? "F16" : "F32");
  say(runFile(folder, "model"));
  if (values.eval > 0) {
    const test = await openImages(source, "test");
    const heldOut = await judge(backend, done, schedule, test, values.eval);
    await log.append(heldOut);
    report.judged(heldOut);
    say(
      `held-out L_simple after ${done.step} steps on ${heldOut.images} test images: ` +
        `${heldOut.ema.toFixed(4)} (averaged weights), ${heldOut.raw.toFixed(4)} (raw weights)`,
    );
  }
  let drawn: string | undefined;
  if (values.samples !== 0) {
    const grid = {
      sampler: "ddpm",
      steps: values["sample-steps"],
      count: values.samples,
    } as const;
    const path = runFile(folder, "samples");
    await drawGrid(backend, done, grid, path, "samples");
    say(path);
    drawn = path;
  }
  await report.write(done, endless ? null : steps, drawn);
  say(runFile(folder, "report"));
}

/** A run's options, with the backend that it goes on with in place of the one before. */
function trainedOn({ record }: Backend, options: RunOptions): RunOptions {
  const others = Object.entries(options).filter(([name]) =>
    !PLACE_OPTIONS.some((place) => place === name)
  );
  return { ...Object.fromEntries(others), ...record };
}

/** A signal that the first Ctrl-C, or request to end, aborts; the second one ends the program. */
function interruption(): { readonly interrupted: AbortSignal; readonly release: () => void } {
  const controller = new AbortController();
  const signals: readonly Deno.Signal[] = Deno.build.os === "windows"
    ? ["SIGINT"]
    : ["SIGINT", "SIGTERM"];
  const release = () => {
    for (const signal of signals) Deno.removeSignalListener(signal, stop);
  };
  const stop = () => {
    release();
    controller.abort();
  };
  for (const signal of signals) Deno.addSignalListener(signal, stop);
  return { interrupted: controller.signal, release };
}

if (import.meta.main) Deno.exit(await runCommand(train, Deno.args));
