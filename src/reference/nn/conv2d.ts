/**
 * Convolution of images, as networks mean it: correlation with a kernel.
 *
 * @module
 */
import { checkInteger, unexpected } from "../../math/errors.ts";
import { checkRank, checkShape, type Tensor } from "../../math/tensor.ts";
import { zerosLike } from "./zeros_like.ts";

/** Zeros added around an image: top, bottom, left, right. */
export type Padding = readonly [top: number, bottom: number, left: number, right: number];

/** How a kernel moves over an image. */
export interface Conv2dOptions {
  /** Step between outputs, the same in both directions. Default 1. */
  readonly stride?: number;
  /** Zeros around the image. Default none. */
  readonly padding?: Padding;
}

/** Sizes of one convolution. */
interface Geometry {
  readonly N: number;
  readonly C: number;
  readonly H: number;
  readonly W: number;
  readonly O: number;
  readonly kH: number;
  readonly kW: number;
  readonly outH: number;
  readonly outW: number;
  readonly stride: number;
  readonly padding: Padding;
}

/** Images of one sample in double, with whatever zeros surround or separate their pixels. */
interface Planes {
  readonly data: Float64Array;
  readonly C: number;
  readonly H: number;
  readonly W: number;
}

/**
 * y[n,o,i,j] = bias[o] + Σ_{c,a,b} weight[o,c,a,b]·x[n,c, stride·i + a − top, stride·j + b − left],
 * x being zero outside the image.
 *
 * @param x `[N, C, H, W]`
 * @param weight `[O, C, kH, kW]`
 * @param bias `[O]`, or null for none.
 * @returns `[N, O, H', W']` with H' = ⌊(H + top + bottom − kH)/stride⌋ + 1, W' likewise.
 * @throws {ArgumentError} if shapes do not fit, or the padded image is smaller than the kernel.
 */
export function conv2d(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null = null,
  options: Conv2dOptions = {},
): Tensor {
  const geometry = conv2dGeometry(x, weight, options);
  const { N, C, O, kH, kW, outH, outW, stride } = geometry;
  if (bias !== null) checkShape("bias", bias, [O]);
  const y = zerosLike(x, [N, O, outH, outW]);
  const kernel = new Float64Array(weight.data);
  const sum = new Float64Array(outH * outW);
  for (let n = 0; n < N; n++) {
    const planes = padded(x, n, geometry);
    for (let o = 0; o < O; o++) {
      sum.fill(bias === null ? 0 : bias.data[o]);
      addCorrelation(sum, outW, planes, kernel.subarray(o * C * kH * kW), [kH, kW], stride);
      y.data.set(sum, (n * O + o) * outH * outW);
    }
  }
  return y;
}

/** Gradients of a convolution with respect to its inputs. */
export interface Conv2dGradients {
  /** `[N, C, H, W]` */
  readonly dX: Tensor;
  /** `[O, C, kH, kW]` */
  readonly dWeight: Tensor;
  /** `[O]` */
  readonly dBias: Tensor;
}

/**
 * Gradients of `conv2d`, given dY `[N, O, H', W']`.
 *
 * dX is again a convolution: of dY, spread out by the stride, with the kernel turned by 180° and its
 * channels swapped. dWeight correlates x with dY, and dBias sums dY.
 *
 * @throws {ArgumentError} if shapes do not fit.
 */
export function conv2dBackward(
  dY: Tensor,
  x: Tensor,
  weight: Tensor,
  options: Conv2dOptions = {},
): Conv2dGradients {
  const geometry = conv2dGeometry(x, weight, options);
  const { N, C, H, W, O, kH, kW, outH, outW } = geometry;
  checkShape("dY", dY, [N, O, outH, outW]);
  const dX = zerosLike(x);
  const turned = turnedKernel(weight);
  const sum = new Float64Array(H * W);
  const dKernel = new Float64Array(weight.data.length);
  for (let n = 0; n < N; n++) {
    const spread = spreadOut(dY, n, geometry);
    for (let c = 0; c < C; c++) {
      sum.fill(0);
      addCorrelation(sum, W, spread, turned.subarray(c * O * kH * kW), [kH, kW], 1);
      dX.data.set(sum, (n * C + c) * H * W);
    }
    addKernelGradient(dKernel, dY, n, padded(x, n, geometry), geometry);
  }
  const dWeight = zerosLike(weight);
  dWeight.data.set(dKernel);
  return { dX, dWeight, dBias: channelSums(dY) };
}

/**
 * sum[i,j] += Σ_{c,a,b} kernel[c,a,b]·planes[c, stride·i + a, stride·j + b], three taps of a kernel
 * row at once while there are three: the innermost loop runs along a row of the image.
 */
function addCorrelation(
  sum: Float64Array,
  outW: number,
  { data, C, H, W }: Planes,
  kernel: Float64Array,
  [kH, kW]: readonly [number, number],
  stride: number,
): void {
  const outH = sum.length / outW;
  for (let c = 0; c < C; c++) {
    for (let a = 0; a < kH; a++) {
      const k = (c * kH + a) * kW;
      let b = 0;
      for (; b + 3 <= kW; b += 3) {
        const k0 = kernel[k + b], k1 = kernel[k + b + 1], k2 = kernel[k + b + 2];
        for (let i = 0; i < outH; i++) {
          let from = (c * H + stride * i + a) * W + b;
          for (let to = i * outW; to < (i + 1) * outW; to++, from += stride) {
            sum[to] += k0 * data[from] + k1 * data[from + 1] + k2 * data[from + 2];
          }
        }
      }
      for (; b < kW; b++) {
        const k0 = kernel[k + b];
        for (let i = 0; i < outH; i++) {
          let from = (c * H + stride * i + a) * W + b;
          for (let to = i * outW; to < (i + 1) * outW; to++, from += stride) {
            sum[to] += k0 * data[from];
          }
        }
      }
    }
  }
}

