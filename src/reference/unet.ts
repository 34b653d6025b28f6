/**
 * The U-Net of denoising diffusion (Ho et al. 2020, appendix B), with the conventions of every config
 * field that diffusers' `UNet2DModel` has for it.
 *
 * @module
 */
import { ArgumentError, unexpected } from "../math/errors.ts";
import { streamOf } from "../math/noise.ts";
import { checkRank, checkShape, type Tensor } from "../math/tensor.ts";
import type { UNetConfig } from "../spec/unet_config.ts";
import { timeEmbeddingSize, unetModules } from "../spec/unet_modules.ts";
import { type Parameters, unetParameters } from "../spec/unet_parameters.ts";
import type { DropoutOptions } from "./nn/dropout.ts";
import { SAME_PADDING } from "./nn/upsample.ts";
import { zerosLike } from "./nn/zeros_like.ts";
import { type TapeStep, walkBack } from "./tape.ts";
import { Layers } from "./unet_layers.ts";
import {
  attentionBlock,
  downsampleBlock,
  resnetBlock,
  timeBlock,
  upsampleBlock,
} from "./unet_blocks.ts";

/** What a pass through the U-Net may be given besides x and the times. */
export interface UNetOptions {
  /** One class per sample, for a config with classes; vectors `[N, E]` where `classEmbedType` is `identity`. */
  readonly classLabels?: readonly number[] | Tensor;
  /** Drop values, as in training; without it nothing is dropped, whatever the config says. */
  readonly dropout?: {
    readonly seed: number;
    /** Number of each sample's training example: its masks do not depend on the batch it is in. */
    readonly items: readonly number[];
  };
}

/** What a forward pass leaves for the backward pass. */
export interface UNetTape {
  /** The input, `[N, inChannels, H, W]`. */
  readonly x: Tensor;
  /** The weights of the pass, by name. */
  readonly parameters: Parameters;
  /** Every layer with its way back, in the order in which they ran. */
  readonly steps: readonly TapeStep[];
}

/**
 * ε̂ = f(x_t, t), or whatever the network was trained to predict, keeping nothing for a backward pass.
 *
 * @param x `[N, inChannels, H, W]`, H and W multiples of 2^(levels − 1).
 * @param timesteps N times as the network gets them: 0..T−1, so t − 1 of the paper's t.
 * @returns `[N, outChannels, H, W]`
 * @throws {ArgumentError} if shapes do not fit the config, or a parameter is missing.
 */
export function unet(
  config: UNetConfig,
  parameters: Parameters,
  x: Tensor,
  timesteps: readonly number[],
  options: UNetOptions = {},
): Tensor {
  checkParameters(config, parameters);
  return runUnet(new Layers(parameters, null), config, x, timesteps, options);
}

/**
 * `unet`, with the tape that `unetBackward` needs.
 *
 * @throws {ArgumentError} as `unet` does.
 */
export function unetForward(
  config: UNetConfig,
  parameters: Parameters,
  x: Tensor,
  timesteps: readonly number[],
  options: UNetOptions = {},
): { readonly output: Tensor; readonly tape: UNetTape } {
  checkParameters(config, parameters);
  const steps: TapeStep[] = [];
  const output = runUnet(new Layers(parameters, steps), config, x, timesteps, options);
  return { output, tape: { x, parameters, steps } };
}

/**
 * Gradients of a loss with respect to the input and every parameter, from its gradient with respect
 * to the output.
 *
 * @param dOutput `[N, outChannels, H, W]`
 * @returns `gradients` by name, in the order of the parameters.
 * @throws {ArgumentError} if dOutput does not have the output's shape.
 */
export function unetBackward(
  tape: UNetTape,
  dOutput: Tensor,
): { readonly dX: Tensor; readonly gradients: Parameters } {
  checkShape("dOutput", dOutput, tape.steps[tape.steps.length - 1].output.shape);
  const { inputs, parameters } = walkBack(tape.steps, dOutput);
  const gradients = new Map(
    [...tape.parameters].map(([name, p]) => [name, parameters.get(name) ?? zerosLike(p)]),
  );
  return { dX: inputs.get(tape.x) ?? zerosLike(tape.x), gradients };
}

