/**
 * The one ordered list of a U-Net's parameters: diffusers' names, shapes, and how each starts.
 *
 * @module
 */
import { normalDoubles, streamOf, uniformDoubles } from "../math/noise.ts";
import { type Shape, sizeOf, type Tensor, tensor } from "../math/tensor.ts";
import type { UNetConfig } from "./unet_config.ts";
import {
  type AttentionModule,
  type ResnetModule,
  timeEmbeddingSize,
  type UNetModule,
  unetModules,
} from "./unet_modules.ts";

/** Parameters, or gradients, moments and averages of them, by name. */
export type Parameters = ReadonlyMap<string, Tensor>;

/**
 * How a parameter starts. `varianceScaling` is uniform in ±√(6/(fanIn + fanOut)), of variance
 * 1/fanAvg (Glorot and Bengio 2010, equation 16), as in the DDPM code; `zeros` also stands for the
 * last convolution of every residual branch, which DDPM scales by 1e−10; `normal` is N(0, 1).
 */
export type Initialiser = "varianceScaling" | "zeros" | "ones" | "normal";

/** One parameter of a model. */
export interface ParameterSpec {
  /** As in diffusers' state dict, such as `down_blocks.0.resnets.0.conv1.weight`. */
  readonly name: string;
  /** Convolutions are `[O, C, kH, kW]`, linear layers `[out, in]`, norms and biases `[C]`. */
  readonly shape: Shape;
  /** How its values start. */
  readonly initialiser: Initialiser;
}

/**
 * Every parameter of the U-Net, in the order in which the network uses them.
 *
 * @throws {ArgumentError} if the config's groups or heads do not divide its channels.
 */
export function unetParameters(config: UNetConfig): readonly ParameterSpec[] {
  const C = config.blockOutChannels[0];
  const E = timeEmbeddingSize(config);
  return [
    ...conv("conv_in", config.inChannels, C, 3),
    ...timeEmbedding("time_embedding", C, E),
    ...classEmbedding(config, C, E),
    ...unetModules(config).flatMap((module) => moduleParameters(config, module)),
    ...norm("conv_norm_out", C),
    ...conv("conv_out", C, config.outChannels, 3, "zeros"),
  ];
}

/** Number of parameters of the U-Net, counting every element. */
export function unetParameterCount(config: UNetConfig): number {
  return unetParameters(config).reduce((sum, { shape }) => sum + sizeOf(shape), 0);
}

function classEmbedding(config: UNetConfig, C: number, E: number): ParameterSpec[] {
  if (config.classEmbedType === "timestep") return timeEmbedding("class_embedding", C, E);
  if (config.classEmbedType === "identity" || config.numClassEmbeds === null) return [];
  const shape = [config.numClassEmbeds, E];
  return [{ name: "class_embedding.weight", shape, initialiser: "normal" }];
}

function moduleParameters(config: UNetConfig, module: UNetModule): ParameterSpec[] {
  switch (module.kind) {
    case "resnet":
      return resnetParameters(config, module);
    case "attention":
      return attentionParameters(module);
    case "downsample":
    case "upsample":
      return conv(`${module.name}.conv`, module.channels, module.channels, 3);
  }
}

function resnetParameters(config: UNetConfig, module: ResnetModule): ParameterSpec[] {
  const { name, inChannels, outChannels } = module;
  const timeChannels = config.resnetTimeScaleShift === "default" ? outChannels : 2 * outChannels;
  const shortcut = inChannels === outChannels
    ? []
    : conv(`${name}.conv_shortcut`, inChannels, outChannels, 1);
  return [
    ...norm(`${name}.norm1`, inChannels),
    ...conv(`${name}.conv1`, inChannels, outChannels, 3),
    ...linear(`${name}.time_emb_proj`, timeEmbeddingSize(config), timeChannels),
    ...norm(`${name}.norm2`, outChannels),
    ...conv(`${name}.conv2`, outChannels, outChannels, 3, "zeros"),
    ...shortcut,
  ];
}

