/**
 * Where the forward pass at batch 1 spends its time.
 *
 * @module
 */
import { GpuUNet } from "../../src/webgpu/unet.ts";
import { type Bench, extent } from "../support/bench.ts";
import { byKernel, byLayer, profileTable } from "../support/profile.ts";
import type { SectionReport } from "../support/report.ts";

/** Time, share and fraction of the roof per layer and per kernel. */
export async function layers(bench: Bench): Promise<SectionReport> {
  const { gpu, config, parameters, variants, rounds, roofs, progress } = bench;
  progress("layers: profiling");
  const model = await GpuUNet.create(gpu, config, parameters, {
    ...{ ...extent(config), batch: 1, variants },
  });
  try {
    await model.executor.profile("step");
    const perLayer = await byLayer(model.executor, ["step"], rounds);
    const perKernel = await byKernel(model.executor, ["step"], rounds);
    return {
      title: "Forward pass at batch 1, launch by launch (each in a pass of its own)",
      lines: [...profileTable(roofs, perLayer), "", ...profileTable(roofs, perKernel)],
      claims: [],
      data: { layers: perLayer, kernels: perKernel },
    };
  } finally {
    model.destroy();
  }
}
