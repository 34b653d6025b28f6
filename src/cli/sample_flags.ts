/**
 * The flags of `sample`, and what they may not be together.
 *
 * @module
 */
import type { UNetConfig } from "../spec/unet_config.ts";
import { parseClasses } from "./class_list.ts";
import { checkDeviceFlags, DEVICE_FLAGS } from "./device_flags.ts";
import type { CommandSpec, Flag, FlagValues } from "./flags.ts";
import { ANIMATION_FLAGS, checkOutputs, OUTPUT_FLAGS } from "./sample_outputs.ts";
import { allClasses, DEFAULT_GUIDANCE, type Guidance, type Interpolation } from "./sampling.ts";
import { parseShard } from "./shard.ts";
import { UsageError } from "./terminal.ts";

/** Samples of one command: what an animation or a grid of them has room for is less. */
const MAX_COUNT = 2 ** 20;

/** The command's table. */
export const SAMPLE = {
  name: "sample",
  summary: "draws images from a trained model into a PNG grid.",
  flags: {
    model: {
      kind: "text",
      placeholder: "PATH",
      help: "A checkpoint, or the folder of a run or model (default: the model that ships).",
    },
    checkpoint: { kind: "text", placeholder: "PATH", help: "The same as --model." },
    weights: {
      kind: "choice",
      values: ["ema", "raw"],
      default: "ema",
      help: "The averaged weights, or those of the last step.",
    },
    class: {
      kind: "text",
      placeholder: "LIST",
      help: "Classes to draw in turn, such as 3 or 0,1,7 or 0-4 (default: all).",
    },
    guidance: {
      kind: "number",
      min: 0,
      max: 100,
      help:
        "Scale of classifier-free guidance: 1 is none, more is clearer and less varied (default: " +
        `${DEFAULT_GUIDANCE} for a model with classes).`,
    },
    "guidance-rescale": {
      kind: "number",
      min: 0,
      max: 1,
      default: 0,
      help: "How much of the contrast that guidance adds is taken back.",
    },
    sampler: { kind: "choice", values: ["ddpm", "ddim"], default: "ddim", help: "The process." },
    steps: {
      kind: "integer",
      min: 1,
      max: 1_000_000,
      help: "Times to visit (default: 25, for DDPM 100).",
    },
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
    count: {
      kind: "integer",
      min: 1,
      max: MAX_COUNT,
      help:
        "How many samples (default: 64 with classes, else 16); with --interpolate, per row (8).",
    },
    interpolate: {
      kind: "integer",
      min: 0,
      max: Number.MAX_SAFE_INTEGER,
      help: "Go from the noise of --seed to that of this seed, in rows.",
    },
    rows: {
      kind: "integer",
      min: 1,
      max: 4096,
      help: "Rows of an interpolation (default: one per class, else 4).",
    },
    batch: {
      kind: "integer",
      min: 1,
      max: 1024,
      default: 16,
      help: "Samples that are drawn together; no image depends on it.",
    },
    shard: {
      kind: "text",
      placeholder: "K/N",
      help: "Draw part K of N, 0..N−1; the files' names say which.",
    },
    merge: {
      kind: "text",
      placeholder: "PATHS",
      help: "Draw nothing: put the .npz files of shards together, a,b,c or a folder of them.",
    },
    ...OUTPUT_FLAGS,
    ...ANIMATION_FLAGS,
    json: { kind: "switch", help: "Say what was drawn, where and how fast as a line of JSON." },
    ...DEVICE_FLAGS,
  },
  examples: [
    ["deno task sample", "Digits from the model that comes with the package, a row for each"],
    [
      "deno task sample --class 3,8 --guidance 2 --count 32 --out runs/3-and-8.png",
      "Threes and eights, clearly so",
    ],
    [
      "deno task sample --model runs/tiny --count 64 --seed 3 --singles runs/digits",
      "64 digits from a run of your own, also as a file each",
    ],
    [
      "deno task sample --sampler ddpm --steps 1000 --variance beta --count 4",
      "The DDPM paper's own sampler, every step of it",
    ],
    [
      "deno task sample --interpolate 1 --animate runs/between.png",
      "From one digit to another in 8 steps, row by row, and how they came about",
    ],
    [
      "deno task sample --count 1000 --shard 0/2 --npz parts/all.npz --out parts/all.png",
      "The first half of 1000 digits; another machine draws --shard 1/2",
    ],
    [
      "deno task sample --merge parts --npz all.npz --out all.png",
      "The two halves as if one machine had drawn them",
    ],
  ],
} as const satisfies CommandSpec<Record<string, Flag>>;

