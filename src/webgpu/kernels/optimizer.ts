/**
 * Adam and AdamW with gradient clipping and the average of the weights, in one pass over flat arrays.
 *
 * @module
 */
import { type Launch, linearGrid } from "../kernel.ts";
import { kernelName, Shader, type Variant, vectorType, vectorWidth } from "./layout.ts";
import { STEP } from "./optimizer_step.ts";

/** Flat arrays of `count` elements, and the numbers of the step. */
export interface AdamTensors<T> {
  readonly params: T;
  readonly grads: T;
  /** First moment. */
  readonly m: T;
  /** Second moment. */
  readonly v: T;
  /** Average of the weights, or null for none. */
  readonly ema: T | null;
  /** What `optimizerStepNumbers` returns. */
  readonly step: T;
  /** What `clipFactor` writes. */
  readonly norm: T;
}

const WORKGROUP = 64;
const MOST_PER_INVOCATION = 8;

/**
 * One step of Adam (Kingma and Ba 2014, algorithm 1; decoupled: Loshchilov and Hutter 2017, algorithm 2)
 * on clipped gradients, then the average of the weights (Ho et al. 2020, appendix B). Moments and
 * average are written x + (1 − decay)·(new − x), whose fixed point survives a rounded decay;
 * m̂/(√v̂ + ε) with the corrections taken into lr and √v.
 *
 * @param count elements; a multiple of 4 is faster.
 */
export function adam<T>(variant: Variant, count: number, tensors: AdamTensors<T>): Launch<T> {
  const width = variant === "naive" ? 1 : vectorWidth(count);
  const vectors = count / width;
  const perInvocation = variant === "naive"
    ? 1
    : Math.min(MOST_PER_INVOCATION, Math.ceil(vectors / WORKGROUP));
  const perWorkgroup = WORKGROUP * perInvocation;
  const type = vectorType(width);
  const shader = new Shader<T>();
  shader.integers({ count: vectors, perWorkgroup });
  const params = shader.tensor("params", type, tensors.params, "update");
  const grads = shader.tensor("grads", type, tensors.grads, "read");
  const m = shader.tensor("m", type, tensors.m, "update");
  const v = shader.tensor("v", type, tensors.v, "update");
  const ema = tensors.ema === null ? null : shader.tensor("ema", type, tensors.ema, "update");
  const step = shader.tensor("step", "f32", tensors.step, "read");
  const norm = shader.tensor("norm", "f32", tensors.norm, "read");
  const body = `
@compute @workgroup_size(${WORKGROUP})
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let clip = ${norm}[1];
  let stepSize = ${step}[${STEP.stepSize}];
  let rootCorrection = ${step}[${STEP.rootCorrection}];
  let eps = ${step}[${STEP.eps}];
  let share1 = ${step}[${STEP.share1}];
  let share2 = ${step}[${STEP.share2}];
  let coupledDecay = ${step}[${STEP.coupledDecay}];
  let decoupledDecay = ${step}[${STEP.decoupledDecay}];
  ${ema === null ? "" : `let emaShare = ${step}[${STEP.emaShare}];`}
  let start = (id.x + id.y * grid.x) * p.perWorkgroup;
  let end = min(start + p.perWorkgroup, p.count);
  for (var i = start + lane; i < end; i += ${WORKGROUP}u) {
    let theta = ${params}[i];
    let g = clip * ${grads}[i] + coupledDecay * theta;
    let oldM = ${m}[i]; let oldV = ${v}[i];
    let newM = oldM + share1 * (g - oldM);
    let newV = oldV + share2 * (g * g - oldV);
    let change = stepSize * newM / (sqrt(newV) * rootCorrection + eps);
    let newTheta = theta - (decoupledDecay * theta + change);
    ${m}[i] = newM;
    ${v}[i] = newV;
    ${params}[i] = newTheta;
    ${
    ema === null ? "" : `let average = ${ema}[i];
    ${ema}[i] = average + emaShare * (newTheta - average);`
  }
  }
}
`;
  return shader.launch({
    kernel: kernelName(ema === null ? "adam" : "adamEma", variant, width),
    body,
    workgroups: linearGrid(Math.ceil(vectors / perWorkgroup)),
    flops: (ema === null ? 16 : 19) * count,
    bytes: (ema === null ? 28 : 36) * count,
  });
}
