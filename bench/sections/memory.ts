/**
 * Device memory of training and inference next to their analytic minima.
 *
 * @module
 */
import { GpuUNet } from "../../src/webgpu/unet.ts";
import type { Executor } from "../../src/webgpu/executor.ts";
import { type Bench, extent } from "../support/bench.ts";
import { type MemoryNeed, memoryNeed, totalNeed } from "../support/memory.ts";
import { type Claim, digits, megabytes, type SectionReport, table } from "../support/report.ts";
import { makeTrainer, trainingBatchSize } from "../support/training.ts";

interface Case {
  readonly name: string;
  readonly need: MemoryNeed;
  /** Elements of all buffers that exist. */
  readonly owned: number;
  readonly sizes: Readonly<Record<string, number>>;
}

function caseOf(name: string, executor: Executor): Case {
  const { plan, ownedBytes } = executor;
  return { name, need: memoryNeed(plan), owned: ownedBytes / 4, sizes: plan.sizes };
}

/** Buffers as they were made, against the need that follows from the plan. */
export async function memory(bench: Bench): Promise<SectionReport> {
  const { gpu, config, parameters, variants } = bench;
  const trainer = await makeTrainer(bench, () => bench.parameters);
  const training = caseOf(`training, batch ${trainingBatchSize(bench)}`, trainer.executor);
  trainer.destroy();
  const unet = await GpuUNet.create(gpu, config, parameters, {
    ...{ ...extent(config), batch: 1, variants },
  });
  const inference = caseOf("inference, batch 1", unet.executor);
  unet.destroy();
  const cases = [training, inference];
  const parts = Object.keys(training.need) as (keyof MemoryNeed)[];
  return {
    title: "Device memory",
    lines: [
      ...table([
        ["analytic minimum", ...cases.map(({ name }) => name)],
        ...parts.map((part) => [part, ...cases.map(({ need }) => megabytes(need[part]))]),
        ["together", ...cases.map(({ need }) => megabytes(totalNeed(need)))],
        ["peak: all buffers", ...cases.map(({ owned }) => megabytes(owned))],
        ["peak / minimum", ...cases.map(({ owned, need }) => digits(owned / totalNeed(need)))],
      ]),
      ...cases.map(({ name, sizes }) =>
        `${name}: ${
          Object.entries(sizes).filter(([, size]) => size > 0)
            .map(([buffer, size]) => `${buffer} ${megabytes(size)}`).join(", ")
        }`
      ),
    ],
    claims: cases.map(({ name, owned, need }): Claim => ({
      what: `device memory of ${name}: peak / minimum`,
      value: owned / totalNeed(need),
      unit: "x",
      atMost: 1.2,
    })),
    data: cases,
  };
}
