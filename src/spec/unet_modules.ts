/**
 * The order of a U-Net's modules, as data: what the parameters, the forward and the backward pass and
 * every other executor walk.
 *
 * @module
 */
import { ArgumentError } from "../math/errors.ts";
import type { ResampleType, UNetConfig } from "./unet_config.ts";

/** How a module uses the stack of skip connections. */
export interface Skips {
  /** Before the module, the latest skip is taken off the stack and appended to h along the channels. */
  readonly takesSkip?: boolean;
  /** After the module, h is put on the stack. */
  readonly leavesSkip?: boolean;
}

/** norm, SiLU, (resample,) convolution, time, norm, SiLU, dropout, convolution, plus the input. */
export interface ResnetModule extends Skips {
  /** Tells it from the other modules. */
  readonly kind: "resnet";
  /** Prefix of its parameters' names, such as `down_blocks.0.resnets.0`. */
  readonly name: string;
  /** Channels in, the skip included. */
  readonly inChannels: number;
  /** Channels out. */
  readonly outChannels: number;
  /** Whether height and width stay, are halved or are doubled. */
  readonly resample: "none" | "down" | "up";
  /** What the sum with the input is divided by. */
  readonly outputScale: number;
}

/** norm, query, key and value, attention over all positions, projection, plus the input. */
export interface AttentionModule extends Skips {
  /** Tells it from the other modules. */
  readonly kind: "attention";
  /** Prefix of its parameters' names, such as `mid_block.attentions.0`. */
  readonly name: string;
  /** Channels in and out. */
  readonly channels: number;
  /** Number of heads, a divisor of `channels`. */
  readonly heads: number;
  /** Groups of its norm, or null for no norm. */
  readonly groups: number | null;
  /** What the sum with the input is divided by. */
  readonly outputScale: number;
}

/** A strided convolution, or doubling and a convolution. */
export interface ResampleModule extends Skips {
  /** Whether height and width are halved or doubled. */
  readonly kind: "downsample" | "upsample";
  /** Prefix of its parameters' names, such as `down_blocks.0.downsamplers.0`. */
  readonly name: string;
  /** Channels in and out. */
  readonly channels: number;
}

/** One step between the first convolution and the last norm. */
export type UNetModule = ResnetModule | AttentionModule | ResampleModule;

/** Size of the time embedding after its two layers, and of the class embedding: four times the first level's channels. */
export function timeEmbeddingSize(config: UNetConfig): number {
  return 4 * config.blockOutChannels[0];
}

/**
 * The modules between `conv_in` and `conv_norm_out`, in the order in which they run. `conv_in` leaves
 * the first skip.
 *
 * @throws {ArgumentError} if the groups of a norm do not divide its channels, or heads theirs.
 */
export function unetModules(config: UNetConfig): readonly UNetModule[] {
  return [...downModules(config), ...middleModules(config), ...upModules(config)];
}

function downModules(config: UNetConfig): UNetModule[] {
  const modules: UNetModule[] = [];
  const { blockOutChannels: channels } = config;
  config.downBlockTypes.forEach((type, level) => {
    const block = `down_blocks.${level}`;
    const C = channels[level];
    const withAttention = type === "AttnDownBlock2D";
    for (let i = 0; i < config.layersPerBlock; i++) {
      const inChannels = i === 0 ? channels[Math.max(level - 1, 0)] : C;
      const leavesSkip = !withAttention;
      modules.push({ ...resnet(config, `${block}.resnets.${i}`, inChannels, C), leavesSkip });
      if (withAttention) {
        const name = `${block}.attentions.${i}`;
        modules.push({ ...attention(config, name, C, config.normNumGroups), leavesSkip: true });
      }
    }
    if (level === channels.length - 1) return;
    const resample = type === "ResnetDownsampleBlock2D"
      ? "resnet"
      : withAttention
      ? config.downsampleType
      : "conv";
    const name = `${block}.downsamplers.0`;
    modules.push({ ...resampler(config, name, C, "down", resample), leavesSkip: true });
  });
  return modules;
}

function middleModules(config: UNetConfig): UNetModule[] {
  const C = config.blockOutChannels[config.blockOutChannels.length - 1];
  const outputScale = config.midBlockScaleFactor;
  const groups = config.attnNormNumGroups ??
    (config.resnetTimeScaleShift === "default" ? config.normNumGroups : null);
  const modules: UNetModule[] = [
    { ...resnet(config, "mid_block.resnets.0", C, C), outputScale },
  ];
  if (config.addAttention) {
    modules.push({ ...attention(config, "mid_block.attentions.0", C, groups), outputScale });
  }
  modules.push({ ...resnet(config, "mid_block.resnets.1", C, C), outputScale });
  return modules;
}

function upModules(config: UNetConfig): UNetModule[] {
  const modules: UNetModule[] = [];
  const channels = config.blockOutChannels.toReversed();
  const last = channels.length - 1;
  config.upBlockTypes.forEach((type, level) => {
    const block = `up_blocks.${level}`;
    const C = channels[level];
    const withAttention = type === "AttnUpBlock2D";
    for (let i = 0; i <= config.layersPerBlock; i++) {
      const fromBelow = i === 0 ? channels[Math.max(level - 1, 0)] : C;
      // The last skip of a level was left by the level before it on the way down.
      const fromSkip = i === config.layersPerBlock ? channels[Math.min(level + 1, last)] : C;
      const name = `${block}.resnets.${i}`;
      modules.push({ ...resnet(config, name, fromBelow + fromSkip, C), takesSkip: true });
      if (withAttention) {
        modules.push(attention(config, `${block}.attentions.${i}`, C, config.normNumGroups));
      }
    }
    if (level === last) return;
    const resample = type === "ResnetUpsampleBlock2D"
      ? "resnet"
      : withAttention
      ? config.upsampleType
      : "conv";
    modules.push(resampler(config, `${block}.upsamplers.0`, C, "up", resample));
  });
  return modules;
}

function resnet(
  config: UNetConfig,
  name: string,
  inChannels: number,
  outChannels: number,
): ResnetModule {
  checkDivides(config.normNumGroups, inChannels, `channels of ${name}.norm1`, "groups");
  checkDivides(config.normNumGroups, outChannels, `channels of ${name}.norm2`, "groups");
  return { kind: "resnet", name, inChannels, outChannels, resample: "none", outputScale: 1 };
}

function attention(
  config: UNetConfig,
  name: string,
  channels: number,
  groups: number | null,
): AttentionModule {
  const headDim = config.attentionHeadDim ?? channels;
  checkDivides(headDim, channels, `channels of ${name}`, "channels per head");
  if (groups !== null) {
    checkDivides(groups, channels, `channels of ${name}.group_norm`, "groups");
  }
  return { kind: "attention", name, channels, heads: channels / headDim, groups, outputScale: 1 };
}

function resampler(
  config: UNetConfig,
  name: string,
  channels: number,
  resample: "down" | "up",
  type: ResampleType,
): ResnetModule | ResampleModule {
  if (type === "resnet") return { ...resnet(config, name, channels, channels), resample };
  return { kind: resample === "down" ? "downsample" : "upsample", name, channels };
}

function checkDivides(divisor: number, number: number, what: string, by: string): void {
  if (number % divisor !== 0) {
    throw new ArgumentError(
      `Expected the number of ${what} to be a multiple of ${divisor} ${by} but got ${number}`,
    );
  }
}
