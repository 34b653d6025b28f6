/**
 * The flags of `evaluate`, and which of them go together.
 *
 * @module
 */
import { checkDeviceFlags, DEVICE_FLAGS } from "./device_flags.ts";
import type { CommandSpec, Flag, FlagValues } from "./flags.ts";
import { DEFAULT_GUIDANCE } from "./sampling.ts";
import { UsageError } from "./terminal.ts";

/** The command, as a table. */
export const EVALUATE = {
  name: "evaluate",
  summary: "measures how good a model's samples are, and its bits per dimension.",
  flags: {
    checkpoint: {
      kind: "text",
      placeholder: "PATH",
      default: "models/mnist",
      help: "A checkpoint, or the folder of a run, a model or diffusers: its averaged weights.",
    },
    samples: {
      kind: "text",
      placeholder: "FILE",
      help: "Judge the images of this .npz file instead of drawing any.",
    },
    count: {
      kind: "integer",
      min: 0,
      max: 60_000,
      default: 1000,
      help: "Samples to draw; 0 judges none.",
    },
    sampler: { kind: "choice", values: ["ddpm", "ddim"], default: "ddim", help: "The process." },
    steps: { kind: "integer", min: 1, max: 1_000_000, default: 50, help: "Times to visit." },
    eta: { kind: "number", min: 0, max: 1, default: 0, help: "Noise of DDIM." },
    variance: {
      kind: "choice",
      values: ["beta", "betaTilde"],
      default: "betaTilde",
      help: "Variance of DDPM's steps, and of the process whose bits are counted.",
    },
    guidance: {
      kind: "number",
      min: 0,
      max: 100,
      help: `Scale of classifier-free guidance (default: ${DEFAULT_GUIDANCE} with classes).`,
    },
    "guidance-rescale": {
      kind: "number",
      min: 0,
      max: 1,
      default: 0,
      help: "How much of the standard deviation guidance gives back.",
    },
    seed: {
      kind: "integer",
      min: 0,
      max: Number.MAX_SAFE_INTEGER,
      default: 0,
      help: "Seed of the samples, or of the classifier that is trained.",
    },
    batch: {
      kind: "integer",
      min: 1,
      max: 1024,
      default: 50,
      help: "Images that go through the network together; no figure depends on it.",
    },
    save: { kind: "text", placeholder: "FILE", help: "Keep the drawn samples in this .npz file." },
    bits: {
      kind: "integer",
      min: 0,
      max: 10_000,
      default: 0,
      help: "Test images to count the bits per dimension of.",
    },
    "bits-every": {
      kind: "integer",
      min: 1,
      max: 1_000_000,
      default: 1,
      help: "Draw one time out of so many, and estimate the bits from those.",
    },
    data: {
      kind: "text",
      placeholder: "FOLDER",
      help: "IDX files to hold samples against (default: MNIST).",
    },
    classifier: {
      kind: "text",
      placeholder: "FILE",
      default: "models/mnist-classifier/classifier.safetensors",
      help: "The classifier that judges.",
    },
    "train-classifier": {
      kind: "switch",
      help: "Train a classifier on the data and write it to --classifier.",
    },
    epochs: {
      kind: "integer",
      min: 1,
      max: 1000,
      default: 8,
      help: "Passes over the data of --train-classifier.",
    },
    out: { kind: "text", placeholder: "FILE", help: "Write the report as JSON to this file." },
    json: { kind: "switch", help: "Print the report as a line of JSON." },
    ...DEVICE_FLAGS,
  },
  examples: [
    ["deno task evaluate", "1000 samples of the model that comes with the package"],
    [
      "deno task evaluate --checkpoint runs/mine --sampler ddpm --steps 1000 --save runs/a.npz",
      "The samples of a run of your own, kept for later",
    ],
    ["deno task evaluate --samples runs/a.npz --out runs/a.json", "The same samples once more"],
    [
      "deno task evaluate --count 0 --bits 200 --bits-every 20",
      "Bits per dimension alone, estimated from a twentieth of the terms",
    ],
    [
      "deno task evaluate --train-classifier --data fashion --classifier runs/fashion.safetensors",
      "A classifier for other images of 28×28 grey pixels in ten classes",
    ],
  ],
} as const satisfies CommandSpec<Record<string, Flag>>;

/** Values of its flags. */
export type EvaluateFlags = FlagValues<typeof EVALUATE.flags>;

/** @throws {UsageError} if flags do not go together. */
export function checkEvaluateFlags(values: EvaluateFlags, given: ReadonlySet<string>): void {
  checkDeviceFlags(values);
  const { samples, sampler, count, bits, guidance } = values;
  const rules: readonly (readonly [flag: string, fits: boolean, only: string])[] = [
    ["epochs", values["train-classifier"], "with --train-classifier"],
    ["eta", sampler === "ddim", "with --sampler ddim"],
    ["variance", sampler === "ddpm" || bits > 0, "with --sampler ddpm or --bits"],
    ["guidance-rescale", guidance !== undefined, "with --guidance"],
    ["bits-every", bits > 0, "with --bits"],
    ...["count", "sampler", "steps", "eta", "guidance", "save"].map((flag) =>
      [flag, samples === undefined, "without --samples"] as const
    ),
  ];
  for (const [flag, fits, only] of rules) {
    if (given.has(flag) && !fits) throw new UsageError(`Expected --${flag} only ${only}`);
  }
  if (samples === undefined && count > 0 && count < 4) {
    throw new UsageError(`Expected --count to be 0 or at least 4 but got ${count}`);
  }
  if (samples === undefined && count === 0 && bits === 0 && !values["train-classifier"]) {
    throw new UsageError("Expected something to measure but got --count 0 without --bits");
  }
}
