/**
 * The reference's convolution as matrix products over columns of patches: several times as fast, for
 * a classifier that looks at tens of thousands of images. Square kernels, equal padding on all sides.
 *
 * @module
 */
import { checkRank, checkShape, type Tensor } from "../math/tensor.ts";
import { addProduct, transposed } from "../reference/nn/matmul.ts";
import { zerosLike } from "../reference/nn/zeros_like.ts";

/** How a square kernel moves over an image. */
export interface ColumnsConvOptions {
  /** Step between outputs. */
  readonly stride: number;
  /** Zeros on every side. */
  readonly padding: number;
}

interface Sizes extends ColumnsConvOptions {
  readonly N: number;
  readonly C: number;
  readonly H: number;
  readonly W: number;
  readonly O: number;
  /** Width of the kernel. */
  readonly k: number;
  readonly outH: number;
  readonly outW: number;
}

/**
 * `conv2d` of the reference, for the kernels that the classifier has.
 *
 * @param x `[N, C, H, W]`
 * @param weight `[O, C, k, k]`
 * @param bias `[O]`
 * @returns `[N, O, H', W']`
 * @throws {ArgumentError} if shapes do not fit.
 */
export function columnsConv(
  x: Tensor,
  weight: Tensor,
  bias: Tensor,
  options: ColumnsConvOptions,
): Tensor {
  const sizes = sizesOf(x, weight, options);
  const { N, C, H, W, O, k, outH, outW } = sizes;
  checkShape("bias", bias, [O]);
  const P = outH * outW, taps = C * k * k;
  const y = zerosLike(x, [N, O, outH, outW]);
  const kernel = new Float64Array(weight.data);
  const columns = new Float64Array(taps * P), sums = new Float64Array(O * P);
  const pixels = pixelsOfColumns(sizes);
  for (let n = 0; n < N; n++) {
    fillColumns(columns, x.data.subarray(n * C * H * W), pixels);
    for (let o = 0; o < O; o++) sums.fill(bias.data[o], o * P, (o + 1) * P);
    addProduct(sums, kernel, columns, [O, taps], P);
    y.data.set(sums, n * O * P);
  }
  return y;
}

/** Gradients of a convolution with respect to its inputs. */
export interface ColumnsConvGradients {
  /** `[N, C, H, W]`; null if nobody asked for it. */
  readonly dX: Tensor | null;
  /** `[O, C, k, k]` */
  readonly dWeight: Tensor;
  /** `[O]` */
  readonly dBias: Tensor;
}

/**
 * Gradients of `columnsConv`, given dY `[N, O, H', W']`: with an image's patches as columns X,
 * dWeight = Σ dY·Xᵀ, and dX adds the columns weightᵀ·dY back to where they were taken from.
 *
 * @param wantDX false for the first layer, whose input nothing depends on.
 * @throws {ArgumentError} if shapes do not fit.
 */
export function columnsConvBackward(
  dY: Tensor,
  x: Tensor,
  weight: Tensor,
  options: ColumnsConvOptions,
  wantDX: boolean,
): ColumnsConvGradients {
  const sizes = sizesOf(x, weight, options);
  const { N, C, H, W, O, k, outH, outW } = sizes;
  checkShape("dY", dY, [N, O, outH, outW]);
  const P = outH * outW, taps = C * k * k;
  const kernelT = transposed(new Float64Array(weight.data), [O, taps]);
  const columns = new Float64Array(taps * P);
  const dKernel = new Float64Array(O * taps), sumsBias = new Float64Array(O);
  const image = new Float64Array(C * H * W);
  const dX = wantDX ? zerosLike(x) : null;
  const pixels = pixelsOfColumns(sizes);
  for (let n = 0; n < N; n++) {
    const g = new Float64Array(dY.data.subarray(n * O * P, (n + 1) * O * P));
    fillColumns(columns, x.data.subarray(n * C * H * W), pixels);
    addProduct(dKernel, g, transposed(columns, [taps, P]), [O, P], taps);
    for (let o = 0; o < O; o++) {
      for (let p = 0; p < P; p++) sumsBias[o] += g[o * P + p];
    }
    if (dX === null) continue;
    columns.fill(0);
    addProduct(columns, kernelT, g, [taps, O], P);
    image.fill(0);
    for (let i = 0; i < pixels.length; i++) {
      if (pixels[i] >= 0) image[pixels[i]] += columns[i];
    }
    dX.data.set(image, n * C * H * W);
  }
  const dWeight = zerosLike(weight), dBias = zerosLike(weight, [O]);
  dWeight.data.set(dKernel);
  dBias.data.set(sumsBias);
  return { dX, dWeight, dBias };
}

/** Row (c, a, b) holds, for each output (i, j), x at row stride·i + a − padding, likewise column. */
function fillColumns(columns: Float64Array, x: Float32Array, pixels: Int32Array): void {
  for (let i = 0; i < pixels.length; i++) columns[i] = pixels[i] < 0 ? 0 : x[pixels[i]];
}

/** For every place in the columns the pixel of a sample that it is a copy of; −1 for padding. */
function pixelsOfColumns({ C, H, W, k, stride, padding, outH, outW }: Sizes): Int32Array {
  const pixels = new Int32Array(C * k * k * outH * outW).fill(-1);
  let at = 0;
  for (let c = 0; c < C; c++) {
    for (let a = 0; a < k; a++) {
      for (let b = 0; b < k; b++) {
        for (let i = 0; i < outH; i++) {
          const row = stride * i + a - padding;
          for (let j = 0; j < outW; j++, at++) {
            const column = stride * j + b - padding;
            const inside = row >= 0 && row < H && column >= 0 && column < W;
            if (inside) pixels[at] = (c * H + row) * W + column;
          }
        }
      }
    }
  }
  return pixels;
}

function sizesOf(x: Tensor, weight: Tensor, { stride, padding }: ColumnsConvOptions): Sizes {
  checkRank("x", x, "N, C, H, W");
  checkRank("weight", weight, "O, C, k, k");
  const [N, C, H, W] = x.shape;
  const [O, , k] = weight.shape;
  checkShape("weight", weight, [O, C, k, k]);
  const out = (size: number) => Math.floor((size + 2 * padding - k) / stride) + 1;
  return { N, C, H, W, O, k, stride, padding, outH: out(H), outW: out(W) };
}
