import { checkRank, checkShape, type Tensor } from "../../math/tensor.ts";
import { unexpected } from "../../math/errors.ts";
import { conv2d, conv2dBackward, type Conv2dGradients, type Padding } from "./conv2d.ts";
import { zerosLike } from "./zeros_like.ts";

/** DDPM's padding of a strided convolution: one to the right and one at the bottom. */
export const DDPM_DOWNSAMPLE_PADDING: Padding = [0, 1, 0, 1];

/**
 * Downsampling of a U-Net level: a convolution of stride 2.
 *
 * @param x `[N, C, H, W]`
 * @param weight `[O, C, 3, 3]`
 * @param bias `[O]`, or null for none.
 * @param padding default as in DDPM, right and bottom by one.
 * @returns `[N, O, H/2, W/2]` for even H and W.
 * @throws {ArgumentError} if shapes do not fit.
 */
export function downsample(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null = null,
  padding: Padding = DDPM_DOWNSAMPLE_PADDING,
): Tensor {
  return conv2d(x, weight, bias, { stride: 2, padding });
}

/**
 * Gradients of `downsample`, given dY.
 *
 * @throws {ArgumentError} if shapes do not fit.
 */
export function downsampleBackward(
  dY: Tensor,
  x: Tensor,
  weight: Tensor,
  padding: Padding = DDPM_DOWNSAMPLE_PADDING,
): Conv2dGradients {
  return conv2dBackward(dY, x, weight, { stride: 2, padding });
}

/**
 * Halves height and width by the mean of each 2×2 block (a last odd row or column is dropped), as
 * residual blocks do that change the resolution.
 *
 * @param x `[N, C, H, W]`
 * @returns `[N, C, ⌊H/2⌋, ⌊W/2⌋]`
 * @throws {ArgumentError} if x has another rank or is less than 2 high or wide.
 */
export function averagePool(x: Tensor): Tensor {
  const { planes, H, W, h, w } = poolSizes(x);
  const y = zerosLike(x, [x.shape[0], x.shape[1], h, w]);
  for (let p = 0; p < planes; p++) {
    for (let i = 0; i < h; i++) {
      for (let j = 0; j < w; j++) {
        const a = (p * H + 2 * i) * W + 2 * j, b = a + W;
        y.data[(p * h + i) * w + j] = (x.data[a] + x.data[a + 1] + x.data[b] + x.data[b + 1]) / 4;
      }
    }
  }
  return y;
}

/**
 * Gradient of `averagePool`: each pixel of a block gets a quarter of the block's dY.
 *
 * @throws {ArgumentError} if dY does not have x's halved shape.
 */
export function averagePoolBackward(dY: Tensor, x: Tensor): Tensor {
  const { planes, H, W, h, w } = poolSizes(x);
  checkShape("dY", dY, [x.shape[0], x.shape[1], h, w]);
  const dX = zerosLike(x);
  for (let p = 0; p < planes; p++) {
    for (let i = 0; i < 2 * h; i++) {
      for (let j = 0; j < 2 * w; j++) {
        dX.data[(p * H + i) * W + j] = dY.data[(p * h + (i >> 1)) * w + (j >> 1)] / 4;
      }
    }
  }
  return dX;
}

function poolSizes(x: Tensor): { planes: number; H: number; W: number; h: number; w: number } {
  checkRank("x", x, "N, C, H, W");
  const [N, C, H, W] = x.shape;
  if (H < 2 || W < 2) unexpected("an image of at least 2 by 2", [H, W]);
  return { planes: N * C, H, W, h: Math.floor(H / 2), w: Math.floor(W / 2) };
}
