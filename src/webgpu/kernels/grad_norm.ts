/**
 * Clipping gradients by their global norm, without reading it back.
 *
 * @module
 */
import type { Launch } from "../kernel.ts";
import {
  componentSum,
  isShared,
  kernelName,
  Shader,
  totalFunction,
  type Variant,
  vectorType,
  vectorWidth,
  type Width,
} from "./layout.ts";
import { STEP } from "./optimizer_step.ts";

/** Partial sums per gradient tensor. */
export const NORM_PARTS = 2048;

const LANES = 64;
const PARTS_PER_WORKGROUP = 8;

function widthOf(variant: Variant, count: number): Width {
  return variant === "naive" ? 1 : vectorWidth(count);
}

function partLength(count: number, width: Width): number {
  return Math.max(1, Math.ceil(count / width / NORM_PARTS));
}

/** Additions that one square of `tensors` gradient tensors of `count` elements goes through. */
export function normDepth(variant: Variant, count: number, tensors: number): number {
  const width = widthOf(variant, count);
  const length = partLength(count, width);
  const first = isShared(variant) ? Math.ceil(length / LANES) + Math.log2(LANES) : length;
  const second = Math.ceil(tensors * NORM_PARTS / LANES) + Math.log2(LANES);
  return first + (width === 4 ? 2 : 0) + second;
}

/**
 * parts[first..first + NORM_PARTS) = sums of squares of the parts of one gradient tensor.
 *
 * @param count elements; a multiple of 4 is faster.
 */
export function sumOfSquares<T>(
  variant: Variant,
  count: number,
  tensors: { readonly grads: T; readonly parts: T },
  first = 0,
): Launch<T> {
  const width = widthOf(variant, count);
  // Elsewhere an invocation has a part to itself.
  const shared = isShared(variant);
  const lanes = shared ? LANES : PARTS_PER_WORKGROUP;
  const shader = new Shader<T>();
  shader.integers({ count: count / width, length: partLength(count, width), first });
  const grads = shader.tensor("grads", vectorType(width), tensors.grads, "read");
  const parts = shader.tensor("partSums", "f32", tensors.parts, "write");
  const sum = componentSum(width, "sum");
  const body = `${shared ? totalFunction(variant, lanes) : ""}
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) id: vec3u, @builtin(local_invocation_index) lane: u32) {
  let part = ${shared ? "id.x" : `id.x * ${lanes}u + lane`};
  let start = min(part * p.length, p.count);
  let end = min(start + p.length, p.count);
  var sum = ${vectorType(width)}();
  for (var i = start${shared ? " + lane" : ""}; i < end; i += ${shared ? lanes : 1}u) {
    let g = ${grads}[i];
    sum += g * g;
  }
  ${
    shared
      ? `let whole = total(lane, ${sum});
  if (lane == 0u) { ${parts}[p.first + part] = whole; }`
      : `${parts}[p.first + part] = ${sum};`
  }
}
`;
  return shader.launch({
    kernel: kernelName("sumOfSquares", variant, width),
    body,
    workgroups: [shared ? NORM_PARTS : NORM_PARTS / PARTS_PER_WORKGROUP, 1, 1],
    flops: 2 * count,
    bytes: 4 * count,
  });
}

/**
 * norm = [‖g‖, min(1, maxNorm/(‖g‖ + 10⁻⁶))] from the parts of `gradTensors` tensors (Pascanu et al. 2013,
 * algorithm 1); maxNorm is an entry of the step's numbers.
 */
export function clipFactor<T>(
  gradTensors: number,
  tensors: { readonly parts: T; readonly step: T; readonly norm: T },
): Launch<T> {
  const shader = new Shader<T>();
  shader.integers({ count: gradTensors * NORM_PARTS });
  const parts = shader.tensor("partSums", "f32", tensors.parts, "read");
  const step = shader.tensor("step", "f32", tensors.step, "read");
  const norm = shader.tensor("norm", "f32", tensors.norm, "write");
  const body = `${totalFunction("workgroup", LANES)}
@compute @workgroup_size(${LANES})
fn main(@builtin(local_invocation_index) lane: u32) {
  var sum = 0.0;
  for (var i = lane; i < p.count; i += ${LANES}u) { sum += ${parts}[i]; }
  let length = sqrt(total(lane, sum));
  if (lane == 0u) {
    ${norm}[0] = length;
    ${norm}[1] = min(1.0, ${step}[${STEP.maxNorm}] / (length + 1e-6));
  }
}
`;
  return shader.launch({
    kernel: "clipFactor",
    body,
    workgroups: [1, 1, 1],
    flops: gradTensors * NORM_PARTS,
    bytes: 4 * gradTensors * NORM_PARTS,
  });
}