function attentionParameters({ name, channels, groups }: AttentionModule): ParameterSpec[] {
  return [
    ...(groups === null ? [] : norm(`${name}.group_norm`, channels)),
    ...linear(`${name}.to_q`, channels, channels),
    ...linear(`${name}.to_k`, channels, channels),
    ...linear(`${name}.to_v`, channels, channels),
    ...linear(`${name}.to_out.0`, channels, channels, "zeros"),
  ];
}

function timeEmbedding(name: string, C: number, E: number): ParameterSpec[] {
  return [...linear(`${name}.linear_1`, C, E), ...linear(`${name}.linear_2`, E, E)];
}

function conv(
  name: string,
  C: number,
  O: number,
  k: number,
  initialiser: Initialiser = "varianceScaling",
): ParameterSpec[] {
  return weightAndBias(name, [O, C, k, k], initialiser);
}

function linear(
  name: string,
  I: number,
  O: number,
  initialiser: Initialiser = "varianceScaling",
): ParameterSpec[] {
  return weightAndBias(name, [O, I], initialiser);
}

function norm(name: string, C: number): ParameterSpec[] {
  return weightAndBias(name, [C], "ones");
}

function weightAndBias(name: string, shape: Shape, initialiser: Initialiser): ParameterSpec[] {
  return [
    { name: `${name}.weight`, shape, initialiser },
    { name: `${name}.bias`, shape: [shape[0]], initialiser: "zeros" },
  ];
}

/**
 * The start of training: parameter number k of the list is drawn from stream ("init", k), so a seed
 * gives the same weights everywhere.
 *
 * @throws {ArgumentError} if `seed` is not an integer in 0..2^53 − 1.
 */
export function initialParameters(config: UNetConfig, seed: number): Parameters {
  return new Map(
    unetParameters(config).map((spec, number) => [spec.name, initialTensor(spec, seed, number)]),
  );
}

/** Parameter `number` of a list, as its initialiser draws it. */
export function initialTensor(spec: ParameterSpec, seed: number, number: number): Tensor {
  const { shape, initialiser } = spec;
  const size = sizeOf(shape);
  const stream = streamOf("init", number, 0);
  switch (initialiser) {
    case "zeros":
      return tensor(shape);
    case "ones":
      return tensor(shape, new Float32Array(size).fill(1));
    case "normal":
      return tensor(shape, normalDoubles(seed, stream, 0, size));
    case "varianceScaling": {
      const limit = Math.sqrt(6 / (fanIn(shape) + fanOut(shape)));
      const out = tensor(shape);
      // A piece at a time: doubles of a whole tensor would be fresh memory, several times its own size.
      for (let at = 0; at < size; at += PIECE) {
        const u = uniformDoubles(seed, stream, at, Math.min(PIECE, size - at));
        for (let i = 0; i < u.length; i++) out.data[at + i] = limit * (2 * u[i] - 1);
      }
      return out;
    }
  }
}

/** Numbers drawn at once. */
const PIECE = 4096;

/**
 * Zeros in the shapes of parameters: where moments start. They share their memory with each other, and
 * are for reading only.
 */
export function zeroParameters(parameters: Parameters): Parameters {
  const sizes = [...parameters.values()].map(({ data }) => data.length);
  const zeros = new Float32Array(Math.max(0, ...sizes));
  return new Map(
    [...parameters].map((
      [name, { shape, data }],
    ) => [name, tensor(shape, zeros.subarray(0, data.length))]),
  );
}

/** Inputs that one output sums: C·kH·kW, or I. */
function fanIn(shape: Shape): number {
  return sizeOf(shape.slice(1));
}

/** Outputs that one input reaches: O·kH·kW, or O. */
function fanOut(shape: Shape): number {
  return shape[0] * sizeOf(shape.slice(2));
}
