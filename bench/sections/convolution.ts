/**
 * conv3x3 128→128 at 32², N = 4: as a fraction of the adapter's peak, and next to the peers.
 *
 * @module
 */
import { type Tensor, tensor } from "../../src/math/tensor.ts";
import { type UNetConfig, unetConfig } from "../../src/spec/unet_config.ts";
import { unetParameters } from "../../src/spec/unet_parameters.ts";
import {
  convLayers,
  type ConvPlan,
  convPlan,
  type NamedConv,
} from "../../src/webgpu/conv_layers.ts";
import { Executor } from "../../src/webgpu/executor.ts";
import type { Plan, PlanTensor } from "../../src/webgpu/plan.ts";
import { convAlgorithm, convKey } from "../../src/webgpu/variants.ts";
import { fromDevice, toDevice } from "../../src/webgpu/weights.ts";
import { Peer, type PeerName } from "../peers/peer.ts";
import { type Bench, repeatsFor, timeSubmitted } from "../support/bench.ts";
import type { Timing } from "../support/gpu_timing.ts";
import { normals } from "../support/inputs.ts";
import { type Claim, digits, type SectionReport, table } from "../support/report.ts";
import { inTurns, median, medianRatio, relativeDifference } from "../support/statistics.ts";

/** A network of one level, for the parameters of its convolutions of 128 channels. */
const ONE_LEVEL: UNetConfig = unetConfig({
  sampleSize: 32,
  blockOutChannels: [128],
  downBlockTypes: ["DownBlock2D"],
  upBlockTypes: ["UpBlock2D"],
  layersPerBlock: 1,
});

/**
 * How far two results may be apart, relative to their size: sums of n float32 terms stray at random by some
 * √n·2^−24, here n = 9·128 forward and N·32² for a weight's gradient; F(4x4) multiplies that by about 10.
 * This is twice that for the longer sum; a wrong tap or order is off by a thousand times more.
 */
const AGREEMENT = 20 * Math.sqrt(4 * 32 ** 2) * 2 ** -24;

/** Our side of the comparison. */
class Ours {
  readonly #bench: Bench;
  readonly #made: ConvPlan;
  readonly #weight: { readonly name: string; readonly shape: readonly number[] };
  readonly executor: Executor;

  private constructor(bench: Bench, made: ConvPlan, name: string, executor: Executor) {
    this.#bench = bench;
    this.#made = made;
    const spec = unetParameters(ONE_LEVEL).find((s) => s.name === `${name}.weight`);
    if (spec === undefined) throw new Error(`Expected a weight of ${name}`);
    this.#weight = spec;
    this.executor = executor;
  }

  static async create(
    bench: Bench,
    conv: NamedConv,
    x: Tensor,
    weight: Tensor,
    dY: Tensor | null,
  ): Promise<Ours> {
    const { gpu, variants } = bench;
    const [batch] = x.shape;
    const request = { config: ONE_LEVEL, conv, batch, training: dY !== null, variants };
    const made = convPlan(request);
    const executor = await Executor.create(gpu, made.plan);
    const ours = new Ours(bench, made, conv.name, executor);
    executor.write(made.x.view.tensor, x.data);
    executor.write(ours.#tensor("parameters", ""), toDevice(ours.#weight, weight));
    if (made.gradients && dY) executor.write(made.gradients.dY.view.tensor, dY.data);
    executor.run("prepare");
    executor.run("step");
    return ours;
  }

  #tensor(buffer: "parameters" | "gradients", prefix: string): PlanTensor {
    const label = `${prefix}${this.#weight.name}`;
    const found = this.#made.plan.tensors.find((t) => t.buffer === buffer && t.label === label);
    if (found === undefined) throw new Error(`Expected a tensor ${label}`);
    return found;
  }

