/**
 * Some launches of a plan as a plan of their own, so that a test can hand them what the launches before
 * them would have computed.
 */
import { Executor } from "../../src/webgpu/executor.ts";
import type { Gpu } from "../../src/webgpu/device.ts";
import {
  type Plan,
  PlanBuilder,
  type PlannedLaunch,
  type PlanTensor,
} from "../../src/webgpu/plan.ts";

/** The launches of `plan` that `keep` names, as they are; every tensor has a place of its own. */
export class Excerpt {
  readonly #plan: Plan;

  constructor(plan: Plan, keep: (launch: PlannedLaunch) => boolean) {
    const builder = new PlanBuilder(), places = new Map<PlanTensor, PlanTensor>();
    const place = (tensor: PlanTensor): PlanTensor => {
      const known = places.get(tensor);
      if (known !== undefined) return known;
      const own = builder.tensor("state", tensor.label, tensor.size);
      places.set(tensor, own);
      return own;
    };
    for (const launch of plan.launches.filter(keep)) {
      const operands = launch.operands.map(({ tensor, access }) => ({
        tensor: place(tensor),
        access,
      }));
      builder.layer = launch.layer;
      builder.add(launch.phase, { ...launch, operands });
    }
    this.#plan = builder.finish();
  }

  /** Runs the launches once with tensors by their labels, all else NaN, and returns some of them. */
  async run(
    gpu: Gpu,
    inputs: Readonly<Record<string, Float32Array | Uint32Array>>,
    outputs: readonly string[],
  ): Promise<Float32Array[]> {
    const executor = await Executor.create(gpu, this.#plan);
    try {
      for (const tensor of this.#plan.tensors) {
        executor.write(tensor, new Float32Array(tensor.size).fill(NaN));
      }
      for (const [label, data] of Object.entries(inputs)) executor.write(this.#place(label), data);
      executor.run("prepare", "step", "update");
      return await executor.read(...outputs.map((label) => this.#place(label)));
    } finally {
      executor.destroy();
    }
  }

  /** The tensor of a label that no other has. */
  #place(label: string): PlanTensor {
    const found = this.#plan.tensors.filter((tensor) => tensor.label === label);
    if (found.length !== 1) {
      throw new Error(`Expected one tensor labelled ${label} but got ${found.length}`);
    }
    return found[0];
  }
}
