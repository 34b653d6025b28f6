/**
 * Models of this package as diffusers loads and runs them: `deno run --allow-read --allow-write --allow-run
 * tests/interop/check_unets.ts PYTHON`, with the python3 of an environment that has torch and diffusers.
 *
 * Every model goes through a folder as `convert` writes it, into `DDPMPipeline.from_pretrained` and
 * `UNet2DModel.from_pretrained`, and is run twice. In float64, times from 0 to T − 1, it shows that both sides
 * mean the same by every name and field: the bound is that of the float32 run, scaled to float64's unit. As
 * from_pretrained gives it, in float32, it shows that what users get is as close as float32 allows. There the
 * times are 0 and 1, whose embedding is no worse in float32 than other roundings: at time 999 diffusers' own
 * angles are up to 1e−4 off, which says nothing about the conversion.
 *
 * @module
 */
import { decodeCheckpoint, encodeCheckpoint } from "../../src/spec/checkpoint.ts";
import { readDiffusersFolder } from "../../src/convert/diffusers_folder.ts";
import { PREDICTION_TYPES, SCHEDULERS } from "../../src/convert/scheduler_config.ts";
import { writeDiffusersFolder } from "../../src/convert/write_diffusers_folder.ts";
import { DEFAULT_SAMPLING } from "../../src/convert/write_scheduler_config.ts";
import { U32 } from "../../src/math/float32.ts";
import { betas } from "../../src/reference/schedule.ts";
import type { Parameters } from "../../src/spec/unet_parameters.ts";
import { LAMBDA } from "../support/rounding_study.ts";
import { expectedResults } from "../support/webgpu_bounds.ts";
import { INTEROP_CASES, type InteropCase } from "./cases.ts";

/** What check_unet.py answers. */
interface Answer {
  readonly error?: string;
  readonly output: { readonly shape: number[]; readonly data: number[] };
  readonly scheduler: string;
  readonly prediction_type: string;
  readonly betas: readonly number[];
}

/** How one model fared. */
export interface UnetVerdict {
  readonly title: string;
  /** What is wrong, a sentence each; none if all is well. */
  readonly faults: readonly string[];
  /** The largest errors in units of their bounds, in float64 and in float32. */
  readonly worst: { readonly double: number; readonly single: number };
}

/** Roundoff of float64 in units of float32's: the error of a run is proportional to it, to first order. */
const DOUBLE = 2 ** -53 / U32;

const SCRIPT = new URL("../../adapters/check_unet.py", import.meta.url).pathname;

