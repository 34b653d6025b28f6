/**
 * `convert`: checkpoints of other programs to this package's, and back.
 *
 * @module
 */
import { isDiffusersFolder, readDiffusersFolder } from "../convert/diffusers_folder.ts";
import { isThere, naming, readIfThere } from "../convert/files.ts";
import { originalStyle, readOriginal } from "../convert/original_file.ts";
import type { SchedulerSampling } from "../convert/scheduler_config.ts";
import { writeDiffusersFolder } from "../convert/write_diffusers_folder.ts";
import { DEFAULT_SAMPLING } from "../convert/write_scheduler_config.ts";
import { writeAtomic } from "../data/write_atomic.ts";
import { type Checkpoint, encodeCheckpoint } from "../spec/checkpoint.ts";
import { decodeSafetensors } from "../spec/safetensors.ts";
import { DDPM_SCHEDULE } from "../spec/schedule_config.ts";
import type { Parameters } from "../spec/unet_parameters.ts";
import { type CommandSpec, type Flag, helpText, parseFlags } from "./flags.ts";
import { readCheckpoint } from "./run_folder.ts";
import { EXIT, FailureError, note, runCommand, say, UsageError } from "./terminal.ts";

const CONVERT = {
  name: "convert",
  summary: "turns checkpoints of diffusers and of the DDPM code into this package's, and back.",
  operands: ["FROM", "TO"],
  flags: {
    to: {
      kind: "choice",
      values: ["diffusers", "ddpm"],
      help:
        "A folder of diffusers, or this package's file (default: ddpm for a TO in .safetensors).",
    },
    weights: {
      kind: "choice",
      values: ["ema", "raw"],
      default: "ema",
      help: "What to sample with afterwards: the averaged weights, or those of the last step.",
    },
    half: { kind: "switch", help: "Write float16, without the state of training." },
    scheduler: {
      kind: "choice",
      values: ["ddpm", "ddim"],
      help: "The scheduler of the folder (default: as it was, or ddpm).",
    },
    size: {
      kind: "integer",
      min: 1,
      max: 65536,
      help: "Height and width of the images, for the DDPM code's weights, which do not tell.",
    },
    force: { kind: "switch", help: "Write over what is there." },
  },
  examples: [
    ["deno task convert models/mnist-tiny hub/mnist-tiny", "A folder for DDPMPipeline"],
    [
      "deno task convert ddpm-cifar10-32 runs/cifar10.safetensors",
      "A folder of diffusers to a checkpoint to sample from",
    ],
    [
      "deno task convert runs/mnist model.safetensors --half",
      "The averaged weights of a run as float16: an eighth of its checkpoint",
    ],
    [
      "deno task convert ema_diffusion_cifar10_model.safetensors cifar10.safetensors --size 32",
      "Weights of the DDPM code, or of its PyTorch port",
    ],
  ],
} as const satisfies CommandSpec<Record<string, Flag>>;

/** What FROM holds. */
interface Source {
  /** What it is, for people. */
  readonly what: string;
  readonly checkpoint: Checkpoint;
  /** Weights of the last step where the checkpoint has no state of training. */
  readonly raw?: Parameters;
  readonly sampling?: SchedulerSampling;
}

/** Runs `convert` with its arguments; returns the exit code. */
export async function convert(args: readonly string[]): Promise<number> {
  const { help, values, operands: [from, to] } = parseFlags(CONVERT, args);
  if (help) {
    say(helpText(CONVERT));
    return EXIT.success;
  }
  const target = targetOf(to, values.to);
  if (values.scheduler !== undefined && target === "ddpm") {
    throw new UsageError("Expected --scheduler only with a folder of diffusers as TO");
  }
  if (!values.force && await isFilled(to)) {
    throw new FailureError(`Expected nothing at ${to} yet: write over it with --force`);
  }
  const source = await readSource(from, values.size ?? null);
  const dtype = values.half ? "F16" : "F32";
  const checkpoint = chosen(source, values.weights, target, from);
  const { training, ema } = checkpoint;
  const inFolder = training === undefined ? "ema" : values.weights;
  if (target === "ddpm") {
    const { training: _, ...model } = checkpoint;
    const bytes = encodeCheckpoint(values.half ? model : checkpoint, dtype);
    await Deno.mkdir(folderOf(to), { recursive: true });
    await writeAtomic(to, bytes);
  } else {
    const sampling = { ...DEFAULT_SAMPLING, ...source.sampling };
    const sampler = values.scheduler ?? sampling.sampler;
    await writeDiffusersFolder(to, checkpoint, {
      weights: inFolder,
      dtype,
      sampling: { ...sampling, sampler },
    });
  }
  note(`${source.what}, step ${checkpoint.step}, ${values.weights} weights`);
  if (values.half) note(roundingText(training && inFolder === "raw" ? training.model : ema));
  say(to);
  return EXIT.success;
}

