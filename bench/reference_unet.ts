/**
 * Forward, and forward + backward, of the one-million-parameter U-Net at 28×28 on the plain reference, next to
 * TensorFlow.js' plain CPU backend: one process, one thread each, the same weights, runs taken in
 * turns. Output and every gradient are compared before the clock starts.
 *
 * deno task bench [--batch 1] [--runs 3] [--json FILE]
 *
 * @module
 */
import { parseArgs } from "@std/cli";
import { UsageError } from "../src/cli/terminal.ts";
import { normalTensor, streamOf } from "../src/math/noise.ts";
import { sizeOf, type Tensor } from "../src/math/tensor.ts";
import { zerosLike } from "../src/reference/nn/zeros_like.ts";
import { globalNorm } from "../src/reference/grad_norm.ts";
import { unet, unetBackward, unetForward } from "../src/reference/unet.ts";
import {
  type Parameters,
  unetParameterCount,
  unetParameters,
} from "../src/spec/unet_parameters.ts";
import { MNIST } from "../src/spec/unet_presets.ts";
import { type Provenance, provenance } from "./machine.ts";
import { wholeNumber } from "./support/flags.ts";
import { startTfjs, TfjsUnet } from "./peers/tfjs_unet.ts";

/**
 * Largest difference between the two, relative to a tensor's size: about 60 layers in a row, each of which
 * strays at random by some 2^−24 (its store to float32, and the peer's sums where they are in float32),
 * together √60·2^−24; this is 16 times that. A wrong padding, order or ε is off by thousands of times more.
 */
const AGREEMENT = 16 * Math.sqrt(60) * 2 ** -24;

/** Median times in ms, and how many times as long the peer takes. */
interface Row {
  readonly work: string;
  readonly reference: number;
  readonly tfjs: number;
  readonly ratio: number;
}

interface Report extends Provenance {
  readonly parameters: number;
  readonly batch: number;
  readonly runs: number;
  readonly worstDifference: number;
  readonly rows: readonly Row[];
}

function normals(item: number, shape: readonly number[]): Tensor {
  const streams = Array.from({ length: shape[0] }, (_, n) => streamOf("evaluate", item, n));
  return normalTensor(1, streams, shape);
}

/** Weights of variance 1/fanIn, none of them zero, so that every gradient has something to show. */
function randomParameters(): Parameters {
  return new Map(
    unetParameters(MNIST).map(({ name, shape, initialiser }, item) => {
      const scale = shape.length > 1 ? sizeOf(shape.slice(1)) ** -0.5 : 0.1;
      const start = initialiser === "ones" ? 1 : 0;
      const { data } = normals(item, shape);
      return [name, { shape, data: data.map((z) => start + scale * z) }];
    }),
  );
}

function lossGradient(output: Tensor, target: Tensor): Tensor {
  const d = zerosLike(output), n = d.data.length;
  for (let i = 0; i < n; i++) d.data[i] = 2 * (output.data[i] - target.data[i]) / n;
  return d;
}

function difference(a: Tensor, b: Tensor): Tensor {
  return { shape: a.shape, data: a.data.map((value, i) => value - b.data[i]) };
}

/** Worst difference of the tensors, over their norm plus their share of the norm of all. */
function worstDifference(ours: Parameters, theirs: Parameters): number {
  const all = globalNorm(ours.values());
  const count = [...ours.values()].reduce((sum, { data }) => sum + data.length, 0);
  let worst = 0;
  for (const [name, a] of ours) {
    const b = theirs.get(name);
    if (b === undefined) throw new Error(`The peer has no gradient of ${name}`);
    const share = all * Math.sqrt(a.data.length / count);
    worst = Math.max(worst, globalNorm([difference(a, b)]) / (globalNorm([a]) + share));
  }
  return worst;
}

function time(work: () => unknown): number {
  const start = performance.now();
  work();
  return performance.now() - start;
}

function median(times: readonly number[]): number {
  const sorted = times.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Medians of `runs` runs each, taken in turns; the comparison of results has warmed both up. */
function compare(work: string, runs: number, reference: () => unknown, tfjs: () => unknown): Row {
  const ours: number[] = [], theirs: number[] = [];
  for (let run = 0; run < runs; run++) {
    ours.push(time(reference));
    theirs.push(time(tfjs));
  }
  return {
    work,
    reference: median(ours),
    tfjs: median(theirs),
    ratio: median(theirs) / median(ours),
  };
}

async function bench(batch: number, runs: number): Promise<Report> {
  const parameters = randomParameters();
  const x = normals(1000, [batch, 1, 28, 28]), target = normals(1001, x.shape);
  const timesteps = Array.from({ length: batch }, (_, n) => (n * 997 + 3) % 1000);
  await startTfjs("cpu");
  const peer = new TfjsUnet(MNIST, parameters);

  const forward = (): Tensor => unet(MNIST, parameters, x, timesteps);
  const forwardBackward = (): { output: Tensor; gradients: Parameters } => {
    const { output, tape } = unetForward(MNIST, parameters, x, timesteps);
    return { output, gradients: unetBackward(tape, lossGradient(output, target)).gradients };
  };
  const ours = forwardBackward(), theirs = peer.forwardBackward(x, timesteps, target);
  const worst = Math.max(
    worstDifference(new Map([["output", ours.output]]), new Map([["output", theirs.output]])),
    worstDifference(ours.gradients, theirs.gradients),
  );
  if (!(worst <= AGREEMENT)) {
    throw new Error(
      `Expected a difference of at most ${AGREEMENT} before timing but got ${worst}: ` +
        "the two do not compute the same network",
    );
  }
  return {
    ...await provenance(),
    parameters: unetParameterCount(MNIST),
    batch,
    runs,
    worstDifference: worst,
    rows: [
      compare("forward", runs, forward, () => peer.forward(x, timesteps)),
      compare(
        "forward + backward",
        runs,
        forwardBackward,
        () => peer.forwardBackward(x, timesteps, target),
      ),
    ],
  };
}

function show(report: Report): string {
  const { parameters, batch, runs, worstDifference } = report;
  return [
    `U-Net of ${parameters.toLocaleString("en")} parameters at 28×28, batch ${batch}`,
    `${report.cpu}, ${report.cores} cores; ${report.runtime}; commit ${report.commit}`,
    `output and all gradients agree to ${worstDifference.toExponential(1)} ` +
    `(at most ${AGREEMENT.toExponential(1)})`,
    `medians of ${runs}         reference    tfjs CPU    tfjs / reference`,
    ...report.rows.map(({ work, reference, tfjs, ratio }) =>
      work.padEnd(20) + `${reference.toFixed(0)} ms`.padStart(12) +
      `${tfjs.toFixed(0)} ms`.padStart(12) + ratio.toFixed(2).padStart(20)
    ),
  ].join("\n") + "\n";
}

/** Runs the bench with its flags; returns the exit code. */
export async function main(given: string[]): Promise<number> {
  const args = parseArgs(given, {
    string: ["json", "batch", "runs"],
    unknown: (arg) => {
      throw new UsageError(`Expected a flag of \`deno task bench --help\` but got ${arg}`);
    },
  });
  const report = await bench(
    wholeNumber("batch", args.batch, 1),
    Math.max(3, wholeNumber("runs", args.runs, 3)),
  );
  await Deno.stdout.write(new TextEncoder().encode(show(report)));
  if (typeof args.json === "string") {
    await Deno.writeTextFile(args.json, JSON.stringify(report, null, 2) + "\n");
  }
  return 0;
}
