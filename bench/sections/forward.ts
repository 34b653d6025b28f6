/**
 * The full-size U-Net's forward pass at batch 1 next to the peers, with the same weights.
 *
 * @module
 */
import { unetParameterCount } from "../../src/spec/unet_parameters.ts";
import { GpuUNet } from "../../src/webgpu/unet.ts";
import { Peer, type PeerName } from "../peers/peer.ts";
import type { UNetWork } from "../peers/work.ts";
import { type Bench, extent, repeatsFor, timeSubmitted } from "../support/bench.ts";
import { normals } from "../support/inputs.ts";
import { type Claim, digits, type SectionReport, table } from "../support/report.ts";
import { inTurns, median, medianRatio, relativeDifference } from "../support/statistics.ts";

const TIMESTEP = 500;

/**
 * How far two outputs may be apart, relative to their size: some 60 layers in a row stray at random by
 * √(9·256)·2^−24 each in their sums, ten times that under F(4x4), together √60 of it. A wrong padding,
 * order or ε is off by a hundred times more.
 */
const AGREEMENT = 10 * Math.sqrt(60 * 9 * 256) * 2 ** -24;

const PEERS: readonly PeerName[] = ["jax-js WebGPU", "tfjs WebGPU", "tfjs WASM"];

/** Ours and the peers' in turns. */
export async function forward(bench: Bench): Promise<SectionReport> {
  const { gpu, config, parameters, variants, rounds } = bench;
  const { height, width } = extent(config);
  const x = normals(10, [1, config.inChannels, height, width]);
  const ours = await GpuUNet.create(gpu, config, parameters, {
    ...{ batch: 1, height, width, variants },
  });
  const { data } = await ours.predict(x, [TIMESTEP]);
  const started: Peer[] = [], differences: Record<string, number> = {};
  const failures: Record<string, string> = {};
  const startTimes: Record<string, number> = {};
  const work: UNetWork = { kind: "unet", config, parameters, x, timesteps: [TIMESTEP] };
  try {
    for (const name of bench.peers ? PEERS : []) {
      bench.progress(`forward: ${name} compiles the U-Net`);
      const begin = performance.now();
      const { peer, results: [output] } = await Peer.start(name, work);
      started.push(peer);
      startTimes[name] = performance.now() - begin;
      differences[name] = relativeDifference(output, data);
      // A peer that computes something else is no peer: its time is not taken.
      if (!(differences[name] <= AGREEMENT)) {
        failures[name] = `differs from ours by ${differences[name].toExponential(1)}`;
      }
    }
    bench.progress("forward: timing");
    const repeats = repeatsFor(await timeSubmitted(gpu, 1, () => ours.executor.run("step")));
    const measurements: Record<string, () => Promise<number>> = {
      ours: () => timeSubmitted(gpu, repeats, () => ours.executor.run("step")),
    };
    for (const peer of started) {
      if (failures[peer.name] === undefined) measurements[peer.name] = () => peer.time(1);
    }
    const taken = await inTurns(rounds, measurements);
    const flops = ours.planned.plan.launches.filter(({ phase }) => phase === "step")
      .reduce((sum, launch) => sum + launch.flops, 0);
    const claims: Claim[] = [];
    const times = (name: PeerName): readonly number[] => taken[name];
    if (times("jax-js WebGPU") !== undefined) {
      claims.push({
        what: "U-Net forward, batch 1: jax-js / ours",
        value: medianRatio(times("jax-js WebGPU"), taken.ours),
        unit: "x",
        atLeast: 4,
      });
    }
    if (times("tfjs WASM") !== undefined) {
      claims.push({
        what: "U-Net forward, batch 1: tfjs WASM / ours",
        value: medianRatio(times("tfjs WASM"), taken.ours),
        unit: "x",
        atLeast: 1,
      });
    }
    return {
      title: `U-Net of ${unetParameterCount(config).toLocaleString("en")} parameters at ` +
        `${height}×${width}, forward, batch 1`,
      lines: [
        ...table([
          ["wall time", "ms", "GFLOP/s", "times ours", "difference"],
          ...Object.entries(taken).map(([name, times]) => [
            name,
            digits(median(times)),
            digits(flops / median(times) / 1e6),
            name === "ours" ? "" : digits(medianRatio(times, taken.ours)),
            name === "ours" ? "" : differences[name].toExponential(1),
          ]),
        ]),
        ...Object.entries(failures).map(([name, reason]) => `${name}: ${reason}; not timed`),
      ],
      claims,
      data: { flops, taken, differences, failures, peerStartMs: startTimes },
    };
  } finally {
    for (const peer of started) peer.stop();
    ours.destroy();
  }
}