function targetOf(to: string, asked: "diffusers" | "ddpm" | undefined): "diffusers" | "ddpm" {
  const file = to.endsWith(".safetensors");
  const target = asked ?? (file ? "ddpm" : "diffusers");
  if (file !== (target === "ddpm")) {
    throw new UsageError(
      target === "ddpm"
        ? `Expected a TO that ends in .safetensors with --to ddpm but got ${to}`
        : `Expected a folder as TO with --to diffusers but got ${to}`,
    );
  }
  return target;
}

/** Whether there is a file, or a folder with something in it. */
async function isFilled(path: string): Promise<boolean> {
  if (!await isThere(path)) return false;
  if (!(await Deno.stat(path)).isDirectory) return true;
  for await (const _ of Deno.readDir(path)) return true;
  return false;
}

async function readSource(path: string, size: number | null): Promise<Source> {
  const original = await readIfOriginal(path, size);
  if (original !== null) return original;
  if (size !== null) {
    throw new UsageError(
      `Expected --size only with weights of the DDPM code but ${path} tells its own`,
    );
  }
  if (await isDiffusersFolder(path)) {
    const { checkpoint, scheduler } = await readDiffusersFolder(path);
    if (scheduler === null) {
      note(`${path} has no scheduler: its process is taken to be DDPM's, and its output ε`);
    }
    return { what: `diffusers' ${path}`, checkpoint, sampling: scheduler?.sampling };
  }
  const { file, checkpoint } = await readCheckpoint(path);
  return { what: file, checkpoint };
}

async function readIfOriginal(path: string, sampleSize: number | null): Promise<Source | null> {
  const bytes = path.endsWith(".safetensors") ? await readIfThere(path) : null;
  if (bytes === null) return null;
  const { tensors } = naming(path, () => decodeSafetensors(bytes));
  const style = originalStyle(tensors);
  if (style === null) return null;
  if (sampleSize === null) {
    throw new UsageError(
      `Expected --size with ${path}: its tensors do not tell the size of the images`,
    );
  }
  const { unet, parameters: ema, raw } = readOriginal(tensors, style, sampleSize, path);
  const checkpoint = { unet, schedule: DDPM_SCHEDULE, step: 0, seed: 0, train: {}, ema };
  const whose = style === "tensorflow" ? "the DDPM code's" : "ermongroup/ddim's";
  return { what: `${whose} ${path}`, checkpoint, raw };
}

/** The checkpoint to write. A folder has a place for both kinds of weights, a file to sample from for one. */
function chosen(
  { checkpoint, raw }: Source,
  weights: "ema" | "raw",
  target: "diffusers" | "ddpm",
  from: string,
): Checkpoint {
  const { training, ...model } = checkpoint;
  if (weights === "ema" || (target === "diffusers" && training !== undefined)) return checkpoint;
  const ema = training?.model ?? raw;
  if (ema !== undefined) return { ...model, ema };
  throw new FailureError(
    `Expected raw weights in ${from} but it only holds averaged ones: use --weights ema`,
  );
}

/** How far the weights that are furthest off are from what they were. */
function roundingText(parameters: Parameters): string {
  let worst = { error: 0, name: "", value: 0 };
  for (const [name, { data }] of parameters) {
    for (const value of data) {
      const error = Math.abs(Math.f16round(value) - value);
      if (error > worst.error) worst = { error, name, value };
    }
  }
  return worst.error === 0
    ? "every weight is a float16 as it is"
    : `rounded to the nearest float16: at most ${worst.error.toPrecision(3)} off, for a value of ` +
      `${worst.value.toPrecision(3)} in ${worst.name}`;
}

/** The folder part of a path; "." if it has none. */
function folderOf(path: string): string {
  const end = Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\"));
  return end < 0 ? "." : path.slice(0, end + 1);
}

if (import.meta.main) Deno.exit(await runCommand(convert, Deno.args));
