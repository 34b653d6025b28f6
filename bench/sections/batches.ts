/**
 * Time per image of the forward pass over batch sizes.
 *
 * @module
 */
import { Executor, type SharedBuffers } from "../../src/webgpu/executor.ts";
import { GpuUNet } from "../../src/webgpu/unet.ts";
import { unetPlan } from "../../src/webgpu/unet_plan.ts";
import { type Bench, extent, repeatsFor, timeSubmitted } from "../support/bench.ts";
import { digits, type SectionReport, table } from "../support/report.ts";
import { inTurns, median, medianRatio } from "../support/statistics.ts";

const BATCHES = [1, 2, 4, 8, 16];
const QUICK_BATCHES = [1, 2, 4];

/** Executors of all batch sizes side by side, over the same weights, in turns. */
export async function batches(bench: Bench): Promise<SectionReport> {
  const { gpu, config, parameters, variants, quick, rounds, progress } = bench;
  const size = extent(config);
  const first = await GpuUNet.create(gpu, config, parameters, { ...size, batch: 1, variants });
  const executors = new Map([[1, first.executor]]);
  try {
    const { parameters: weights, prepared, staging } = first.executor.buffers;
    const shared: SharedBuffers = { parameters: weights, prepared, staging };
    for (const batch of quick ? QUICK_BATCHES : BATCHES) {
      if (batch === 1) continue;
      progress(`batches: compiling for ${batch}`);
      const { plan } = unetPlan({ ...size, config, batch, variants, streamed: true });
      executors.set(batch, await Executor.create(gpu, plan, shared));
    }
    progress("batches: timing");
    const measurements: Record<string, () => Promise<number>> = {};
    for (const [batch, executor] of executors) {
      const run = () => executor.run("step");
      const repeats = repeatsFor(await timeSubmitted(gpu, 1, run));
      measurements[batch] = async () => await timeSubmitted(gpu, repeats, run) / batch;
    }
    const taken = await inTurns(rounds, measurements);
    const ratios = Object.entries(taken).map(([batch, times]) => ({
      batch: Number(batch),
      ms: median(times),
      ratio: medianRatio(times, taken[1]),
    }));
    return {
      title: "Time per image over batch sizes",
      lines: table([
        ["batch", "ms per image", "of batch 1's"],
        ...ratios.map(({ batch, ms, ratio }) => [String(batch), digits(ms), digits(ratio)]),
      ]),
      claims: [{
        what: "time per image, largest over batches 2 to 16 / batch 1",
        value: Math.max(...ratios.filter(({ batch }) => batch > 1).map(({ ratio }) => ratio)),
        unit: "x",
        atMost: 1.1,
      }],
      data: taken,
    };
  } finally {
    for (const executor of executors.values()) executor.destroy();
  }
}