/** The network, in whatever way `layers` runs its layers. */
export function runUnet(
  layers: Layers,
  config: UNetConfig,
  x: Tensor,
  timesteps: readonly number[],
  options: UNetOptions,
): Tensor {
  checkInput(config, x, timesteps);
  // Every residual block starts from the SiLU of the same embedding.
  const e = layers.silu(embedded(layers, config, x, timesteps, options));
  // Every residual block drops values once.
  let resnets = 0;

  let h = layers.conv2d(config.centerInputSample ? layers.centered(x) : x, "conv_in", {
    padding: SAME_PADDING,
  });
  const skips = [h];
  for (const module of unetModules(config)) {
    if (module.takesSkip) h = layers.concatChannels(h, skips.pop() as Tensor);
    switch (module.kind) {
      case "resnet":
        h = resnetBlock(layers, config, module, h, e, dropoutOf(config, options, resnets++));
        break;
      case "attention":
        h = attentionBlock(layers, config, module, h);
        break;
      case "downsample":
        h = downsampleBlock(layers, config, module.name, h);
        break;
      case "upsample":
        h = upsampleBlock(layers, module.name, h);
        break;
    }
    if (module.leavesSkip) skips.push(h);
  }
  const norm = { groups: config.normNumGroups, eps: config.normEps };
  h = layers.silu(layers.groupNorm(h, "conv_norm_out", norm));
  return layers.conv2d(h, "conv_out", { padding: SAME_PADDING });
}

/** The embedding of the times, plus that of the classes if the config has any: `[N, E]`. */
function embedded(
  layers: Layers,
  config: UNetConfig,
  x: Tensor,
  timesteps: readonly number[],
  { classLabels }: UNetOptions,
): Tensor {
  const time = timeBlock(layers, "time_embedding", sinusoids(layers, config, x, timesteps));
  const { classEmbedType, numClassEmbeds } = config;
  if (classEmbedType === null && numClassEmbeds === null) {
    if (classLabels !== undefined) unexpected("no class labels for this config", classLabels);
    return time;
  }
  if (classLabels === undefined) unexpected("class labels for this config", classLabels);
  return layers.add(time, classEmbedded(layers, config, x, classLabels), 1);
}

function classEmbedded(
  layers: Layers,
  config: UNetConfig,
  x: Tensor,
  labels: readonly number[] | Tensor,
): Tensor {
  const N = x.shape[0];
  if (config.classEmbedType === "identity") {
    if (!("shape" in labels)) unexpected("class vectors as a tensor", labels);
    checkShape("class labels", labels, [N, timeEmbeddingSize(config)]);
    return labels;
  }
  if ("shape" in labels || labels.length !== N) unexpected(`${N} class labels`, labels);
  return config.classEmbedType === "timestep"
    ? timeBlock(layers, "class_embedding", sinusoids(layers, config, x, labels))
    : layers.embedding(labels, "class_embedding");
}

/** Sinusoidal embedding with the config's conventions: `[N, C]`. */
function sinusoids(
  layers: Layers,
  config: UNetConfig,
  x: Tensor,
  times: readonly number[],
): Tensor {
  const order = config.flipSinToCos ? "cosSin" : "sinCos";
  const options = { order, shift: config.freqShift } as const;
  return layers.timeEmbedding(times, config.blockOutChannels[0], options, x);
}

/** What dropout number `block` is made of, or null for none: its stream for example i is ("dropout", i, block). */
function dropoutOf(
  config: UNetConfig,
  { dropout }: UNetOptions,
  block: number,
): DropoutOptions | null {
  if (dropout === undefined || config.dropout === 0) return null;
  const streams = dropout.items.map((item) => streamOf("dropout", item, block));
  return { probability: config.dropout, seed: dropout.seed, streams };
}

function checkInput(config: UNetConfig, x: Tensor, timesteps: readonly number[]): void {
  checkRank("x", x, "N, C, H, W");
  const [N, C, H, W] = x.shape;
  if (C !== config.inChannels) unexpected(`x with ${config.inChannels} channels`, C);
  const multiple = 2 ** (config.blockOutChannels.length - 1);
  if (H % multiple !== 0 || W % multiple !== 0) {
    unexpected(`height and width to be multiples of ${multiple}`, [H, W]);
  }
  if (timesteps.length !== N) unexpected(`${N} timesteps`, timesteps);
}

function checkParameters(config: UNetConfig, parameters: Parameters): void {
  for (const { name, shape } of unetParameters(config)) {
    const found = parameters.get(name);
    if (found === undefined) throw new ArgumentError(`Expected a parameter ${name} but got none`);
    checkShape(name, found, shape);
  }
}
