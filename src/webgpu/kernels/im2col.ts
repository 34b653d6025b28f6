/**
 * Convolutions of any kernel, stride and padding as matrix products: every output position becomes a
 * column of the inputs that it sees.
 *
 * @module
 */
import type { Launch, View } from "../kernel.ts";
import { linearGrid } from "../kernel.ts";
import { gemm, type GemmProblem, type GemmVariant, type Placed } from "./gemm.ts";
import { Shader } from "./layout.ts";
import { transpose } from "./transpose.ts";
import type { Epilogue } from "./winograd.ts";

/** Sizes of a convolution of `[N, C, H, W]` to `[N, O, outH, outW]`. */
export interface ConvSizes {
  readonly N: number;
  readonly C: number;
  readonly O: number;
  readonly H: number;
  readonly W: number;
  /** Height and width of the kernel. */
  readonly kernel: number;
  readonly stride: number;
  /** Rows or columns of zeros: top, bottom, left, right. */
  readonly padding: readonly [number, number, number, number];
}

/** Height and width of the output. */
export function convExtent(
  { H, W, kernel, stride, padding: [top, bottom, left, right] }: ConvSizes,
): { readonly outH: number; readonly outW: number } {
  const along = (size: number, zeros: number): number =>
    Math.floor((size + zeros - kernel) / stride) + 1;
  return { outH: along(H, top + bottom), outW: along(W, left + right) };
}

/** Rows of the columns' matrix: the inputs of one output position, in the order of the device's weights. */
function rowsOf({ C, kernel }: ConvSizes): number {
  return kernel * kernel * C;
}

/** Elements of the columns `[N, kernel, kernel, C, outH·outW]`. */
export function columnsSize(sizes: ConvSizes): number {
  const { outH, outW } = convExtent(sizes);
  return sizes.N * rowsOf(sizes) * outH * outW;
}

const WORKGROUP = 64;

function sizeParams(sizes: ConvSizes): Record<string, number> {
  const { C, H, W, kernel, stride, padding: [top, , left] } = sizes;
  return { C, H, W, kernel, stride, top, left, ...convExtent(sizes) };
}

/** Which dimension of the columns' matrix has neighbours in memory. */
export type ColumnsOrder = "positionsInside" | "rowsInside";

/**
 * columns[n, ky, kx, c, (oy, ox)] = x[n, c, stride·oy + ky − top, stride·ox + kx − left], 0 outside; or
 * columns[n, (oy, ox), ky, kx, c] with `rowsInside`.
 */
export function im2col<T>(
  sizes: ConvSizes,
  x: View<T>,
  columns: T,
  order: ColumnsOrder = "positionsInside",
): Launch<T> {
  const shader = new Shader<T>();
  const { N, C } = sizes;
  const { outH, outW } = convExtent(sizes);
  const P = outH * outW, rows = rowsOf(sizes);
  const [inside, strideC, strideP] = order === "positionsInside" ? [P, P, 1] : [C, 1, rows];
  shader.integers({ ...sizeParams(sizes), count: C * P, inside, strideC, strideP });
  shader.integers({ strideTap: C * strideC, perSample: rows * P });
  const image = shader.view("image", 1, x, "read");
  const cols = shader.tensor("columns", "f32", columns, "write");
  const [c, position] = order === "positionsInside" ? ["outer", "inner"] : ["inner", "outer"];
  // One invocation per channel and position: its divisions serve all taps.
  const body = `
@compute @workgroup_size(${WORKGROUP})
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let at = (id.x + id.y * grid.x) * ${WORKGROUP}u + lane;
  if (at >= p.count) { return; }
  let outer = at / p.inside;
  let inner = at - outer * p.inside;
  let c = ${c};
  let position = ${position};
  let oy = position / p.outW;
  let ox = position - oy * p.outW;
  let plane = p.imageOffset + id.z * p.imageStride + c * p.H * p.W;
  var sink = id.z * p.perSample + c * p.strideC + position * p.strideP;
  for (var ky = 0u; ky < p.kernel; ky++) {
    // Below zero the difference wraps to a number beyond any size.
    let y = oy * p.stride + ky - p.top;
    let row = plane + min(y, p.H - 1u) * p.W;
    for (var kx = 0u; kx < p.kernel; kx++) {
      let x = ox * p.stride + kx - p.left;
      let pixel = ${image}[row + min(x, p.W - 1u)];
      ${cols}[sink] = select(0.0, pixel, y < p.H && x < p.W);
      sink += p.strideTap;
    }
  }
}
`;
  const [gx, gy] = linearGrid(Math.ceil(C * P / WORKGROUP));
  return shader.launch({
    kernel: "im2col",
    body,
    workgroups: [gx, gy, N],
    flops: 0,
    bytes: 4 * N * (C * sizes.H * sizes.W + rows * P),
  });
}

