/**
 * `train`: trains a U-Net on MNIST with the reference.
 *
 * @module
 */
import { imageGrid } from "../data/image_grid.ts";
import type { ImageDataset } from "../data/image_dataset.ts";
import { loadMnist } from "../data/mnist.ts";
import { encodePng } from "../data/png.ts";
import { writeAtomic } from "../data/write_atomic.ts";
import { createSchedule, type Schedule } from "../reference/schedule.ts";
import { unet } from "../reference/unet.ts";
import type { Checkpoint } from "../spec/checkpoint.ts";
import type { Parameters } from "../spec/unet_parameters.ts";
import { type CommandSpec, type Flag, helpText, parseFlags } from "./flags.ts";
import { heldOutLoss } from "./held_out.ts";
import {
  appendMetric,
  keepMetricsUpTo,
  runFile,
  saveCheckpoint,
  saveConfig,
  saveModel,
} from "./run_folder.ts";
import { sampleImages } from "./sampling.ts";
import { duration, EXIT, FailureError, note, ProgressLine, runCommand, say } from "./terminal.ts";
import { startRun, TRAIN_FLAGS, type TrainRequest } from "./train_options.ts";
import { networkTimes, type OptimiserOptions, trainBatch, trainStep } from "./trainer.ts";

const TRAIN = {
  name: "train",
  summary: "trains a U-Net on MNIST and draws a grid of samples.",
  flags: TRAIN_FLAGS,
  examples: [
    ["deno task train", "The tiny preset, a few minutes on one core, into runs/tiny"],
    ["deno task train --steps 2000 --resume", "Go on with that run, exactly as if never stopped"],
    ["deno task train --seed 7 --steps 100 --out runs/short", "A short run of another seed"],
  ],
} as const satisfies CommandSpec<Record<string, Flag>>;

/** Runs `train` with its arguments; returns the exit code. */
export async function train(args: readonly string[]): Promise<number> {
  const { help, values, given } = parseFlags(TRAIN, args);
  if (help) {
    say(helpText(TRAIN));
    return EXIT.success;
  }
  const request: TrainRequest = { values, given };
  const trainingSet = await loadMnist("train", values.data);
  const run = await startRun(request, trainingSet);
  await saveConfig(run.folder, run.checkpoint);
  await keepMetricsUpTo(run.folder, run.checkpoint.step);

  const schedule = createSchedule(run.checkpoint.schedule);
  const interrupted = interruption();
  const done = await trainSteps(
    run.folder,
    run.checkpoint,
    run.optimiser,
    schedule,
    trainingSet,
    { steps: values.steps, batch: run.batch, saveEvery: values["save-every"] },
    interrupted,
  );
  if (interrupted.aborted) {
    note(`stopped after step ${done.step}; go on with --resume --out ${run.folder}`);
    return EXIT.interrupted;
  }
  await saveModel(run.folder, done);
  say(runFile(run.folder, "model"));
  if (values.eval > 0) await evaluate(run.folder, done, schedule, values.data, values.eval);
  if (values.samples > 0) await drawSamples(run.folder, done, values);
  return EXIT.success;
}

/** How long a run goes on and how often it is saved. */
interface Pace {
  readonly steps: number;
  readonly batch: number;
  readonly saveEvery: number;
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

/** Trains from a checkpoint to step `pace.steps`, or until interrupted, and saves it. */
async function trainSteps(
  folder: string,
  from: Checkpoint & { readonly training: NonNullable<Checkpoint["training"]> },
  optimiser: OptimiserOptions,
  schedule: Schedule,
  dataset: ImageDataset,
  pace: Pace,
  interrupted: AbortSignal,
): Promise<Checkpoint> {
  const { unet: config, seed } = from;
  const at = (step: number, { ema, ...training }: typeof state): Checkpoint => (
    { ...from, step, ema, training }
  );
  let state = { ...from.training, ema: from.ema };
  let step = from.step;
  let smooth = NaN;
  const start = performance.now();
  const progress = new ProgressLine();
  while (step < pace.steps && !interrupted.aborted) {
    const batch = trainBatch(dataset, schedule, seed, step, pace.batch);
    step++;
    const result = trainStep(config, schedule, seed, state, batch, step, optimiser);
    if (!Number.isFinite(result.loss)) {
      progress.finish();
      throw new FailureError(
        `Expected a finite loss at step ${step} but got ${result.loss}: try a lower --lr; ` +
          `${runFile(folder, "checkpoint")} is from before it`,
      );
    }
    state = result.state;
    const { loss, gradNorm } = result;
    await appendMetric(folder, { kind: "train", step, loss, gradNorm });
    if (step % pace.saveEvery === 0 && step < pace.steps) {
      await saveCheckpoint(folder, at(step, state));
    }

    smooth = Number.isNaN(smooth) ? loss : 0.95 * smooth + 0.05 * loss;
    const seconds = (performance.now() - start) / 1000;
    const rate = (step - from.step) / seconds;
    progress.update(
      `step ${step}/${pace.steps}  loss ${smooth.toFixed(4)}  ` +
        `${(rate * pace.batch).toFixed(1)} images/s  ${duration((pace.steps - step) / rate)} left`,
    );
    // Lets a signal in.
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  progress.finish();
  const done = at(step, state);
  await saveCheckpoint(folder, done);
  return done;
}

/** Measures L_simple on test images, of the weights and of their average. */
async function evaluate(
  folder: string,
  { unet: config, training, ema, step }: Checkpoint,
  schedule: Schedule,
  data: string | undefined,
  count: number,
): Promise<void> {
  const test = await loadMnist("test", data);
  const images = Math.min(count, test.count);
  const progress = new ProgressLine();
  const lossOf = (name: string, parameters: Parameters) =>
    heldOutLoss(
      (xt, times) => unet(config, parameters, xt, networkTimes(times)),
      schedule,
      test,
      images,
      (done) => progress.update(`held-out loss of ${name}: ${done}/${images} images`),
    );
  const raw = await lossOf("the weights", training?.model ?? ema);
  const averaged = await lossOf("their average", ema);
  progress.finish();
  await appendMetric(folder, { kind: "heldOut", step, images, raw, ema: averaged });
  say(
    `held-out L_simple after ${step} steps on ${images} test images: ${averaged.toFixed(4)} ` +
      `(averaged weights), ${raw.toFixed(4)} (raw weights)`,
  );
}

/** Draws the grid of a run's end. */
async function drawSamples(
  folder: string,
  { unet: config, ema, schedule, seed }: Checkpoint,
  values: { readonly samples: number; readonly "sample-steps": number },
): Promise<void> {
  const progress = new ProgressLine();
  const images = await sampleImages(
    config,
    ema,
    schedule,
    {
      sampler: "ddpm",
      steps: values["sample-steps"],
      spacing: "trailing",
      eta: 0,
      variance: "betaTilde",
      clip: "static",
      seed,
      first: 0,
      count: values.samples,
    },
    (share) => progress.update(`sampling: ${Math.round(100 * share)} %`),
  );
  progress.finish();
  const path = runFile(folder, "samples");
  await writeAtomic(path, encodePng(imageGrid(images, { zoom: 3 })));
  say(path);
}

if (import.meta.main) Deno.exit(await runCommand(train, Deno.args));