/** dKernel[o,c,a,b] += Σ_{i,j} dY[n,o,i,j]·planes[c, stride·i + a, stride·j + b], three taps at once. */
function addKernelGradient(
  dKernel: Float64Array,
  dY: Tensor,
  n: number,
  { data, H, W }: Planes,
  { C, O, kH, kW, outH, outW, stride }: Geometry,
): void {
  for (let o = 0; o < O; o++) {
    const start = (n * O + o) * outH * outW;
    const g = new Float64Array(dY.data.subarray(start, start + outH * outW));
    for (let c = 0; c < C; c++) {
      for (let a = 0; a < kH; a++) {
        const k = ((o * C + c) * kH + a) * kW;
        let b = 0;
        for (; b + 3 <= kW; b += 3) {
          let sum0 = 0, sum1 = 0, sum2 = 0;
          for (let i = 0; i < outH; i++) {
            let from = (c * H + stride * i + a) * W + b;
            for (let at = i * outW; at < (i + 1) * outW; at++, from += stride) {
              sum0 += g[at] * data[from];
              sum1 += g[at] * data[from + 1];
              sum2 += g[at] * data[from + 2];
            }
          }
          dKernel[k + b] += sum0;
          dKernel[k + b + 1] += sum1;
          dKernel[k + b + 2] += sum2;
        }
        for (; b < kW; b++) {
          let sum0 = 0;
          for (let i = 0; i < outH; i++) {
            let from = (c * H + stride * i + a) * W + b;
            for (let at = i * outW; at < (i + 1) * outW; at++, from += stride) {
              sum0 += g[at] * data[from];
            }
          }
          dKernel[k + b] += sum0;
        }
      }
    }
  }
}

/** Sum of each channel over samples and positions. */
function channelSums(dY: Tensor): Tensor {
  const [N, O, H, W] = dY.shape;
  const sums = zerosLike(dY, [O]);
  for (let o = 0; o < O; o++) {
    let sum = 0;
    for (let n = 0; n < N; n++) {
      const start = (n * O + o) * H * W;
      for (let i = start; i < start + H * W; i++) sum += dY.data[i];
    }
    sums.data[o] = sum;
  }
  return sums;
}

/** The images of sample n with their padding. */
function padded(x: Tensor, n: number, { H, W, padding }: Geometry): Planes {
  const [top, bottom, left, right] = padding;
  return placed(x, n, H + top + bottom, W + left + right, top, left, 1);
}

/**
 * dY of sample n with stride − 1 zeros between its pixels, placed so that correlating it with the
 * turned kernel gives an image of x's size.
 */
function spreadOut(dY: Tensor, n: number, { H, W, kH, kW, stride, padding }: Geometry): Planes {
  const [top, , left] = padding;
  return placed(dY, n, H + kH - 1, W + kW - 1, kH - 1 - top, kW - 1 - left, stride);
}

/** Planes `[C, H, W]` of zeros with pixel (i, j) of sample n of x at (top + step·i, left + step·j), if that is inside. */
function placed(
  x: Tensor,
  n: number,
  H: number,
  W: number,
  top: number,
  left: number,
  step: number,
): Planes {
  const [, C, h, w] = x.shape;
  const data = new Float64Array(C * H * W);
  for (let c = 0; c < C; c++) {
    for (let i = 0; i < h; i++) {
      const row = top + step * i;
      if (row < 0 || row >= H) continue;
      const from = ((n * C + c) * h + i) * w;
      for (let j = 0; j < w; j++) {
        const column = left + step * j;
        if (column >= 0 && column < W) data[(c * H + row) * W + column] = x.data[from + j];
      }
    }
  }
  return { data, C, H, W };
}

/** weight `[O, C, kH, kW]` as `[C, O, kH, kW]`, each kernel turned by 180°. */
function turnedKernel(weight: Tensor): Float64Array {
  const [O, C, kH, kW] = weight.shape;
  const out = new Float64Array(weight.data.length);
  const taps = kH * kW;
  for (let o = 0; o < O; o++) {
    for (let c = 0; c < C; c++) {
      for (let k = 0; k < taps; k++) {
        out[(c * O + o) * taps + taps - 1 - k] = weight.data[(o * C + c) * taps + k];
      }
    }
  }
  return out;
}

function conv2dGeometry(x: Tensor, weight: Tensor, options: Conv2dOptions): Geometry {
  checkRank("x", x, "N, C, H, W");
  checkRank("weight", weight, "O, C, kH, kW");
  const [N, C, H, W] = x.shape;
  const [O, , kH, kW] = weight.shape;
  checkShape("weight", weight, [O, C, kH, kW]);
  const stride = checkInteger("stride", options.stride ?? 1, 1, 2 ** 20);
  const padding = options.padding ?? [0, 0, 0, 0];
  for (const zeros of padding) checkInteger("padding", zeros, 0, 2 ** 20);
  const [top, bottom, left, right] = padding;
  if (H + top + bottom < kH || W + left + right < kW) {
    unexpected(`a padded image of at least ${kH} by ${kW}`, [H + top + bottom, W + left + right]);
  }
  const outH = Math.floor((H + top + bottom - kH) / stride) + 1;
  const outW = Math.floor((W + left + right - kW) / stride) + 1;
  return { N, C, H, W, O, kH, kW, outH, outW, stride, padding };
}
