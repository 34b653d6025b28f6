/**
 * `sample`: draws images from a checkpoint.
 *
 * @module
 */
import { imageGrid } from "../data/image_grid.ts";
import { encodePng } from "../data/png.ts";
import { writeAtomic } from "../data/write_atomic.ts";
import type { Checkpoint } from "../spec/checkpoint.ts";
import type { Parameters } from "../spec/unet_parameters.ts";
import { compileText } from "./backend.ts";
import { checkDeviceFlags, DEVICE_FLAGS, openBackend } from "./device_flags.ts";
import { type CommandSpec, type Flag, helpText, parseFlags } from "./flags.ts";
import { readCheckpoint } from "./run_folder.ts";
import { allClasses, samplingProcess } from "./sampling.ts";
import {
  duration,
  EXIT,
  FailureError,
  note,
  ProgressLine,
  runCommand,
  say,
  UsageError,
} from "./terminal.ts";

const SAMPLE = {
  name: "sample",
  summary: "draws images from a trained model into a PNG grid.",
  flags: {
    checkpoint: {
      kind: "text",
      placeholder: "PATH",
      default: "models/mnist-tiny",
      help: "A checkpoint, or the folder of a run or model.",
    },
    weights: {
      kind: "choice",
      values: ["ema", "raw"],
      default: "ema",
      help: "The averaged weights, or those of the last step.",
    },
    sampler: { kind: "choice", values: ["ddpm", "ddim"], default: "ddpm", help: "The process." },
    steps: { kind: "integer", min: 1, max: 1_000_000, default: 100, help: "Times to visit." },
    spacing: {
      kind: "choice",
      values: ["trailing", "leading", "linspace", "quadratic", "stride", "sections"],
      default: "trailing",
      help: "The rule by which they are picked.",
    },
    eta: {
      kind: "number",
      min: 0,
      max: 1,
      default: 0,
      help: "Noise of DDIM: 0 is deterministic, 1 is as much as DDPM.",
    },
    variance: {
      kind: "choice",
      values: ["beta", "betaTilde"],
      default: "betaTilde",
      help: "Variance of DDPM's steps.",
    },
    clip: {
      kind: "choice",
      values: ["static", "dynamic", "none"],
      default: "static",
      help: "How predicted images are kept in range.",
    },
    seed: {
      kind: "integer",
      min: 0,
      max: Number.MAX_SAFE_INTEGER,
      default: 0,
      help: "Seed of the noise.",
    },
    first: {
      kind: "integer",
      min: 0,
      max: 2 ** 27,
      default: 0,
      help: "Number of the first sample; each depends on the seed and its number alone.",
    },
    count: { kind: "integer", min: 1, max: 4096, default: 16, help: "How many samples." },
    batch: {
      kind: "integer",
      min: 1,
      max: 1024,
      default: 16,
      help: "Samples that are drawn together; no image depends on it.",
    },
    columns: {
      kind: "integer",
      min: 1,
      max: 4096,
      help: "Images per row (default: a square grid).",
    },
    zoom: { kind: "integer", min: 1, max: 64, default: 3, help: "Pixels per pixel." },
    out: { kind: "text", placeholder: "FILE", default: "runs/samples.png", help: "The PNG file." },
    json: { kind: "switch", help: "Say what was drawn, where and how fast as a line of JSON." },
    ...DEVICE_FLAGS,
  },
  examples: [
    ["deno task sample", "16 digits from the model that comes with the package"],
    [
      "deno task sample --checkpoint runs/tiny --count 64 --seed 3",
      "64 digits from a run of your own",
    ],
    [
      "deno task sample --steps 1000 --variance beta --count 4",
      "The DDPM paper's own sampler, every step of it",
    ],
    [
      "deno task sample --sampler ddim --steps 50 --out runs/ddim.png",
      "Half the steps, and the same noise always gives the same digit",
    ],
    [
      "deno task sample --count 256 --batch 64 --device webgpu --json",
      "Many digits on WebGPU, 64 at a time; an error if there is no adapter",
    ],
  ],
} as const satisfies CommandSpec<Record<string, Flag>>;

/** Runs `sample` with its arguments; returns the exit code. */
export async function sample(args: readonly string[]): Promise<number> {
  const { help, values, given } = parseFlags(SAMPLE, args);
  if (help) {
    say(helpText(SAMPLE));
    return EXIT.success;
  }
  for (const [flag, sampler] of [["eta", "ddim"], ["variance", "ddpm"]] as const) {
    if (given.has(flag) && values.sampler !== sampler) {
      throw new UsageError(
        `Expected --${flag} only with --sampler ${sampler} but got it with ${values.sampler}`,
      );
    }
  }
  checkDeviceFlags(values);
  const { file, checkpoint } = await readCheckpoint(values.checkpoint);
  const { unet: config, schedule, step } = checkpoint;
  const weights = weightsOf(checkpoint, values.weights, file);
  const { respaced } = samplingProcess(config, schedule, values);
  // Before the long part: a place that cannot be written to is told at once.
  await Deno.mkdir(folderOf(values.out), { recursive: true });
  const { out, zoom, columns, seed, first, count, sampler } = values;
  const lacking = values.clip === "dynamic" ? "dynamic clipping" : undefined;
  const backend = await openBackend(values, { lacking });
  const { device, adapter } = backend;
  const start = performance.now();
  const elapsed = () => (performance.now() - start) / 1000;
  const progress = new ProgressLine();
  const options = { ...values, classes: allClasses(config), guidance: null };
  const images = await backend.sampleImages(config, weights, schedule, options, {
    onCompile: (compiling) => progress.update(compileText(compiling)),
    onShare: (share) =>
      progress.update(
        `sampling: ${Math.round(100 * share)} %  ${duration((1 / share - 1) * elapsed())} left`,
      ),
  });
  backend.close();
  progress.finish();
  const seconds = elapsed();
  await writeAtomic(out, encodePng(imageGrid(images, { zoom, columns })));
  if (values.json) {
    const timesteps = Array.from(respaced.timesteps).reverse();
    const drawn = { seed, first, count, sampler, timesteps };
    say(JSON.stringify({ file: out, checkpoint: file, step, device, adapter, seconds, ...drawn }));
    return EXIT.success;
  }
  note(
    `${count} ${count === 1 ? "sample" : "samples"} of ${file} (step ${step}, ${values.weights} ` +
      `weights) in ${duration(seconds)}${adapter === null ? "" : ` on ${adapter}`}`,
  );
  say(out);
  return EXIT.success;
}

function weightsOf(checkpoint: Checkpoint, weights: "ema" | "raw", file: string): Parameters {
  if (weights === "ema") return checkpoint.ema;
  if (checkpoint.training !== undefined) return checkpoint.training.model;
  throw new FailureError(
    `Expected a checkpoint with raw weights but ${file} only holds averaged ones: use --weights ema`,
  );
}

/** The folder part of a path; "." if it has none. */
function folderOf(path: string): string {
  const end = Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\"));
  return end < 0 ? "." : path.slice(0, end + 1);
}

if (import.meta.main) Deno.exit(await runCommand(sample, Deno.args));