/** Values of the flags. */
export type SampleFlags = FlagValues<typeof SAMPLE.flags>;

type Given = ReadonlySet<string>;

/** Flags that a merge takes. */
const MERGE_FLAGS = ["merge", "json", ...Object.keys(OUTPUT_FLAGS)];

/** Samples that are animated at most: every frame is kept until the end. */
const MAX_ANIMATED = 1024;

/** @throws {UsageError} if flags do not go together, whatever the model. */
export function checkSampleFlags(flags: SampleFlags, given: Given): void {
  checkOutputs(flags);
  if (flags.merge !== undefined) {
    const other = [...given].find((name) => !MERGE_FLAGS.includes(name));
    if (other !== undefined) {
      throw new UsageError(
        `Expected --${other} without --merge, which draws nothing, but got both`,
      );
    }
    return;
  }
  for (const [flag, sampler] of [["eta", "ddim"], ["variance", "ddpm"]] as const) {
    if (given.has(flag) && flags.sampler !== sampler) {
      throw new UsageError(
        `Expected --${flag} only with --sampler ${sampler} but got it with ${flags.sampler}`,
      );
    }
  }
  if (given.has("model") && given.has("checkpoint")) {
    throw new UsageError("Expected --model or --checkpoint, which are the same, but got both");
  }
  if (given.has("guidance-rescale") && !given.has("guidance")) {
    throw new UsageError("Expected --guidance-rescale only with --guidance but got it alone");
  }
  checkInterpolation(flags, given);
  if (flags.shard !== undefined) parseShard(flags.shard);
  checkDeviceFlags(flags);
}

function checkInterpolation(flags: SampleFlags, given: Given): void {
  if (flags.interpolate === undefined) {
    if (given.has("rows")) {
      throw new UsageError("Expected --rows only with --interpolate but got it alone");
    }
    return;
  }
  if (flags.sampler !== "ddim" || flags.eta !== 0) {
    const found = flags.sampler === "ddim" ? `--eta ${flags.eta}` : `--sampler ${flags.sampler}`;
    throw new UsageError(
      `Expected --interpolate with --sampler ddim and --eta 0, where images depend on x_T alone, but got ${found}`,
    );
  }
  for (const name of ["first", "columns"]) {
    if (given.has(name)) {
      throw new UsageError(`Expected --${name} without --interpolate but got both`);
    }
  }
  if (flags.count === 1) {
    throw new UsageError("Expected --count of at least 2, both ends, with --interpolate but got 1");
  }
}

/** What flags ask of a model for. */
export interface SampleChoice {
  readonly steps: number;
  readonly count: number;
  readonly classes: readonly number[] | null;
  readonly guidance: Guidance | null;
  readonly interpolate: Interpolation | undefined;
}

/** Times that are visited unless told otherwise: enough for a good picture within a minute. */
const STEPS = { ddim: 25, ddpm: 100 } as const;

/**
 * Fills in what depends on the model.
 *
 * @param model what it is called, for the messages.
 * @throws {UsageError} if flags do not fit the network.
 * @throws {ArgumentError} if it takes something else than classes from a table.
 */
export function sampleChoice(flags: SampleFlags, config: UNetConfig, model: string): SampleChoice {
  const all = allClasses(config);
  for (const name of ["class", "guidance"] as const) {
    if (flags[name] !== undefined && all === null) {
      throw new UsageError(
        `Expected --${name} only for a model with classes but ${model} has none`,
      );
    }
  }
  const classes = flags.class === undefined || all === null
    ? all
    : parseClasses(flags.class, all.length);
  const { interpolate, steps = STEPS[flags.sampler] } = flags;
  const columns = flags.count ?? 8, rows = flags.rows ?? classes?.length ?? 4;
  const count = interpolate === undefined
    ? flags.count ?? (classes === null ? 16 : 64)
    : rows * columns;
  const animated = (["animate", "animate-x0"] as const).find((name) => flags[name] !== undefined);
  const limit = animated === undefined ? MAX_COUNT : MAX_ANIMATED;
  if (count > limit) {
    throw new UsageError(
      `Expected at most ${limit} samples${
        animated === undefined ? "" : ` with --${animated}`
      } but got ${count}`,
    );
  }
  return {
    steps,
    count,
    classes,
    guidance: all === null ? null : {
      scale: flags.guidance ?? DEFAULT_GUIDANCE,
      rescale: flags["guidance-rescale"],
    },
    interpolate: interpolate === undefined ? undefined : { seed: interpolate, columns },
  };
}