  /** y, or y, dX and dW. */
  async results(): Promise<Float32Array[]> {
    const { y, gradients } = this.#made;
    if (gradients === null) return await this.executor.read(y.view.tensor);
    const dW = this.#tensor("gradients", "d ");
    const [forward, dX, dWeight] = await this.executor.read(
      y.view.tensor,
      gradients.dX.view.tensor,
      dW,
    );
    return [forward, dX, fromDevice(this.#weight, dWeight.slice()).data];
  }

  time(times: number): Promise<number> {
    return timeSubmitted(this.#bench.gpu, times, () => this.executor.run("step"));
  }
}

/** Device time and fraction of the peak of a plan's step, the peak being measured before and after each run. */
function roofOf({ timer, rounds }: Bench, { launches }: Plan, flops: number): Promise<Timing> {
  const names = new Map<PlanTensor, string>();
  const named = launches.filter(({ phase }) => phase === "step").map((launch) => ({
    ...launch,
    operands: launch.operands.map(({ tensor, access }) => {
      const name = names.get(tensor) ?? `tensor ${names.size}`;
      names.set(tensor, name);
      return { tensor: name, access };
    }),
  }));
  const sizes = Object.fromEntries([...names].map(([{ size }, name]) => [name, size]));
  return timer.measure(named, sizes, { repeats: Math.max(rounds, 15), flops });
}

/** Of several timings the one whose fraction of the peak is in the middle. */
function middleOf(timings: readonly Timing[]): Timing {
  return timings.toSorted((a, b) => a.fractionOfPeak - b.fractionOfPeak)[timings.length >> 1];
}

/**
 * One evaluation compared with the peers, after a check that all compute the same. Device time is taken
 * anew in every turn: a third of a second tells more of what the machine's other users did then.
 */
async function compare(
  bench: Bench,
  ours: Ours,
  work: { x: Tensor; weight: Tensor; dY: Tensor | null; flops: number },
  names: readonly PeerName[],
) {
  const { x, weight, dY, flops } = work;
  const own = await ours.results();
  const started: Peer[] = [];
  const differences: Record<string, number> = {};
  try {
    for (const name of names) {
      bench.progress(`convolution: ${name} starts`);
      const { peer, results } = await Peer.start(name, { kind: "conv", x, weight, dY });
      started.push(peer);
      const worst = Math.max(...results.map((result, i) => differenceOf(result, own[i], dY)));
      if (!(worst <= AGREEMENT)) {
        throw new Error(
          `Expected ${name} to be within ${AGREEMENT} of ours before timing but got ${worst}`,
        );
      }
      differences[name] = worst;
    }
    bench.progress("convolution: timing");
    const repeats = repeatsFor(await ours.time(1));
    const roofs: Timing[] = [];
    const measurements: Record<string, () => Promise<number>> = {
      ours: async () => {
        roofs.push(await roofOf(bench, ours.executor.plan, flops));
        return await ours.time(repeats);
      },
    };
    for (const peer of started) {
      // The others take long enough for the wait not to show.
      measurements[peer.name] = () => peer.time(peer.name === "tfjs WASM" ? repeats : 2);
    }
    const taken = await inTurns(bench.rounds, measurements);
    // The first turn is for warming up.
    return { differences, taken, roofs: roofs.slice(1) };
  } finally {
    for (const peer of started) peer.stop();
  }
}

/** With gradients, jax-js gives Σ y·dY in place of y. */
function differenceOf(theirs: Float32Array, own: Float32Array, dY: Tensor | null): number {
  if (theirs.length !== 1 || dY === null) return relativeDifference(theirs, own);
  let sum = 0, size = 0;
  own.forEach((y, i) => {
    sum += y * dY.data[i];
    size += Math.abs(y * dY.data[i]);
  });
  return Math.abs(theirs[0] - sum) / size;
}

/** Forward against the peak and the peers; forward with both gradients against the peers. */
export async function convolution(bench: Bench): Promise<SectionReport> {
  const N = bench.quick ? 1 : 4;
  const conv = convLayers(ONE_LEVEL, 32, 32).find(({ layer }) =>
    layer.C === 128 && layer.O === 128
  );
  if (conv === undefined) throw new Error("Expected a convolution of 128 channels");
  const flops = 2 * 9 * N * 128 * 128 * 32 ** 2;
  const x = normals(1, [N, 128, 32, 32]), dY = normals(3, [N, 128, 32, 32]);
  const drawn = normals(2, [128, 128, 3, 3]);
  const weight = tensor(drawn.shape, drawn.data.map((w) => w / 34));
  const names = (...all: PeerName[]): PeerName[] => bench.peers ? all : [];

  const forward = await Ours.create(bench, conv, x, weight, null);
  const all = names("jax-js WebGPU", "tfjs WebGPU", "tfjs WASM");
  const inference = await compare(bench, forward, { x, weight, dY: null, flops }, all);
  forward.executor.destroy();
  const both = await Ours.create(bench, conv, x, weight, dY);
  const withGradients = names("jax-js WebGPU", "tfjs WebGPU");
  const training = await compare(bench, both, { x, weight, dY, flops: 3 * flops }, withGradients);
  both.executor.destroy();
  const roof = middleOf(inference.roofs), roofBoth = middleOf(training.roofs);

  const rows = (work: string, { taken, differences }: typeof inference, count: number) =>
    Object.entries(taken).map(([name, times]) => [
      `${work}, ${name}`,
      digits(median(times)),
      digits(count / median(times) / 1e6),
      name === "ours" ? "" : digits(medianRatio(times, taken.ours)),
      name === "ours" ? "" : differences[name].toExponential(1),
    ]);
  const claims: Claim[] = [{
    what: "conv3x3 128→128 @32² N=4 forward, effective fraction of the FMA peak",
    value: roof.fractionOfPeak,
    unit: "",
    atLeast: 0.75,
  }];
  if (bench.peers) {
    claims.push({
      what: "conv forward + both gradients: jax-js / ours",
      value: medianRatio(training.taken["jax-js WebGPU"], training.taken.ours),
      unit: "x",
      atLeast: 4,
    });
  }
  return {
    title: `Convolution ${convKey(conv.layer)}, N = ${N}, by ${
      convAlgorithm(bench.variants, conv.layer)
    }`,
    lines: [
      ...table([
        ["device time", "ms", "of peak", "by processor time"],
        ...([["forward", roof], ["forward + gradients", roofBoth]] as const).map((
          [what, timing],
        ) => [
          what,
          digits(timing.ms),
          digits(timing.fractionOfPeak),
          digits(timing.cpuFractionOfPeak),
        ]),
      ]),
      "",
      ...table([
        ["wall time", "ms", "GFLOP/s", "times ours", "difference"],
        ...rows("forward", inference, flops),
        ...rows("forward + gradients", training, 3 * flops),
      ]),
    ],
    claims,
    data: { flops, roof, roofBoth, inference, training },
  };
}
