/**
 * N steps of the sampling loop, noise made on the host included, as a multiple of N forward passes.
 *
 * @module
 */
import { trailingTimesteps } from "../../src/reference/respacing.ts";
import { createSchedule } from "../../src/reference/schedule.ts";
import { DDPM_SCHEDULE } from "../../src/spec/schedule_config.ts";
import { GpuSampler, samplerTimes } from "../../src/webgpu/sampler.ts";
import { GpuUNet } from "../../src/webgpu/unet.ts";
import { type Bench, extent, timeSubmitted } from "../support/bench.ts";
import { normals } from "../support/inputs.ts";
import { digits, type SectionReport, table } from "../support/report.ts";
import { inTurns, median, medianRatio } from "../support/statistics.ts";

const STEPS = 10;

/** DDPM steps, which take noise, at batch 1. */
export async function sampling(bench: Bench): Promise<SectionReport> {
  const { gpu, config, parameters, variants, rounds, progress } = bench;
  const { height, width } = extent(config);
  const keep = trailingTimesteps(1000, STEPS).toReversed();
  const times = samplerTimes(createSchedule({ ...DDPM_SCHEDULE, keep }));
  progress("sampling: compiling");
  const size = { batch: 1, height, width, variants };
  const model = await GpuUNet.create(gpu, config, parameters, size);
  let sampler: GpuSampler | null = null;
  try {
    sampler = await GpuSampler.create(gpu, config, parameters, {
      ...size,
      times,
      steps: { kind: "ddpm", prediction: "epsilon", variance: "beta", clipRange: 1 },
    });
    const loop = sampler;
    const shape = [1, config.inChannels, height, width];
    const xT = normals(30, shape);
    progress("sampling: timing");
    const taken = await inTurns(rounds, {
      forwards: () => timeSubmitted(gpu, STEPS, () => model.executor.run("step")),
      steps: async () => {
        const begin = performance.now();
        await loop.sample({ xT, noiseAt: (t) => normals(100 + t, shape) });
        return (performance.now() - begin) / STEPS;
      },
    });
    const ratio = medianRatio(taken.steps, taken.forwards);
    return {
      title: `Sampling loop of ${STEPS} DDPM steps, batch 1`,
      lines: table([
        ["wall time", "ms each"],
        ["forward passes", digits(median(taken.forwards))],
        ["sampling steps", digits(median(taken.steps))],
      ]),
      claims: [{
        what: `sampling ${STEPS} steps / ${STEPS} forwards`,
        value: ratio,
        unit: "x",
        atMost: 1.05,
      }],
      data: taken,
    };
  } finally {
    sampler?.destroy();
    model.destroy();
  }
}
