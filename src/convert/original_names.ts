/**
 * How the parameters of a U-Net are called, and laid out, in the code of the DDPM paper
 * (hojonathanho/diffusion, TensorFlow) and in its PyTorch port (ermongroup/ddim), derived from the one
 * list of modules.
 *
 * @module
 */
import type { UNetConfig } from "../spec/unet_config.ts";
import { type UNetModule, unetModules } from "../spec/unet_modules.ts";

/** Whose names: TensorFlow variables, or entries of a PyTorch state dict. */
export type OriginalStyle = "tensorflow" | "pytorch";

/**
 * How values lie in the other file: as ours; `matrix`, `[I, O]` for our `[O, I]` or `[O, I, 1, 1]`; `hwio`,
 * `[kH, kW, I, O]` for our `[O, I, kH, kW]`; `pointwise`, `[O, I, 1, 1]` for our `[O, I]`.
 */
export type Layout = "same" | "matrix" | "hwio" | "pointwise";

/** A parameter in another file. */
export interface ForeignParameter {
  /** Its name there. */
  readonly name: string;
  /** How its values lie. */
  readonly layout: Layout;
}

/**
 * The way to a layer in an original: words, and words with a number, which are `down.0` in PyTorch and
 * `down_0` in TensorFlow.
 */
export type Path = readonly (string | readonly [word: string, number: number])[];

/** What a layer is; `nin` is a 1×1 convolution, a matrix in TensorFlow. */
export type LayerKind = "conv" | "dense" | "nin" | "norm";

/** A layer under both its names. */
interface Layer {
  readonly ours: string;
  readonly path: Path;
  readonly kind: LayerKind;
}

/**
 * The name and layout of every parameter, weights and biases, by our name.
 *
 * @throws {ArgumentError} if the config's groups or heads do not divide its channels.
 */
export function originalNames(
  config: UNetConfig,
  style: OriginalStyle,
): ReadonlyMap<string, ForeignParameter> {
  const layers: readonly Layer[] = [
    { ours: "conv_in", path: ["conv_in"], kind: "conv" },
    { ours: "time_embedding.linear_1", path: dense(style, 0), kind: "dense" },
    { ours: "time_embedding.linear_2", path: dense(style, 1), kind: "dense" },
    ...unetModules(config).flatMap((module) => moduleLayers(config, module)),
    { ours: "conv_norm_out", path: ["norm_out"], kind: "norm" },
    { ours: "conv_out", path: ["conv_out"], kind: "conv" },
  ];
  return new Map(
    layers.flatMap(({ ours, path, kind }) =>
      (["weight", "bias"] as const).map((leaf) => [
        `${ours}.${leaf}`,
        {
          name: originalName(style, path, kind, leaf),
          layout: leaf === "bias" ? "same" : layoutOf(style, ours, kind),
        },
      ])
    ),
  );
}

/** A parameter's name in an original. */
export function originalName(
  style: OriginalStyle,
  path: Path,
  kind: LayerKind,
  leaf: "weight" | "bias",
): string {
  if (style === "pytorch") {
    return [...path.map((part) => typeof part === "string" ? part : part.join(".")), leaf].join(
      ".",
    );
  }
  const variable = kind === "norm"
    ? { weight: "gamma", bias: "beta" }[leaf]
    : { weight: "W", bias: "b" }[leaf];
  return [...path.map((part) => typeof part === "string" ? part : part.join("_")), variable].join(
    "/",
  );
}

function dense(style: OriginalStyle, number: number): Path {
  return ["temb", style === "pytorch" ? ["dense", number] : `dense${number}`];
}

function moduleLayers(config: UNetConfig, module: UNetModule): Layer[] {
  const { name } = module;
  const path = modulePath(config, name);
  const layer = (ours: string, theirs: string, kind: LayerKind): Layer => ({
    ours: `${name}.${ours}`,
    path: [...path, theirs],
    kind,
  });
  switch (module.kind) {
    case "resnet":
      return [
        layer("norm1", "norm1", "norm"),
        layer("conv1", "conv1", "conv"),
        layer("time_emb_proj", "temb_proj", "dense"),
        layer("norm2", "norm2", "norm"),
        layer("conv2", "conv2", "conv"),
        ...(module.inChannels === module.outChannels
          ? []
          : [layer("conv_shortcut", "nin_shortcut", "nin")]),
      ];
    case "attention":
      return [
        layer("group_norm", "norm", "norm"),
        layer("to_q", "q", "nin"),
        layer("to_k", "k", "nin"),
        layer("to_v", "v", "nin"),
        layer("to_out.0", "proj_out", "nin"),
      ];
    case "downsample":
    case "upsample":
      return [layer("conv", "conv", "conv")];
  }
}

/** `up_blocks.0.resnets.1` is `up.3.block.1` of four levels: the originals count the way up from the finest. */
function modulePath({ blockOutChannels }: UNetConfig, name: string): Path {
  const [block, ...rest] = name.split(".");
  if (block === "mid_block") {
    const [kind, number] = rest;
    return ["mid", kind === "resnets" ? `block_${Number(number) + 1}` : "attn_1"];
  }
  const [level, kind, number] = rest;
  const up = block === "up_blocks";
  const ownLevel = up ? blockOutChannels.length - 1 - Number(level) : Number(level);
  const stem = [up ? "up" : "down", ownLevel] as const;
  switch (kind) {
    case "resnets":
      return [stem, ["block", Number(number)]];
    case "attentions":
      return [stem, ["attn", Number(number)]];
    default:
      return [stem, up ? "upsample" : "downsample"];
  }
}

function layoutOf(style: OriginalStyle, ours: string, kind: LayerKind): Layout {
  if (kind === "norm") return "same";
  if (style === "tensorflow") return kind === "conv" ? "hwio" : "matrix";
  // A shortcut is a 1×1 convolution here as there; attention's are linear layers here.
  return kind === "nin" && !ours.endsWith("conv_shortcut") ? "pointwise" : "same";
}
