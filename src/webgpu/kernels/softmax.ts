/**
 * Softmax over rows, as in attention.
 *
 * @module
 */
import { type Launch, linearGrid, type View } from "../kernel.ts";
import {
  componentSum,
  isShared,
  kernelName,
  Shader,
  totalFunction,
  type Variant,
  vectorType,
  viewsWidth,
  type Width,
} from "./layout.ts";

/** Sizes of a matrix of rows; a view's samples are the rows. */
export interface RowSizes {
  readonly rows: number;
  /** Elements per row. */
  readonly L: number;
}

/** Invocations that share a row; elsewhere one invocation has a row to itself. */
export const ROW_LANES = 64;
/** Rows per workgroup where an invocation has one to itself: a SIMD vector of them. */
const ROWS_PER_WORKGROUP = 8;

/**
 * WGSL for one row after another: `start` and `step` over its elements, and `rowSum` and `rowMax` of the
 * values that its invocations found.
 */
function rowKernel(variant: Variant, width: Width, perRow: string): string {
  const type = vectorType(width);
  const largest = width === 4 ? "max(max(v.x, v.y), max(v.z, v.w))" : "v";
  const shared = isShared(variant);
  const lanes = shared ? ROW_LANES : ROWS_PER_WORKGROUP;
  const reductions = shared
    ? `${totalFunction(variant, lanes)}
fn largest(lane: u32, value: f32) -> f32 {
  parts[lane] = value;
  workgroupBarrier();
  for (var half = ${lanes / 2}u; half > 0u; half /= 2u) {
    if (lane < half) { parts[lane] = max(parts[lane], parts[lane + half]); }
    workgroupBarrier();
  }
  let found = parts[0];
  workgroupBarrier();
  return found;
}
fn rowSum(lane: u32, v: V) -> f32 { return total(lane, ${componentSum(width, "v")}); }
fn rowMax(lane: u32, v: V) -> f32 { return largest(lane, ${largest}); }`
    : `fn rowSum(lane: u32, v: V) -> f32 { return ${componentSum(width, "v")}; }
fn rowMax(lane: u32, v: V) -> f32 { return ${largest}; }`;
  const number = "id.x + id.y * grid.x";
  return `
alias V = ${type};
${reductions}
@compute @workgroup_size(${lanes})
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = ${shared ? number : `(${number}) * ${lanes}u + lane`};
  if (row >= p.rows) { return; }
  let start = ${shared ? "lane" : "0u"};
  let step = ${shared ? `${lanes}u` : "1u"};
  let L = p.L;
${perRow}
}
`;
}

function rowGrid(variant: Variant, rows: number): readonly [number, number, number] {
  return linearGrid(isShared(variant) ? rows : Math.ceil(rows / ROWS_PER_WORKGROUP));
}

/** Additions that one element goes through in a row's sum. */
export function rowDepth(variant: Variant, width: Width, L: number): number {
  const vector = width === 4 ? 2 : 0;
  return isShared(variant)
    ? Math.ceil(L / width / ROW_LANES) + vector + Math.log2(ROW_LANES)
    : L / width + vector;
}

/** y[i,·] = softmax of scale·x[i,·], less the row's maximum so that nothing overflows; y may be x. */
export function softmax<T>(
  variant: Variant,
  { rows, L }: RowSizes,
  tensors: { readonly x: View<T>; readonly y: View<T> },
  scale: number,
): Launch<T> {
  const width = viewsWidth(variant, L, [tensors.x, tensors.y]);
  const shader = new Shader<T>();
  shader.integers({ rows, L: L / width });
  const x = shader.view("x", width, tensors.x, "read");
  const y = shader.view("y", width, tensors.y, "write");
  shader.floats({ scale });
  const body = rowKernel(
    variant,
    width,
    `  let xAt = p.xOffset + row * p.xStride;
  let yAt = p.yOffset + row * p.yStride;
  let scale = p.scale;
  var highest = V(-3.4e38);
  for (var j = start; j < L; j += step) { highest = max(highest, scale * ${x}[xAt + j]); }
  let most = rowMax(lane, highest);
  var sum = V();
  for (var j = start; j < L; j += step) { sum += exp(scale * ${x}[xAt + j] - most); }
  let factor = 1.0 / rowSum(lane, sum);
  for (var j = start; j < L; j += step) {
    ${y}[yAt + j] = exp(scale * ${x}[xAt + j] - most) * factor;
  }`,
  );
  return shader.launch({
    kernel: kernelName("softmax", variant, width),
    body,
    workgroups: rowGrid(variant, rows),
    flops: 5 * rows * L,
    bytes: 8 * rows * L,
  });
}

/** What the gradient of a softmax reads and writes. */
export interface SoftmaxBackwardTensors<T> {
  /** The softmax. */
  readonly y: View<T>;
  readonly dY: View<T>;
  /** May be dY. */
  readonly dX: View<T>;
}

/** dX = scale·y∘(dY − rowSum(y∘dY)), the gradient of {@linkcode softmax} with respect to x. */
export function softmaxBackward<T>(
  variant: Variant,
  { rows, L }: RowSizes,
  tensors: SoftmaxBackwardTensors<T>,
  scale: number,
): Launch<T> {
  const width = viewsWidth(variant, L, [tensors.y, tensors.dY, tensors.dX]);
  const shader = new Shader<T>();
  shader.integers({ rows, L: L / width });
  const y = shader.view("y", width, tensors.y, "read");
  const dY = shader.view("dY", width, tensors.dY, "read");
  const dX = shader.view("dX", width, tensors.dX, "write");
  shader.floats({ scale });
  const body = rowKernel(
    variant,
    width,
    `  let yAt = p.yOffset + row * p.yStride;
  let dYAt = p.dYOffset + row * p.dYStride;
  let dXAt = p.dXOffset + row * p.dXStride;
  let scale = p.scale;
  var sum = V();
  for (var j = start; j < L; j += step) { sum += ${y}[yAt + j] * ${dY}[dYAt + j]; }
  let dot = rowSum(lane, sum);
  for (var j = start; j < L; j += step) {
    ${dX}[dXAt + j] = scale * ${y}[yAt + j] * (${dY}[dYAt + j] - dot);
  }`,
  );
  return shader.launch({
    kernel: kernelName("softmaxBackward", variant, width),
    body,
    workgroups: rowGrid(variant, rows),
    flops: 5 * rows * L,
    bytes: 12 * rows * L,
  });
}
