/**
 * Where the time of a plan goes, by layer and by kernel, and how far each is from its roof.
 *
 * @module
 */
import type { Executor } from "../../src/webgpu/executor.ts";
import type { Phase, PlannedLaunch } from "../../src/webgpu/plan.ts";
import type { Roofs } from "./bench.ts";
import { digits, table } from "./report.ts";
import { median } from "./statistics.ts";

/** A layer's or a kernel's part. */
export interface Share {
  readonly name: string;
  readonly launches: number;
  readonly ms: number;
  /** Operations and bytes as the mathematics needs them. */
  readonly flops: number;
  readonly bytes: number;
}

/** Median time of each launch over so many rounds, summed over those with the same name. */
async function shares(
  executor: Executor,
  phases: readonly Phase[],
  rounds: number,
  nameOf: (launch: PlannedLaunch) => string,
): Promise<Share[]> {
  const found = new Map<string, Share>();
  for (const phase of phases) {
    const runs = [];
    for (let round = 0; round < rounds; round++) runs.push(await executor.profile(phase));
    for (const [i, { launch }] of runs[0].entries()) {
      const name = nameOf(launch);
      const known = found.get(name) ?? { name, launches: 0, ms: 0, flops: 0, bytes: 0 };
      found.set(name, {
        name,
        launches: known.launches + 1,
        ms: known.ms + median(runs.map((run) => run[i].nanoseconds)) / 1e6,
        flops: known.flops + launch.flops,
        bytes: known.bytes + launch.bytes,
      });
    }
  }
  return [...found.values()];
}

/** By layer, in the order of the network. */
export function byLayer(
  executor: Executor,
  phases: readonly Phase[],
  rounds: number,
): Promise<Share[]> {
  return shares(executor, phases, rounds, ({ layer }) => layer);
}

/** By kernel, the one that takes longest first. */
export async function byKernel(
  executor: Executor,
  phases: readonly Phase[],
  rounds: number,
): Promise<Share[]> {
  const found = await shares(executor, phases, rounds, ({ kernel }) => kernel);
  return found.sort((a, b) => b.ms - a.ms);
}

/** The least time that the roofs allow, over the time taken. */
export function fractionOfRoof({ flops, bytes }: Roofs, share: Share): number {
  return Math.max(share.flops / flops, share.bytes / bytes) * 1e3 / share.ms;
}

/** Shares as a table, the rest beyond `most` rows in one. */
export function profileTable(roofs: Roofs, parts: readonly Share[], most = Infinity): string[] {
  const total = parts.reduce((sum, { ms }) => sum + ms, 0);
  const row = (share: Share): string[] => [
    share.name,
    String(share.launches),
    digits(share.ms),
    `${(100 * share.ms / total).toFixed(1)} %`,
    digits(share.flops / share.ms / 1e6),
    digits(share.bytes / share.ms / 1e6),
    digits(fractionOfRoof(roofs, share)),
  ];
  const sum = (name: string, some: readonly Share[]): Share =>
    some.reduce((a, b) => ({
      name,
      launches: a.launches + b.launches,
      ms: a.ms + b.ms,
      flops: a.flops + b.flops,
      bytes: a.bytes + b.bytes,
    }), { name, launches: 0, ms: 0, flops: 0, bytes: 0 });
  const rest = parts.slice(most);
  return table([
    ["device time", "launches", "ms", "share", "GFLOP/s", "GB/s", "of roof"],
    ...parts.slice(0, most).map(row),
    ...rest.length > 0 ? [row(sum("the rest", rest))] : [],
    row(sum("all", parts)),
  ]);
}
