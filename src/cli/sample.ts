/**
 * `sample`: draws images from a checkpoint.
 *
 * @module
 */
import { type Pictures, picturesOf } from "../data/image_grid.ts";
import type { Checkpoint } from "../spec/checkpoint.ts";
import type { Parameters } from "../spec/unet_parameters.ts";
import { type Backend, compileText } from "./backend.ts";
import { openBackend } from "./device_flags.ts";
import { helpText, parseFlags } from "./flags.ts";
import { FrameRecorder } from "./frame_recorder.ts";
import { mergeFiles, partFiles } from "./merge.ts";
import { modelHash } from "./model_hash.ts";
import { readModel } from "./read_model.ts";
import { exists } from "./run_folder.ts";
import {
  type GridLook,
  makeFolders,
  type OutputPaths,
  shardPaths,
  writeAnimation,
  writeSamples,
} from "./sample_outputs.ts";
import {
  checkSampleFlags,
  SAMPLE,
  type SampleChoice,
  sampleChoice,
  type SampleFlags,
} from "./sample_flags.ts";
import { gridOptions, type RunSettings, type Samples } from "./samples_npz.ts";
import { type SamplingOptions, samplingProcess } from "./sampling.ts";
import { parseShard, shardRange } from "./shard.ts";
import { duration, EXIT, FailureError, note, ProgressLine, runCommand, say } from "./terminal.ts";

/** Models that ship, the better one first. */
const SHIPPED = ["models/mnist", "models/mnist-tiny"] as const;

/** Runs `sample` with its arguments; returns the exit code. */
export async function sample(args: readonly string[]): Promise<number> {
  const { help, values, given } = parseFlags(SAMPLE, args);
  if (help) {
    say(helpText(SAMPLE));
    return EXIT.success;
  }
  checkSampleFlags(values, given);
  if (values.merge !== undefined) await merge(values.merge, values);
  else await draw(values);
  return EXIT.success;
}

/** Writes what one run would have written. */
async function merge(text: string, flags: SampleFlags): Promise<void> {
  const parts = await partFiles(text);
  const samples = await mergeFiles(parts);
  await makeFolders(flags);
  const files = await writeSamples(samples, flags, flags);
  if (flags.json) {
    const { first, count, classes } = samples.run;
    say(JSON.stringify({ files, parts, first, count, classes }));
    return;
  }
  note(`${samples.numbers.length} samples of ${parts.length} parts`);
  for (const file of files) say(file);
}

/** A model, and what is asked of it. */
interface Task {
  readonly file: string;
  readonly checkpoint: Checkpoint;
  readonly weights: Parameters;
  readonly choice: SampleChoice;
  readonly flags: SampleFlags;
}

async function draw(flags: SampleFlags): Promise<void> {
  const path = flags.model ?? flags.checkpoint ??
    (await exists(SHIPPED[0]) ? SHIPPED[0] : SHIPPED[1]);
  const { file, checkpoint } = await readModel(path);
  const weights = weightsOf(checkpoint, flags.weights, file);
  const choice = sampleChoice(flags, checkpoint.unet, path);
  samplingProcess(checkpoint.unet, checkpoint.schedule, { ...flags, ...choice });
  // Whether there are fewer samples than parts is known before anything is drawn.
  if (flags.shard !== undefined) {
    shardRange(parseShard(flags.shard), { first: flags.first, count: choice.count });
  }
  const paths = flags.shard === undefined ? flags : shardPaths(flags, parseShard(flags.shard));
  await makeFolders(paths);
  const lacking = flags.clip === "dynamic" ? "dynamic clipping" : undefined;
  const backend = await openBackend(flags, { lacking });
  try {
    await drawWith(backend, { file, checkpoint, weights, choice, flags }, paths);
  } finally {
    backend.close();
  }
}

