/**
 * Networks and variant tables by what a command line says of them.
 *
 * @module
 */
import {
  sampleHeightWidth,
  type UNetConfig,
  unetConfigFromDiffusers,
} from "../spec/unet_config.ts";
import { CIFAR10, MNIST, MNIST_TINY } from "../spec/unet_presets.ts";
import { type VariantTable, variantTableFromJson } from "../webgpu/variants_file.ts";
import type { Flag } from "./flags.ts";
import { FailureError, UsageError } from "./terminal.ts";

const PRESETS = { cifar10: CIFAR10, mnist: MNIST, "mnist-tiny": MNIST_TINY } as const;

/** Flags that choose a network and the size of its images. */
export const NETWORK_FLAGS = {
  preset: {
    kind: "choice",
    values: ["cifar10", "mnist", "mnist-tiny"],
    default: "cifar10",
    help: "U-Net of 35.7 million, 1 million or 115 thousand parameters.",
  },
  config: {
    kind: "text",
    placeholder: "FILE",
    help: "A U-Net of your own: a config.json as diffusers' UNet2DModel has it.",
  },
  height: {
    kind: "integer",
    min: 1,
    max: 4096,
    help: "Height of the images (default: the U-Net's).",
  },
  width: {
    kind: "integer",
    min: 1,
    max: 4096,
    help: "Width of the images (default: the U-Net's).",
  },
  batch: { kind: "integer", min: 1, max: 1024, default: 1, help: "Images per pass." },
  training: { kind: "switch", help: "The training step instead of the forward pass alone." },
} as const satisfies Record<string, Flag>;

/** A network and what is asked of it. */
export interface ChosenNetwork {
  readonly name: string;
  readonly config: UNetConfig;
  readonly height: number;
  readonly width: number;
}

/**
 * The network that flags choose.
 *
 * @throws {FailureError} if its file cannot be read.
 * @throws {UsageError} if it leaves the image size open and so do the flags.
 */
export async function chosenNetwork(flags: {
  readonly preset: keyof typeof PRESETS;
  readonly config: string | undefined;
  readonly height: number | undefined;
  readonly width: number | undefined;
}): Promise<ChosenNetwork> {
  const config = flags.config === undefined
    ? PRESETS[flags.preset]
    : await readJson(flags.config, "a U-Net config", unetConfigFromDiffusers);
  const name = flags.config ?? flags.preset;
  const size = sampleHeightWidth(config);
  const height = flags.height ?? size?.[0], width = flags.width ?? size?.[1];
  if (height === undefined || width === undefined) {
    throw new UsageError(
      `Expected --height and --width for ${name}, which has no sample_size, but got none`,
    );
  }
  return { name, config, height, width };
}

/** Reads a variant table. @throws {FailureError} if the file holds none. */
export function readVariants(file: string): Promise<VariantTable> {
  return readJson(file, "a variant table", variantTableFromJson);
}

async function readJson<T>(file: string, what: string, read: (json: unknown) => T): Promise<T> {
  try {
    return read(JSON.parse(await Deno.readTextFile(file)));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new FailureError(`Expected ${what} in ${file}. ${reason}`);
  }
}
