import { ArgumentError } from "../../math/errors.ts";
import { checkRank, checkShape, type Tensor } from "../../math/tensor.ts";
import { conv2d, conv2dBackward, type Padding } from "./conv2d.ts";
import { zerosLike } from "./zeros_like.ts";

/** Keeps the size of an image under a 3×3 kernel. */
export const SAME_PADDING: Padding = [1, 1, 1, 1];

/**
 * Doubles height and width by repeating each pixel: y[n,c,i,j] = x[n,c,⌊i/2⌋,⌊j/2⌋].
 *
 * @param x `[N, C, H, W]`
 * @returns `[N, C, 2H, 2W]`
 * @throws {ArgumentError} if x has another rank.
 */
export function nearestUpsample(x: Tensor): Tensor {
  checkRank("x", x, "N, C, H, W");
  const [N, C, H, W] = x.shape;
  const y = zerosLike(x, [N, C, 2 * H, 2 * W]);
  for (let row = 0; row < N * C * 2 * H; row++) {
    const from = (row >> 1) * W, to = row * 2 * W;
    for (let j = 0; j < 2 * W; j++) y.data[to + j] = x.data[from + (j >> 1)];
  }
  return y;
}

/**
 * Gradient of `nearestUpsample`: dX sums the four copies of each pixel.
 *
 * @param dY `[N, C, 2H, 2W]`
 * @throws {ArgumentError} if dY does not have x's doubled shape.
 */
export function nearestUpsampleBackward(dY: Tensor, x: Tensor): Tensor {
  const [N, C, H, W] = x.shape;
  checkShape("dY", dY, [N, C, 2 * H, 2 * W]);
  const dX = zerosLike(x);
  for (let row = 0; row < N * C * H; row++) {
    const top = 4 * row * W, bottom = top + 2 * W;
    for (let j = 0; j < W; j++) {
      const a = top + 2 * j, b = bottom + 2 * j;
      dX.data[row * W + j] = dY.data[a] + dY.data[a + 1] + dY.data[b] + dY.data[b + 1];
    }
  }
  return dX;
}

/**
 * Upsampling of a U-Net level: nearest doubling, then a 3×3 convolution of padding 1 if a weight is
 * given.
 *
 * @param x `[N, C, H, W]`
 * @param weight `[O, C, 3, 3]`, or null for doubling alone.
 * @param bias `[O]`
 * @returns `[N, O, 2H, 2W]`
 * @throws {ArgumentError} if shapes do not fit.
 */
export function upsample(
  x: Tensor,
  weight: Tensor | null = null,
  bias: Tensor | null = null,
): Tensor {
  const doubled = nearestUpsample(x);
  if (weight !== null) return conv2d(doubled, weight, bias, { padding: SAME_PADDING });
  if (bias !== null) throw new ArgumentError("Expected a weight where there is a bias");
  return doubled;
}

/** Gradients of `upsample`; those of weight and bias are null where there is no weight. */
export interface UpsampleGradients {
  /** `[N, C, H, W]` */
  readonly dX: Tensor;
  /** `[O, C, 3, 3]` */
  readonly dWeight: Tensor | null;
  /** `[O]` */
  readonly dBias: Tensor | null;
}

/**
 * Gradients of `upsample`, given dY `[N, O, 2H, 2W]`. With a weight, the gradient of the doubled
 * image is a tensor of its own, so dX is rounded twice.
 *
 * @throws {ArgumentError} if shapes do not fit.
 */
export function upsampleBackward(
  dY: Tensor,
  x: Tensor,
  weight: Tensor | null = null,
): UpsampleGradients {
  if (weight === null) return { dX: nearestUpsampleBackward(dY, x), dWeight: null, dBias: null };
  const options = { padding: SAME_PADDING };
  const { dX, dWeight, dBias } = conv2dBackward(dY, nearestUpsample(x), weight, options);
  return { dX: nearestUpsampleBackward(dX, x), dWeight, dBias };
}
