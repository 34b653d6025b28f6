/**
 * The training step, optimiser and average of the weights included, as a multiple of the forward pass.
 *
 * @module
 */
import { GpuUNet } from "../../src/webgpu/unet.ts";
import { type Bench, extent, repeatsFor, timeSubmitted } from "../support/bench.ts";
import { byKernel, profileTable } from "../support/profile.ts";
import { digits, type SectionReport, table } from "../support/report.ts";
import { inTurns, median, medianRatio } from "../support/statistics.ts";
import {
  makeTrainer,
  OPTIMIZER_STEP,
  trainingBatch,
  trainingBatchSize,
} from "../support/training.ts";

/** Step and forward at the same batch size, in turns. */
export async function training(bench: Bench): Promise<SectionReport> {
  const { gpu, config, variants, rounds, progress } = bench;
  const N = trainingBatchSize(bench);
  progress("training: compiling");
  const trainer = await makeTrainer(bench, () => bench.parameters);
  let model: GpuUNet | null = null;
  try {
    const weights = trainer.executor.buffers.parameters as GPUBuffer;
    model = await GpuUNet.create(gpu, config, weights, { ...extent(config), batch: N, variants });
    const { executor } = model;
    const parts = [trainingBatch(bench)];
    let step = 0;
    const train = async (): Promise<void> => {
      step++;
      const { loss } = await trainer.step(parts, { ...OPTIMIZER_STEP, step });
      if (!Number.isFinite(loss)) throw new Error(`Expected a finite loss but got ${loss}`);
    };
    progress("training: timing");
    const forward = () => executor.run("step");
    const repeats = repeatsFor(await timeSubmitted(gpu, 1, forward));
    const taken = await inTurns(rounds, {
      forward: () => timeSubmitted(gpu, repeats, forward),
      step: async () => {
        const begin = performance.now();
        for (let i = 0; i < repeats; i++) await train();
        return (performance.now() - begin) / repeats;
      },
    });
    const ratio = medianRatio(taken.step, taken.forward);
    const profiled = await byKernel(trainer.executor, ["step", "update"], 1);
    const total = trainer.planned.plan.launches.reduce((sum, { flops }) => sum + flops, 0);
    return {
      title: `Training step at batch ${N}`,
      lines: [
        ...table([
          ["wall time", "ms", "ms per image"],
          ["forward", digits(median(taken.forward)), digits(median(taken.forward) / N)],
          ["training step", digits(median(taken.step)), digits(median(taken.step) / N)],
        ]),
        `step / forward = ${digits(ratio)}; ${digits(total / median(taken.step) / 1e6)} GFLOP/s`,
        "",
        ...profileTable(bench.roofs, profiled, 16),
      ],
      claims: [{
        what: `training step / forward at batch ${N}`,
        value: ratio,
        unit: "x",
        atMost: 4.5,
      }],
      data: { batch: N, flops: total, taken, kernels: profiled },
    };
  } finally {
    model?.destroy();
    trainer.destroy();
  }
}
