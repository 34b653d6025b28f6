/**
 * Sums over positions, samples or both: the gradients of what is added per channel.
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

/** Sizes of x `[N, C, …]` with P positions. */
export interface ReduceSizes {
  readonly N: number;
  readonly C: number;
  readonly P: number;
}

/** y[n,c] = Σ_i x[n,c,i], or that added to y: the gradient of a value per sample and channel. */
export function sumPositions<T>(
  variant: Variant,
  { N, C, P }: ReduceSizes,
  { x, y }: { readonly x: View<T>; readonly y: View<T> },
  accumulate = false,
): Launch<T> {
  return sums(variant, { A: N, R: 1, C, P }, x, x.sampleStride, y, accumulate);
}

/** y[c] = Σ_{n,i} x[n,c,i], or that added to y: the gradient of a bias. */
export function sumPerChannel<T>(
  variant: Variant,
  { N, C, P }: ReduceSizes,
  { x, y }: { readonly x: View<T>; readonly y: T },
  accumulate = false,
): Launch<T> {
  const out = { tensor: y, offset: 0, sampleStride: C };
  return sums(variant, { A: 1, R: N, C, P }, x, x.sampleStride, out, accumulate);
}

/** Invocations that share a sum in the `workgroup` variant. */
export const SUM_LANES = 64;
const SUMS_PER_WORKGROUP = 8;

/** Additions that one term goes through in a sum over `R` rows of `P` elements. */
export function sumDepth(variant: Variant, width: Width, R: number, P: number): number {
  const vector = width === 4 ? 2 : 0;
  return shares(variant, P)
    ? R * Math.ceil(P / width / SUM_LANES) + vector + Math.log2(SUM_LANES)
    : R * P / width + vector;
}

/** Single elements are not worth sharing. */
function shares(variant: Variant, P: number): boolean {
  return isShared(variant) && P > 1;
}

/** y[a,c] = Σ_{r<R} Σ_{i<P} x at offset + (a + r)·stride + c·P + i, where A or R is 1. */
function sums<T>(
  variant: Variant,
  { A, R, C, P }: { A: number; R: number; C: number; P: number },
  x: View<T>,
  stride: number,
  y: View<T>,
  accumulate: boolean,
): Launch<T> {
  const width = viewsWidth(variant, P, [x]);
  const shared = shares(variant, P);
  const lanes = shared ? SUM_LANES : SUMS_PER_WORKGROUP;
  const shader = new Shader<T>();
  shader.integers({ count: A * C, C, R, P: P / width, rowStride: stride / width });
  const xs = shader.view("x", width, x, "read");
  const ys = shader.view("y", 1, y, accumulate ? "update" : "write");
  const number = "id.x + id.y * grid.x";
  const sum = componentSum(width, "sum");
  const at = "p.yOffset + a * p.yStride + c";
  const old = accumulate ? `${ys}[${at}] + ` : "";
  const body = `${shared ? totalFunction(variant, lanes) : ""}
@compute @workgroup_size(${lanes})
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let k = ${shared ? number : `(${number}) * ${lanes}u + lane`};
  if (k >= p.count) { return; }
  let a = k / p.C; let c = k % p.C;
  let P = p.P; let rowStride = p.rowStride;
  let end = p.xOffset + a * p.xStride + c * P + p.R * rowStride;
  var sum = ${vectorType(width)}();
  for (var at = p.xOffset + a * p.xStride + c * P; at < end; at += rowStride) {
    for (var i = ${shared ? "lane" : "0u"}; i < P; i += ${shared ? lanes : 1}u) {
      sum += ${xs}[at + i];
    }
  }
  ${
    shared
      ? `let whole = total(lane, ${sum});
  if (lane == 0u) { ${ys}[${at}] = ${old}whole; }`
      : `${ys}[${at}] = ${old}${sum};`
  }
}
`;
  return shader.launch({
    kernel: kernelName("sums", variant, width),
    body,
    workgroups: linearGrid(shared ? A * C : Math.ceil(A * C / SUMS_PER_WORKGROUP)),
    flops: A * R * C * P,
    bytes: 4 * (A * R * C * P + A * C),
  });
}