/** dX[n, c, y, x] = the sum of the columns' gradients at all places where that input stands; or that added. */
export function col2im<T>(
  sizes: ConvSizes,
  columns: T,
  dX: View<T>,
  accumulate: boolean,
): Launch<T> {
  const shader = new Shader<T>();
  const { N, C, H, W } = sizes;
  const { outH, outW } = convExtent(sizes);
  const P = outH * outW, perSample = rowsOf(sizes) * P;
  shader.integers({ ...sizeParams(sizes), P, count: C * H * W, perSample });
  const cols = shader.tensor("columns", "f32", columns, "read");
  const image = shader.view("image", 1, dX, accumulate ? "update" : "write");
  const body = `
@compute @workgroup_size(${WORKGROUP})
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let at = (id.x + id.y * grid.x) * ${WORKGROUP}u + lane;
  if (at >= p.count) { return; }
  let line = at / p.W;
  let c = line / p.H;
  let y = line - c * p.H + p.top;
  let x = at - line * p.W + p.left;
  // The last position that reads the pixel, with its first tap; every position before it reads the
  // pixel with a tap that is a stride further.
  let lastY = y / p.stride;
  let lastX = x / p.stride;
  let plane = id.z * p.perSample + c * p.P;
  var sum = 0.0;
  var oy = lastY;
  for (var ky = y - lastY * p.stride; ky < p.kernel; ky += p.stride) {
    var ox = lastX;
    for (var kx = x - lastX * p.stride; kx < p.kernel; kx += p.stride) {
      // Before the first position these wrap to numbers beyond any size.
      if (oy < p.outH && ox < p.outW) {
        sum += ${cols}[plane + (ky * p.kernel + kx) * p.C * p.P + oy * p.outW + ox];
      }
      ox--;
    }
    oy--;
  }
  let place = p.imageOffset + id.z * p.imageStride + at;
  ${image}[place] = ${accumulate ? `${image}[place] + sum` : "sum"};
}
`;
  const [gx, gy] = linearGrid(Math.ceil(C * H * W / WORKGROUP));
  return shader.launch({
    kernel: accumulate ? "col2imAdd" : "col2im",
    body,
    workgroups: [gx, gy, N],
    flops: N * perSample,
    bytes: 4 * N * (perSample + C * H * W * (accumulate ? 2 : 1)),
  });
}

/** A view `[N, C, P]` as the rows and columns of a product. */
function placed<T>({ tensor, offset, sampleStride }: View<T>, P: number): Placed<T> {
  return { tensor, offset, b1: sampleStride, m: P, n: 1 };
}

/** What a convolution touches. */
export interface ConvTensors<T> extends Omit<Epilogue<T>, "accumulate"> {
  readonly x: View<T>;
  /** Weights in the device's layout `[kernel, kernel, C, O]`. */
  readonly weights: T;
  /** Scratch of {@linkcode columnsSize} elements. */
  readonly columns: T;
  readonly y: View<T>;
}

