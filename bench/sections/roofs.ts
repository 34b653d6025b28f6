/**
 * The adapter's roofs: multiply-adds per second from registers, and bytes per second of a copy.
 *
 * @module
 */
import type { Bench, Roofs } from "../support/bench.ts";
import { copy } from "../../src/webgpu/kernels/elementwise.ts";
import { digits, type SectionReport } from "../support/report.ts";

/** Floats of the copied array, 16 MiB: as large as the largest activations. */
const COPIED = 2 ** 22;

/** Measures both. */
export async function measureRoofs(
  { timer, variants, rounds }: Pick<Bench, "timer" | "variants" | "rounds">,
): Promise<Roofs> {
  const view = <K extends string>(tensor: K) => ({ tensor, offset: 0, sampleStride: COPIED });
  const launch = copy<"x" | "y">(variants.other, { N: 1, D: COPIED }, {
    x: view("x"),
    y: view("y"),
  });
  const { ms, peakGflops } = await timer.measure([launch], { x: COPIED, y: COPIED }, {
    repeats: Math.max(rounds, 5),
  });
  return { flops: peakGflops * 1e9, bytes: launch.bytes / ms * 1e3 };
}

/** The roofs as a section. */
export function roofs({ roofs: { flops, bytes } }: Bench): Promise<SectionReport> {
  return Promise.resolve({
    title: "Roofs of the adapter",
    lines: [
      `fused multiply-adds from registers: ${digits(flops / 1e9)} GFLOP/s`,
      `copy of 16 MiB, read and written:   ${digits(bytes / 1e9)} GB/s`,
    ],
    claims: [],
    data: { flopsPerSecond: flops, bytesPerSecond: bytes },
  });
}
