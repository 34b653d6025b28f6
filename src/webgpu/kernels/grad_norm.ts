/**
 * Clipping gradients by their global norm, without reading it back.
 *
 * @module
 */
import type { Launch } from "../kernel.ts";
import {
  componentSum,
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
export const NORM_PARTS = 1024;

const LANES = 64;

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
  const first = variant === "naive" ? length : Math.ceil(length / LANES) + Math.log2(LANES);
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
  // The naive variant has one invocation per part.
  const lanes = variant === "naive" ? 1 : LANES;
  const shader = new Shader<T>();
  shader.integers({ count: count / width, length: partLength(count, width), first });
  const grads = shader.tensor("grads", vectorType(width), tensors.grads, "read");
  const parts = shader.tensor("partSums", "f32", tensors.parts, "write");
  const body = `${totalFunction(lanes)}
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) id: vec3u, @builtin(local_invocation_index) lane: u32) {
  let start = min(id.x * p.length, p.count);
  let end = min(start + p.length, p.count);
  var sum = ${vectorType(width)}();
  for (var i = start + lane; i < end; i += ${lanes}u) {
    let g = ${grads}[i];
    sum += g * g;
  }
  let part = total(lane, ${componentSum(width, "sum")});
  if (lane == 0u) { ${parts}[p.first + id.x] = part; }
}
`;
  return shader.launch({
    kernel: kernelName("sumOfSquares", variant, width),
    body,
    workgroups: [NORM_PARTS, 1, 1],
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
  const body = `${totalFunction(LANES)}
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
