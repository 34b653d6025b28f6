/**
 * diffusers' name of a parameter of the original PyTorch port of DDPM (ermongroup/ddim), for a model
 * of `levels` resolutions: the way up is counted from the other end, and blocks have other names.
 */
export function diffusersName(name: string, levels: number): string {
  const parts: readonly (readonly [RegExp, string | ((...groups: string[]) => string)])[] = [
    [/^temb\.dense\.0\./, "time_embedding.linear_1."],
    [/^temb\.dense\.1\./, "time_embedding.linear_2."],
    [/^norm_out\./, "conv_norm_out."],
    [/^down\.(\d+)\.downsample\.conv\./, "down_blocks.$1.downsamplers.0.conv."],
    [
      /^up\.(\d+)\.upsample\.conv\./,
      (_, level) => `up_blocks.${levels - 1 - Number(level)}.upsamplers.0.conv.`,
    ],
    [/^down\.(\d+)\.block\.(\d+)\./, "down_blocks.$1.resnets.$2."],
    [/^down\.(\d+)\.attn\.(\d+)\./, "down_blocks.$1.attentions.$2."],
    [
      /^up\.(\d+)\.block\.(\d+)\./,
      (_, level, i) => `up_blocks.${levels - 1 - Number(level)}.resnets.${i}.`,
    ],
    [
      /^up\.(\d+)\.attn\.(\d+)\./,
      (_, level, i) => `up_blocks.${levels - 1 - Number(level)}.attentions.${i}.`,
    ],
    [/^mid\.block_1\./, "mid_block.resnets.0."],
    [/^mid\.block_2\./, "mid_block.resnets.1."],
    [/^mid\.attn_1\./, "mid_block.attentions.0."],
    [/(attentions\.\d+)\.norm\./, "$1.group_norm."],
    [/(attentions\.\d+)\.([qkv])\./, "$1.to_$2."],
    [/(attentions\.\d+)\.proj_out\./, "$1.to_out.0."],
    [/\.temb_proj\./, ".time_emb_proj."],
    [/\.nin_shortcut\./, ".conv_shortcut."],
  ];
  return parts.reduce((text, [from, to]) => text.replace(from, to as string), name);
}

/** The inverse of {@linkcode diffusersName}. */
export function ddimName(name: string, levels: number): string {
  const parts: readonly (readonly [RegExp, string | ((...groups: string[]) => string)])[] = [
    [/(attentions\.\d+)\.group_norm\./, "$1.norm."],
    [/(attentions\.\d+)\.to_([qkv])\./, "$1.$2."],
    [/(attentions\.\d+)\.to_out\.0\./, "$1.proj_out."],
    [/\.time_emb_proj\./, ".temb_proj."],
    [/\.conv_shortcut\./, ".nin_shortcut."],
    [/^time_embedding\.linear_([12])\./, (_, i) => `temb.dense.${Number(i) - 1}.`],
    [/^conv_norm_out\./, "norm_out."],
    [/^mid_block\.resnets\.([01])\./, (_, i) => `mid.block_${Number(i) + 1}.`],
    [/^mid_block\.attentions\.0\./, "mid.attn_1."],
    [/^up_blocks\.(\d+)\./, (_, level) => `up.${levels - 1 - Number(level)}.`],
    [/^down_blocks\.(\d+)\./, "down.$1."],
    [/^(up|down)(\.\d+)\.resnets\./, "$1$2.block."],
    [/^(up|down)(\.\d+)\.attentions\./, "$1$2.attn."],
    [/\.(up|down)samplers\.0\./, ".$1sample."],
  ];
  return parts.reduce((text, [from, to]) => text.replace(from, to as string), name);
}
