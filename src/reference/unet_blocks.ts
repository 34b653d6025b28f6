/**
 * The blocks of the U-Net, written once in terms of layers: forward as it reads, backward by the tape.
 *
 * @module
 */
import type { Tensor } from "../math/tensor.ts";
import type { UNetConfig } from "../spec/unet_config.ts";
import type { AttentionModule, ResnetModule } from "../spec/unet_modules.ts";
import { DDPM_DOWNSAMPLE_PADDING } from "./nn/downsample.ts";
import type { DropoutOptions } from "./nn/dropout.ts";
import { SAME_PADDING } from "./nn/upsample.ts";
import type { Layers } from "./unet_layers.ts";

const SAME = { padding: SAME_PADDING };

/**
 * h' = conv1(resample(silu(norm1(h)))); h' takes in the time embedding; h' = conv2(dropout(silu(norm2(h'))));
 * out = (shortcut(resample(h)) + h')/scale (Ho et al. 2020, appendix B).
 *
 * @param h `[N, C, H, W]`
 * @param e SiLU of the time embedding, `[N, E]`
 * @param drop null outside training.
 */
export function resnetBlock(
  layers: Layers,
  config: UNetConfig,
  module: ResnetModule,
  h: Tensor,
  e: Tensor,
  drop: DropoutOptions | null,
): Tensor {
  const { name, inChannels, outChannels, resample, outputScale } = module;
  const norm = { groups: config.normNumGroups, eps: config.normEps };
  const resampled = (x: Tensor): Tensor =>
    resample === "down" ? layers.averagePool(x) : resample === "up" ? layers.nearestUpsample(x) : x;

  let branch = layers.silu(layers.groupNorm(h, `${name}.norm1`, norm));
  branch = layers.conv2d(resampled(branch), `${name}.conv1`, SAME);
  const time = layers.linear(e, `${name}.time_emb_proj`);
  if (config.resnetTimeScaleShift === "scale_shift") {
    branch = layers.scaleShift(layers.groupNorm(branch, `${name}.norm2`, norm), time);
  } else {
    branch = layers.groupNorm(layers.addPerChannel(branch, time), `${name}.norm2`, norm);
  }
  branch = layers.silu(branch);
  if (drop !== null) branch = layers.dropout(branch, drop);
  branch = layers.conv2d(branch, `${name}.conv2`, SAME);

  let shortcut = resampled(h);
  if (inChannels !== outChannels) shortcut = layers.conv2d(shortcut, `${name}.conv_shortcut`, {});
  return layers.add(shortcut, branch, outputScale);
}

/**
 * out = (h + to_out(attention(to_q(n), to_k(n), to_v(n))))/scale with n = norm(h), the positions of the
 * image being the tokens.
 *
 * @param h `[N, C, H, W]`
 */
export function attentionBlock(
  layers: Layers,
  config: UNetConfig,
  module: AttentionModule,
  h: Tensor,
): Tensor {
  const { name, heads, groups, outputScale } = module;
  const [N, C, H, W] = h.shape;
  const L = H * W, D = C / heads;
  const normed = groups === null
    ? h
    : layers.groupNorm(h, `${name}.group_norm`, { groups, eps: config.normEps });
  const tokens = layers.rearrange(normed, [N, C, L], [0, 2, 1]); // [N, L, C]
  const split = (x: Tensor): Tensor => layers.rearrange(x, [N, L, heads, D], [0, 2, 1, 3]);
  const y = layers.attention( // [N, heads, L, D]
    split(layers.linear(tokens, `${name}.to_q`)),
    split(layers.linear(tokens, `${name}.to_k`)),
    split(layers.linear(tokens, `${name}.to_v`)),
  );
  const merged = layers.reshape(layers.rearrange(y, y.shape, [0, 2, 1, 3]), [N, L, C]);
  const projected = layers.linear(merged, `${name}.to_out.0`);
  const image = layers.reshape(layers.rearrange(projected, [N, L, C], [0, 2, 1]), h.shape);
  return layers.add(h, image, outputScale);
}

/** A convolution of stride 2. */
export function downsampleBlock(
  layers: Layers,
  config: UNetConfig,
  name: string,
  h: Tensor,
): Tensor {
  const padding = config.downsamplePadding === 0 ? DDPM_DOWNSAMPLE_PADDING : SAME_PADDING;
  return layers.conv2d(h, `${name}.conv`, { stride: 2, padding });
}

/** Nearest doubling, then a convolution. */
export function upsampleBlock(layers: Layers, name: string, h: Tensor): Tensor {
  return layers.conv2d(layers.nearestUpsample(h), `${name}.conv`, SAME);
}

/** linear_2(silu(linear_1(x))), for times and for classes embedded like times. */
export function timeBlock(layers: Layers, name: string, x: Tensor): Tensor {
  return layers.linear(layers.silu(layers.linear(x, `${name}.linear_1`)), `${name}.linear_2`);
}