async function drawWith(backend: Backend, task: Task, paths: OutputPaths): Promise<void> {
  const { file, checkpoint, flags } = task;
  const { unet, schedule, step, prediction } = checkpoint;
  const run: SamplingOptions = { ...optionsOf(task, fewerOnCpu(backend, task)), prediction };
  const part = flags.shard === undefined ? run : shardRange(parseShard(flags.shard), run);
  const { first, count } = part;
  const recorder = paths.animate === undefined && paths["animate-x0"] === undefined
    ? undefined
    : new FrameRecorder(run.steps, count);
  const start = performance.now();
  const elapsed = () => (performance.now() - start) / 1000;
  const progress = new ProgressLine();
  const options = { ...run, first, count };
  const images = await backend.sampleImages(unet, task.weights, schedule, options, {
    onCompile: (compiling) => progress.update(compileText(compiling)),
    onShare: (share) =>
      progress.update(
        `sampling: ${Math.round(100 * share)} %  ${duration((1 / share - 1) * elapsed())} left`,
      ),
    frames: recorder?.request,
  });
  progress.finish();
  const seconds = elapsed();
  const samples = await samplesOf(task, run, { first, pictures: picturesOf(images) });
  const files = [
    ...await writeSamples(samples, paths, flags),
    ...await writeAnimations(samples, recorder, paths, flags),
  ];
  const { device, adapter } = backend;
  if (flags.json) {
    const { respaced } = samplingProcess(unet, schedule, run);
    const timesteps = Array.from(respaced.timesteps).reverse();
    const { seed, sampler, classes, guidance, interpolate = null } = run;
    const place = { device, adapter, seconds };
    const drawn = { seed, first, count, sampler, timesteps, classes, guidance, interpolate };
    const shard = flags.shard ?? null;
    say(
      JSON.stringify({ file: files[0], files, checkpoint: file, step, ...place, ...drawn, shard }),
    );
    return;
  }
  note(
    `${count} ${count === 1 ? "sample" : "samples"} of ${file} (step ${step}, ${flags.weights} ` +
      `weights) in ${duration(seconds)}${adapter === null ? "" : ` on ${adapter}`}`,
  );
  for (const path of files) say(path);
}

/**
 * How many samples there are unless told otherwise: the reference takes a few minutes for what an adapter
 * draws in one, and then a row per class is cut to one column.
 */
function fewerOnCpu({ device }: Backend, { choice, flags }: Task): number {
  const { classes, count } = choice;
  const asked = flags.count !== undefined || flags.shard !== undefined ||
    flags.interpolate !== undefined;
  if (device !== "cpu" || asked || classes === null) return count;
  const fewer = Math.min(count, Math.max(classes.length, FEWEST));
  if (fewer < count) {
    note(`${fewer} samples, for the reference is slow: --count ${count} draws them all`);
  }
  return fewer;
}

/** Samples that are drawn with the reference, should there be fewer classes. */
const FEWEST = 8;

function optionsOf({ flags, choice }: Task, count: number): SamplingOptions {
  const { sampler, spacing, eta, variance, clip, seed, first, batch } = flags;
  return { sampler, spacing, eta, variance, clip, seed, first, batch, ...choice, count };
}

async function samplesOf(
  { flags, weights }: Task,
  run: SamplingOptions,
  { first, pictures }: { readonly first: number; readonly pictures: Pictures },
): Promise<Samples> {
  const { batch: _, ...rest } = run;
  const settings: RunSettings = {
    model: await modelHash(weights),
    weights: flags.weights,
    ...rest,
  };
  const numbers = Array.from({ length: pictures.shape[0] }, (_, n) => first + n);
  return { pictures, numbers, settings: JSON.stringify(settings), run };
}

async function writeAnimations(
  { run, numbers }: Samples,
  recorder: FrameRecorder | undefined,
  paths: OutputPaths,
  look: GridLook,
): Promise<readonly string[]> {
  const written: string[] = [];
  if (recorder === undefined) return written;
  const options = gridOptions(run, numbers[0], numbers.length, look);
  for (const [path, of] of [[paths.animate, "x"], [paths["animate-x0"], "x0"]] as const) {
    if (path === undefined) continue;
    await writeAnimation(path, recorder.frames(of), options);
    written.push(path);
  }
  return written;
}

function weightsOf(checkpoint: Checkpoint, weights: "ema" | "raw", file: string): Parameters {
  if (weights === "ema") return checkpoint.ema;
  if (checkpoint.training !== undefined) return checkpoint.training.model;
  throw new FailureError(
    `Expected a checkpoint with raw weights but ${file} only holds averaged ones: use --weights ema`,
  );
}

if (import.meta.main) Deno.exit(await runCommand(sample, Deno.args));