/** Runs check_unet.py on some requests. */
async function ask(python: string, requests: readonly unknown[]): Promise<Answer[]> {
  const child = new Deno.Command(python, {
    args: [SCRIPT],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  const text = requests.map((request) => `${JSON.stringify(request)}\n`).join("");
  await writer.write(new TextEncoder().encode(text));
  await writer.close();
  const { stdout, stderr } = await child.output();
  const lines = new TextDecoder().decode(stdout).trim().split("\n").filter((line) => line !== "");
  if (lines.length !== requests.length) {
    throw new Error(
      `Expected ${requests.length} answers of ${SCRIPT} but got ${lines.length}: ` +
        new TextDecoder().decode(stderr),
    );
  }
  return lines.map((line) => JSON.parse(line));
}

/** The weights that `unet/` gets, as they come back from their format. */
function weightsOf({ checkpoint: { ema, training }, options }: InteropCase): Parameters {
  const parameters = options.weights === "raw" && training !== undefined ? training.model : ema;
  if (options.dtype !== "F16") return parameters;
  return new Map(
    [...parameters].map(([k, { shape, data }]) => [k, { shape, data: data.map(Math.f16round) }]),
  );
}

/** Checks every case against diffusers. */
export async function checkUnets(python: string): Promise<UnetVerdict[]> {
  const folder = await Deno.makeTempDir();
  try {
    const runs = INTEROP_CASES.map((one, number) => {
      const { checkpoint: { schedule }, x, labels } = one;
      const T = schedule.kind === "betas" ? schedule.betas.length : schedule.T;
      const request = { folder: `${folder}/${number}`, x: { ...x, data: [...x.data] }, labels };
      return {
        one,
        folder: request.folder,
        single: { ...request, timesteps: [0, 1], double: false },
        double: { ...request, timesteps: [0, T - 1], double: true },
      };
    });
    for (const { one, folder } of runs) {
      await writeDiffusersFolder(folder, one.checkpoint, one.options);
    }
    const answers = await ask(python, runs.flatMap(({ single, double }) => [single, double]));
    return await Promise.all(runs.map(async ({ one, folder, single, double }, number) => {
      const faults: string[] = [];
      const [inSingle, inDouble] = answers.slice(2 * number);
      for (const { error } of [inSingle, inDouble]) if (error !== undefined) faults.push(error);
      if (faults.length > 0) {
        return { title: one.title, faults, worst: { single: NaN, double: NaN } };
      }
      const worst = {
        single: excess(one, single.timesteps, inSingle, 1),
        double: excess(one, double.timesteps, inDouble, DOUBLE),
      };
      for (const [precision, ratio] of Object.entries(worst)) {
        if (!(ratio <= 1)) faults.push(`the output in ${precision} is ${ratio} bounds off`);
      }
      faults.push(...processFaults(one, inSingle), ...await roundTripFaults(one, folder));
      return { title: one.title, faults, worst };
    }));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** The largest error of an answer's output in units of its bound λ·σ. */
function excess(
  one: InteropCase,
  timesteps: readonly number[],
  { output }: Answer,
  unit: number,
): number {
  const { checkpoint: { unet }, x, labels } = one;
  const parameters = weightsOf(one);
  const target = { shape: [x.shape[0], unet.outChannels, ...x.shape.slice(2)] };
  const size = target.shape.reduce((a, b) => a * b, 1);
  const { exact, spread } = expectedResults({
    config: unet,
    parameters,
    x,
    target: { ...target, data: new Float32Array(size) },
    timesteps,
    options: { classLabels: labels },
  });
  const expected = exact.get("output")!.data, sigma = spread.get("output")!;
  if (output.data.length !== expected.length) return Infinity;
  return output.data.reduce(
    (most, value, i) => Math.max(most, Math.abs(value - expected[i]) / (LAMBDA * unit * sigma[i])),
    0,
  );
}

/** What diffusers' scheduler takes the process to be. Its β are float32, from float32 ends. */
function processFaults({ checkpoint, options }: InteropCase, answer: Answer): string[] {
  const { schedule, prediction = "epsilon" } = checkpoint;
  const { sampler } = options.sampling ?? DEFAULT_SAMPLING;
  const faults: string[] = [];
  if (answer.prediction_type !== PREDICTION_TYPES[prediction]) {
    faults.push(`prediction_type is ${answer.prediction_type}`);
  }
  if (answer.scheduler !== SCHEDULERS[sampler]) faults.push(`scheduler is ${answer.scheduler}`);
  const expected = betas(schedule);
  // start + k·step in float32: a rounding each of the ends, the step, the product and the sum.
  const bound = 4 * U32 * Math.max(...expected);
  const wrong = expected.findIndex((beta, k) => !(Math.abs(answer.betas[k] - beta) <= bound));
  if (wrong >= 0 || answer.betas.length !== expected.length) {
    faults.push(`beta ${wrong + 1} of ${answer.betas.length} is ${answer.betas[wrong]}`);
  }
  return faults;
}

/** Whether the folder gives the checkpoint back, byte by byte; with float16, what can be sampled from. */
async function roundTripFaults(one: InteropCase, folder: string): Promise<string[]> {
  const { checkpoint: { training: _, ...model }, options } = one;
  const { checkpoint } = await readDiffusersFolder(folder);
  const before = options.dtype === "F16"
    ? encodeCheckpoint({ ...model, ema: weightsOf(one) })
    : encodeCheckpoint(one.checkpoint);
  const after = encodeCheckpoint(checkpoint);
  decodeCheckpoint(after);
  return before.length === after.length && before.every((byte, i) => byte === after[i])
    ? []
    : ["the folder does not give the checkpoint back"];
}

if (import.meta.main) {
  const [python = "python3"] = Deno.args;
  const verdicts = await checkUnets(python);
  const lines = verdicts.map(({ title, faults, worst }) =>
    faults.length === 0
      ? `agrees: ${title} (error ${worst.double.toFixed(3)} of its bound in float64, ` +
        `${worst.single.toFixed(3)} in float32)`
      : `DIFFERS: ${title}: ${faults.join("; ")}`
  );
  Deno.stdout.writeSync(new TextEncoder().encode(`${lines.join("\n")}\n`));
  if (verdicts.some(({ faults }) => faults.length > 0)) Deno.exit(1);
}
