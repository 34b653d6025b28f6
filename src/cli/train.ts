/**
 * `train`: trains a U-Net on MNIST.
 *
 * @module
 */
import { imageGrid } from "../data/image_grid.ts";
import type { ImageDataset } from "../data/image_dataset.ts";
import { loadMnist } from "../data/mnist.ts";
import { encodePng } from "../data/png.ts";
import { writeAtomic } from "../data/write_atomic.ts";
import { createSchedule, type Schedule } from "../reference/schedule.ts";
import type { Checkpoint, RunOptions } from "../spec/checkpoint.ts";
import type { Parameters } from "../spec/unet_parameters.ts";
import { type Backend, compileText, type Compiling } from "./backend.ts";
import { checkDeviceFlags, openBackend, PLACE_OPTIONS } from "./device_flags.ts";
import { type CommandSpec, type Flag, helpText, parseFlags } from "./flags.ts";
import { HELD_OUT_BATCH, heldOutLoss } from "./held_out.ts";
import { appendMetric, keepMetricsUpTo, runFile, saveConfig, saveModel } from "./run_folder.ts";
import { allClasses, type SamplingOptions } from "./sampling.ts";
import { EXIT, note, ProgressLine, runCommand, say } from "./terminal.ts";
import { type Run, startRun, TRAIN_FLAGS, type TrainRequest } from "./train_options.ts";
import { trainSteps } from "./training_loop.ts";

const TRAIN = {
  name: "train",
  summary: "trains a U-Net on MNIST and draws a grid of samples.",
  flags: TRAIN_FLAGS,
  examples: [
    ["deno task train", "The tiny preset, a few minutes on one core, into runs/tiny"],
    ["deno task train --steps 2000 --resume", "Go on with that run, exactly as if never stopped"],
    ["deno task train --seed 7 --steps 100 --out runs/short", "A short run of another seed"],
    [
      "deno task train --preset mnist --batch 32 --device webgpu",
      "A ten times larger network on WebGPU; an error if there is no adapter",
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
  const dataset = await loadMnist("train", values.data);
  const run = await startRun({ values, given }, dataset);
  const recorded = values.resume ? run.checkpoint.train : undefined;
  const backend = await openBackend(values, { recorded });
  try {
    return await trainOn(backend, run, dataset, values);
  } finally {
    backend.close();
  }
}

/** Trains, judges and draws on a backend; returns the exit code. */
async function trainOn(
  backend: Backend,
  run: Run,
  dataset: ImageDataset,
  values: TrainRequest["values"],
): Promise<number> {
  const { folder, batch, accumulate, optimiser, labelDrop } = run;
  const from = { ...run.checkpoint, train: trainedOn(backend, run.checkpoint.train) };
  await saveConfig(folder, from);
  await keepMetricsUpTo(folder, from.step);
  const schedule = createSchedule(from.schedule);
  const interrupted = interruption();
  const progress = new ProgressLine();
  const state = { ...from.training, ema: from.ema };
  const trainer = await backend.trainer(
    { config: from.unet, schedule, seed: from.seed, state, batch, accumulate, optimiser },
    (compiling) => progress.update(compileText(compiling)),
  );
  const { steps, "save-every": saveEvery } = values;
  const done = await trainSteps({
    ...{ folder, from, trainer, schedule, dataset, steps, batch, labelDrop, saveEvery },
    ...{ interrupted, progress },
  });
  trainer.close();
  if (interrupted.aborted) {
    note(`stopped after step ${done.step}; go on with --resume --out ${folder}`);
    return EXIT.interrupted;
  }
  await saveModel(folder, done);
  say(runFile(folder, "model"));
  if (values.eval > 0) await evaluate(backend, folder, done, schedule, values.data, values.eval);
  if (values.samples > 0) await drawSamples(backend, folder, done, values);
  return EXIT.success;
}

/** A run's options, with the backend that it goes on with in place of the one before. */
function trainedOn({ record }: Backend, options: RunOptions): RunOptions {
  const others = Object.entries(options).filter(([name]) =>
    !PLACE_OPTIONS.some((place) => place === name)
  );
  return { ...Object.fromEntries(others), ...record };
}

/** Aborted by the first Ctrl-C, after which the step under way is finished and saved. */
function interruption(): AbortSignal {
  const controller = new AbortController();
  const stop = () => {
    Deno.removeSignalListener("SIGINT", stop);
    controller.abort();
  };
  Deno.addSignalListener("SIGINT", stop);
  return controller.signal;
}

/** Measures L_simple on test images, of the weights and of their average. */
async function evaluate(
  backend: Backend,
  folder: string,
  { unet: config, training, ema, step }: Checkpoint,
  schedule: Schedule,
  data: string | undefined,
  count: number,
): Promise<void> {
  const test = await loadMnist("test", data);
  const images = Math.min(count, test.count);
  const progress = new ProgressLine();
  const onCompile = (compiling: Compiling) => progress.update(compileText(compiling));
  const predictor = await backend.predictor(config, HELD_OUT_BATCH, onCompile);
  const conditional = config.numClassEmbeds !== null;
  const lossOf = (name: string, parameters: Parameters) =>
    heldOutLoss(
      (xt, times, classes) =>
        predictor.predict(parameters, xt, times, conditional ? classes : undefined),
      schedule,
      test,
      images,
      (done) => progress.update(`held-out loss of ${name}: ${done}/${images} images`),
    );
  const raw = await lossOf("the weights", training?.model ?? ema);
  const averaged = await lossOf("their average", ema);
  predictor.close();
  progress.finish();
  await appendMetric(folder, { kind: "heldOut", step, images, raw, ema: averaged });
  say(
    `held-out L_simple after ${step} steps on ${images} test images: ${averaged.toFixed(4)} ` +
      `(averaged weights), ${raw.toFixed(4)} (raw weights)`,
  );
}

/** Draws the grid of a run's end. */
async function drawSamples(
  backend: Backend,
  folder: string,
  { unet: config, ema, schedule, seed }: Checkpoint,
  values: { readonly samples: number; readonly "sample-steps": number },
): Promise<void> {
  const progress = new ProgressLine();
  const options: SamplingOptions = {
    sampler: "ddpm",
    steps: values["sample-steps"],
    spacing: "trailing",
    eta: 0,
    variance: "betaTilde",
    clip: "static",
    seed,
    first: 0,
    count: values.samples,
    batch: 16,
    classes: allClasses(config),
    guidance: null,
  };
  const images = await backend.sampleImages(config, ema, schedule, options, {
    onCompile: (compiling) => progress.update(compileText(compiling)),
    onShare: (share) => progress.update(`sampling: ${Math.round(100 * share)} %`),
  });
  progress.finish();
  const path = runFile(folder, "samples");
  await writeAtomic(path, encodePng(imageGrid(images, { zoom: 3 })));
  say(path);
}

if (import.meta.main) Deno.exit(await runCommand(train, Deno.args));
