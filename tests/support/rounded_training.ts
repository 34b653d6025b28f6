/**
 * Training steps in double, exact and with the rounding errors of the device: the network's
 * (`rounded_layers.ts`) and the optimiser's.
 *
 * @module
 */
import type { Tensor } from "../../src/math/tensor.ts";
import { type AdamState, adamStepAll } from "../../src/reference/adam.ts";
import { emaStepAll } from "../../src/reference/ema.ts";
import { clipGradNormAll } from "../../src/reference/grad_norm.ts";
import type { Parameters } from "../../src/spec/unet_parameters.ts";
import { normDepth } from "../../src/webgpu/kernels/grad_norm.ts";
import type { OptimizerStep } from "../../src/webgpu/kernels/optimizer_step.ts";
import { allInDouble, doubles } from "./doubles.ts";
import { RandomRounding } from "./random_rounding.ts";
import { exactResults, type NetworkCase, type Results, roundedResults } from "./webgpu_bounds.ts";

/** One step of a run: what the network sees, and the optimiser's numbers. */
export interface TrainingStepCase {
  readonly batch: Omit<NetworkCase, "config" | "parameters">;
  readonly optimizer: OptimizerStep;
}

/** A run from its start. */
export interface TrainingCase extends Pick<NetworkCase, "config" | "parameters"> {
  readonly steps: readonly TrainingStepCase[];
}

/** A run's losses and norms step by step, and its weights, moments and average at the end, by name. */
export type TrainingResults = Results;

/** Names a tensor of a run's end. */
export function stateName(
  part: "parameters" | "moment1" | "moment2" | "ema",
  name: string,
): string {
  return `${part} ${name}`;
}

function mapped(tensors: Parameters, f: (value: number) => number): Parameters {
  return new Map(
    [...tensors].map(([name, { shape, data }]) => [name, { shape, data: data.map(f) }]),
  );
}

/**
 * What rounding does to a step of Adam: moments in three and four operations; a step in fewer than
 * sixteen roundings, 2.5 + 2.5 ulp of division and square root among them, besides those of its
 * moments; the new weight in one; the average in three.
 */
function roundedState(
  rounding: RandomRounding,
  before: AdamState,
  after: AdamState,
): AdamState {
  const params = new Map([...after.params].map(([name, { shape, data }]) => {
    const old = (before.params.get(name) as Tensor).data;
    const moved = data.map((theta, i) => {
      return rounding.rounded(theta) + rounding.error(16 * (theta - old[i]));
    });
    return [name, { shape, data: moved }];
  }));
  return {
    params,
    m: mapped(after.m, (v) => rounding.rounded(v, 3)),
    v: mapped(after.v, (v) => rounding.rounded(v, 4)),
  };
}

/** The run in double; with `rounding`, as the device might have computed it. */
export function trained(run: TrainingCase, rounding: RandomRounding | null): TrainingResults {
  const { config, steps } = run;
  const start = allInDouble(run.parameters);
  const zeros = mapped(start, () => 0);
  let state: AdamState = { params: start, m: zeros, v: zeros };
  let ema: Parameters = start;
  const results = new Map<string, Tensor>();
  steps.forEach(({ batch, optimizer }, k) => {
    const { step, lr, beta1, beta2, eps, weightDecay, decoupled, maxNorm, emaDecay } = optimizer;
    const net = { ...batch, config, parameters: state.params };
    const found = rounding === null ? exactResults(net) : roundedResults(net, rounding);
    const gradients = new Map([...found].filter(([name]) => run.parameters.has(name)));
    const { gradients: clipped, norm } = clipGradNormAll(gradients, maxNorm ?? 1e30);
    const count = [...gradients.values()].reduce((n, { data }) => n + data.length, 0);
    const options = { lr, beta1, beta2, eps, weightDecay, decoupled };
    const next = adamStepAll(state, clipped, step, options);
    state = rounding === null ? next : roundedState(rounding, state, next);
    ema = emaStepAll(ema, state.params, emaDecay);
    if (rounding !== null) ema = mapped(ema, (v) => rounding.rounded(v, 3));
    results.set(`loss of step ${k + 1}`, found.get("loss") as Tensor);
    // A norm is the root of a sum, so that half of the sum's relative error is left of it.
    const depth = 1 + normDepth("lanes", count, 1);
    const computed = rounding === null ? norm : (norm + rounding.shallowSum(depth, norm)) / 2;
    results.set(`norm of step ${k + 1}`, doubles([1], [computed]));
  });
  for (
    const [part, tensors] of [
      ["parameters", state.params],
      ["moment1", state.m],
      ["moment2", state.v],
      ["ema", ema],
    ] as const
  ) {
    for (const [name, value] of tensors) results.set(stateName(part, name), value);
  }
  return results;
}
