/**
 * A U-Net of two levels and one layer per block, written out call by call from the paper's appendix and
 * the conventions of each field, as an independent account of the order of things. It shares the
 * layers with the reference, and nothing else.
 *
 * @module
 */
import type { Tensor } from "../../src/math/tensor.ts";
import { streamOf } from "../../src/math/noise.ts";
import * as nn from "../../src/reference/nn/mod.ts";
import type { UNetOptions } from "../../src/reference/unet.ts";
import type { UNetConfig } from "../../src/spec/unet_config.ts";
import type { Parameters } from "../../src/spec/unet_parameters.ts";

/** ε̂ of a config with two levels and one layer per block. */
export function unrolledUnet(
  config: UNetConfig,
  parameters: Parameters,
  x: Tensor,
  timesteps: readonly number[],
  options: UNetOptions,
): Tensor {
  const p = (name: string): Tensor => parameters.get(name)!;
  const W = (name: string): Tensor => p(`${name}.weight`), b = (name: string) => p(`${name}.bias`);
  const eps = config.normEps, G = config.normNumGroups;
  const norm = (h: Tensor, name: string, groups = G): Tensor =>
    nn.groupNorm(h, W(name), b(name), { groups, eps });
  const conv3 = (h: Tensor, name: string): Tensor =>
    nn.conv2d(h, W(name), b(name), { stride: 1, padding: [1, 1, 1, 1] });
  const dense = (h: Tensor, name: string): Tensor => nn.linear(h, W(name), b(name));

  const sinusoids = (times: readonly number[]): Tensor =>
    nn.timeEmbedding(times, config.blockOutChannels[0], {
      order: config.flipSinToCos ? "cosSin" : "sinCos",
      shift: config.freqShift,
      maxPeriod: 10000,
    });
  const mlp = (e: Tensor, name: string): Tensor =>
    dense(nn.silu(dense(e, `${name}.linear_1`)), `${name}.linear_2`);
  let emb = mlp(sinusoids(timesteps), "time_embedding");
  const labels = options.classLabels;
  if (config.classEmbedType === "timestep") {
    emb = nn.add(emb, mlp(sinusoids(labels as number[]), "class_embedding"));
  } else if (config.classEmbedType === "identity") {
    emb = nn.add(emb, labels as Tensor);
  } else if (config.numClassEmbeds !== null) {
    emb = nn.add(emb, nn.embedding(labels as number[], W("class_embedding")));
  }

  let drops = 0;
  const resnet = (
    h: Tensor,
    name: string,
    scale = 1,
    change = (h: Tensor): Tensor => h,
  ): Tensor => {
    let y = conv3(change(nn.silu(norm(h, `${name}.norm1`))), `${name}.conv1`);
    const t = dense(nn.silu(emb), `${name}.time_emb_proj`);
    y = config.resnetTimeScaleShift === "default"
      ? norm(nn.addPerChannel(y, t), `${name}.norm2`)
      : nn.scaleShift(norm(y, `${name}.norm2`), t);
    y = nn.silu(y);
    const block = drops++;
    if (options.dropout !== undefined) {
      const streams = options.dropout.items.map((item) => streamOf("dropout", item, block));
      y = nn.dropout(y, { probability: config.dropout, seed: options.dropout.seed, streams });
    }
    y = conv3(y, `${name}.conv2`);
    const kept = change(h);
    const shortcut = `${name}.conv_shortcut`;
    const input = parameters.has(`${shortcut}.weight`)
      ? nn.conv2d(kept, W(shortcut), b(shortcut))
      : kept;
    return nn.add(input, y, scale);
  };

  const attention = (h: Tensor, name: string, scale = 1, groups: number | null = G): Tensor => {
    const [N, C, H, Wd] = h.shape;
    const D = config.attentionHeadDim ?? C, heads = C / D, L = H * Wd;
    const n = groups === null ? h : norm(h, `${name}.group_norm`, groups);
    const tokens = nn.permute(nn.reshape(n, [N, C, L]), [0, 2, 1]);
    const head = (x: Tensor): Tensor => nn.permute(nn.reshape(x, [N, L, heads, D]), [0, 2, 1, 3]);
    const [q, k, v] = ["q", "k", "v"].map((letter) => head(dense(tokens, `${name}.to_${letter}`)));
    const y = nn.reshape(nn.permute(nn.attention(q, k, v), [0, 2, 1, 3]), [N, L, C]);
    const image = nn.permute(dense(y, `${name}.to_out.0`), [0, 2, 1]);
    return nn.add(h, nn.reshape(image, h.shape), scale);
  };

  const down = (h: Tensor): Tensor => {
    const name = "down_blocks.0.downsamplers.0", type = config.downBlockTypes[0];
    const viaResnet = type === "ResnetDownsampleBlock2D" ||
      type === "AttnDownBlock2D" && config.downsampleType === "resnet";
    if (viaResnet) return resnet(h, name, 1, nn.averagePool);
    const padding = config.downsamplePadding === 1 ? [1, 1, 1, 1] as const : [0, 1, 0, 1] as const;
    return nn.conv2d(h, W(`${name}.conv`), b(`${name}.conv`), { stride: 2, padding });
  };
  const up = (h: Tensor): Tensor => {
    const name = "up_blocks.0.upsamplers.0", type = config.upBlockTypes[0];
    const viaResnet = type === "ResnetUpsampleBlock2D" ||
      type === "AttnUpBlock2D" && config.upsampleType === "resnet";
    if (viaResnet) return resnet(h, name, 1, nn.nearestUpsample);
    return conv3(nn.nearestUpsample(h), `${name}.conv`);
  };
  const attends = (types: readonly string[], level: number): boolean =>
    types[level].startsWith("Attn");

  const skip0 = conv3(config.centerInputSample ? nn.centered(x) : x, "conv_in");
  let skip1 = resnet(skip0, "down_blocks.0.resnets.0");
  if (attends(config.downBlockTypes, 0)) skip1 = attention(skip1, "down_blocks.0.attentions.0");
  const skip2 = down(skip1);
  let skip3 = resnet(skip2, "down_blocks.1.resnets.0");
  if (attends(config.downBlockTypes, 1)) skip3 = attention(skip3, "down_blocks.1.attentions.0");

  const scale = config.midBlockScaleFactor;
  let h = resnet(skip3, "mid_block.resnets.0", scale);
  const midGroups = config.attnNormNumGroups ??
    (config.resnetTimeScaleShift === "scale_shift" ? null : G);
  if (config.addAttention) h = attention(h, "mid_block.attentions.0", scale, midGroups);
  h = resnet(h, "mid_block.resnets.1", scale);

  h = resnet(nn.concatChannels(h, skip3), "up_blocks.0.resnets.0");
  if (attends(config.upBlockTypes, 0)) h = attention(h, "up_blocks.0.attentions.0");
  h = resnet(nn.concatChannels(h, skip2), "up_blocks.0.resnets.1");
  if (attends(config.upBlockTypes, 0)) h = attention(h, "up_blocks.0.attentions.1");
  h = up(h);
  h = resnet(nn.concatChannels(h, skip1), "up_blocks.1.resnets.0");
  if (attends(config.upBlockTypes, 1)) h = attention(h, "up_blocks.1.attentions.0");
  h = resnet(nn.concatChannels(h, skip0), "up_blocks.1.resnets.1");
  if (attends(config.upBlockTypes, 1)) h = attention(h, "up_blocks.1.attentions.1");
  return conv3(nn.silu(norm(h, "conv_norm_out")), "conv_out");
}