/** y = (conv(x) + bias + perSample + residual)/outputScale. */
export function im2colForward<T>(
  variant: GemmVariant,
  sizes: ConvSizes,
  { x, weights, columns, y, bias, perSample, residual, outputScale }: ConvTensors<T>,
): Launch<T>[] {
  const { N, O } = sizes;
  const { outH, outW } = convExtent(sizes);
  const P = outH * outW, K = rowsOf(sizes);
  const problem: GemmProblem<T> = {
    B1: N,
    M: O,
    N: P,
    K2: K,
    a: { tensor: weights, k2: O, i: 1 },
    b: { tensor: columns, b1: K * P, k2: P, i: 1 },
    c: placed(y, P),
    ...bias && { bias: { ...bias, m: 1 } },
    ...perSample &&
      {
        perSample: {
          tensor: perSample.tensor,
          offset: perSample.offset,
          b1: perSample.sampleStride,
          m: 1,
        },
      },
    ...residual && { residual: placed(residual, P) },
    ...outputScale !== undefined && outputScale !== 1 && { outputScale },
  };
  return [im2col(sizes, x, columns), gemm(variant, problem)];
}

/** What the gradients of a convolution touch. */
export interface ConvGradientTensors<T> {
  readonly x: View<T>;
  readonly dY: View<T>;
  readonly weights: T;
  /** Gradient of the weights, in their layout. */
  readonly dWeights: T;
  /** Scratch of {@linkcode columnsSize} elements. */
  readonly columns: T;
  /** Scratch of N·O·outH·outW elements; without it the weights' gradient takes longer. */
  readonly dYTransposed?: T;
  /** Where dX goes, or null. */
  readonly dX: View<T> | null;
}

/** Which gradients are added to what is there. */
export interface ConvGradientOptions {
  readonly accumulateX: boolean;
  readonly accumulateWeights: boolean;
}

/** dW = Σ columns·dYᵀ over images and positions; dX = col2im(W·dY). */
export function im2colBackward<T>(
  variant: GemmVariant,
  sizes: ConvSizes,
  tensors: ConvGradientTensors<T>,
  { accumulateX, accumulateWeights }: ConvGradientOptions,
): Launch<T>[] {
  const { dY, weights, columns, dX } = tensors;
  const { N, O } = sizes;
  const { outH, outW } = convExtent(sizes);
  const P = outH * outW, K = rowsOf(sizes);
  const launches = weightGradient(variant, sizes, tensors, accumulateWeights);
  if (dX === null) return launches;
  const columnGradient = gemm(variant, {
    B1: N,
    M: K,
    N: P,
    K2: O,
    a: { tensor: weights, k2: 1, i: O },
    b: { tensor: dY.tensor, offset: dY.offset, b1: dY.sampleStride, k2: P, i: 1 },
    c: { tensor: columns, b1: K * P, m: P, n: 1 },
  });
  return [...launches, columnGradient, col2im(sizes, columns, dX, accumulateX)];
}

/** dW = Σ columns·dYᵀ over images and positions, of transposed copies where there is room for them. */
function weightGradient<T>(
  variant: GemmVariant,
  sizes: ConvSizes,
  { x, dY, dWeights, columns, dYTransposed }: ConvGradientTensors<T>,
  accumulate: boolean,
): Launch<T>[] {
  const { N, O } = sizes;
  const { outH, outW } = convExtent(sizes);
  const P = outH * outW, K = rowsOf(sizes);
  const product = { M: O, N: K, K1: N, K2: P, c: { tensor: dWeights, m: 1, n: O }, accumulate };
  if (dYTransposed === undefined || variant.kind !== "register") {
    return [
      im2col(sizes, x, columns),
      gemm(variant, {
        ...product,
        a: { tensor: dY.tensor, offset: dY.offset, k1: dY.sampleStride, k2: 1, i: P },
        b: { tensor: columns, k1: K * P, k2: 1, i: P },
      }),
    ];
  }
  return [
    im2col(sizes, x, columns, "rowsInside"),
    transpose("lanes", { N, C: O, P }, { x: dY, y: dYTransposed }),
    gemm(variant, {
      ...product,
      a: { tensor: dYTransposed, k1: O * P, k2: O, i: 1 },
      b: { tensor: columns, k1: K * P, k2: K, i: 1 },
    }),
  ];
}
