/**
 * The convolutions of a U-Net one by one: what a variant table has entries for, and what is measured to
 * write one.
 *
 * @module
 */
import type { UNetConfig } from "../spec/unet_config.ts";
import { unetModules } from "../spec/unet_modules.ts";
import { conv, convBackward, type ConvShape, SAME_3X3 } from "./conv.ts";
import { type Activation, type ImageShape, Network, positions } from "./network.ts";
import type { Plan } from "./plan.ts";
import type { ConvLayer, Variants } from "./variants.ts";

/** A convolution of a network. */
export interface NamedConv {
  /** Prefix of its parameters' names. */
  readonly name: string;
  /** Its configuration, as variant tables are keyed by it. */
  readonly layer: ConvLayer;
  /** Its padding and how it reads its input. */
  readonly shape: ConvShape;
}

/** The convolutions of a U-Net at an image size, in the order in which they run; 1x1 ones are plain products. */
export function convLayers(config: UNetConfig, height: number, width: number): NamedConv[] {
  const layers: NamedConv[] = [];
  let H = height, W = width;
  const add = (name: string, C: number, O: number, shape: ConvShape): void => {
    const { kernel, stride } = shape;
    layers.push({ name, layer: { kernel, stride, C, O, H, W }, shape });
  };
  const first = config.blockOutChannels[0];
  add("conv_in", config.inChannels, first, SAME_3X3);
  for (const module of unetModules(config)) {
    if (module.kind === "attention") continue;
    const { name } = module;
    const change = module.kind === "resnet" ? module.resample : module.kind;
    if (change === "down" || change === "downsample") [H, W] = [H / 2, W / 2];
    if (change === "up" || change === "upsample") [H, W] = [2 * H, 2 * W];
    if (module.kind === "resnet") {
      add(`${name}.conv1`, module.inChannels, module.outChannels, SAME_3X3);
      add(`${name}.conv2`, module.outChannels, module.outChannels, SAME_3X3);
    } else {
      const { channels } = module;
      add(`${name}.conv`, channels, channels, resampleShape(config, module.kind));
    }
  }
  add("conv_out", first, config.outChannels, SAME_3X3);
  return layers;
}

function resampleShape(
  { downsamplePadding: p }: UNetConfig,
  kind: "downsample" | "upsample",
): ConvShape {
  if (kind === "upsample") return { ...SAME_3X3, upsampled: true };
  return { kernel: 3, stride: 2, padding: [p, 1, p, 1] };
}

/** A plan of one convolution, and the tensors by which the host talks to it. */
export interface ConvPlan {
  /** Weights that have to be transformed are in phase `prepare`; in training, in `step`. */
  readonly plan: Plan;
  /** `[N, C, H, W]` of the input. */
  readonly x: Activation;
  /** `[N, O, H, W]` */
  readonly y: Activation;
  /** Gradients; null where the plan is for inference. */
  readonly gradients: { readonly dX: Activation; readonly dY: Activation } | null;
}

/** What a convolution's plan is made for. */
export interface ConvPlanRequest {
  /** The network, for its parameters. */
  readonly config: UNetConfig;
  readonly conv: NamedConv;
  readonly batch: number;
  /** Whether the gradients of input, weight and bias follow the forward pass. */
  readonly training: boolean;
  readonly variants: Variants;
}

/** The plan of one convolution of a network, forward or forward and backward. */
export function convPlan(request: ConvPlanRequest): ConvPlan {
  const { config, conv: { name, layer, shape }, batch: N, training, variants } = request;
  const { C, O, H, W, stride } = layer;
  const net = new Network(config, training, variants);
  const host = (label: string, sizes: ImageShape): Activation => {
    const sampleStride = sizes.C * positions(sizes);
    const tensor = net.plan.tensor("state", label, N * sampleStride);
    return { ...sizes, view: { tensor, offset: 0, sampleStride } };
  };
  const scale = shape.upsampled ? 1 / 2 : stride;
  const inShape = { N, C, H: H * scale, W: W * scale };
  const x = host("x", inShape), y = host("y", { N, C: O, H, W });
  net.inLayer(name, () => conv(net, name, x, y, shape));
  if (!training) return { plan: net.plan.finish(), x, y, gradients: null };
  const dX = host("dX", inShape), dY = host("dY", y);
  const into = { view: dX.view, accumulate: false };
  net.inLayer(name, () => convBackward(net, name, x, dY, shape, into));
  return { plan: net.plan.finish(), x, y, gradients: { dX, dY } };
}
