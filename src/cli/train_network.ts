/**
 * The network of a training run, and whether it takes the run's images.
 *
 * @module
 */
import type { ImageDataset } from "../data/image_dataset.ts";
import type { Checkpoint } from "../spec/checkpoint.ts";
import {
  sampleHeightWidth,
  type UNetConfig,
  unetConfig,
  unetConfigFromDiffusers,
} from "../spec/unet_config.ts";
import { FailureError } from "./terminal.ts";
import { PRESETS } from "./train_presets.ts";

/** Flags that choose a network. */
export interface NetworkFlags {
  readonly preset: keyof typeof PRESETS;
  readonly config: string | undefined;
  readonly dropout: number | undefined;
}

/**
 * The network that flags choose: one from a file as it is, or the preset's for images of the dataset's
 * size, channels and classes.
 *
 * @throws {FailureError} if a file holds none.
 */
export async function networkOf(
  { preset, config, dropout }: NetworkFlags,
  dataset: ImageDataset,
): Promise<UNetConfig> {
  const network = config === undefined
    ? fitted(PRESETS[preset].network, dataset)
    : await readNetwork(config);
  return dropout === undefined ? network : { ...network, dropout };
}

function fitted(network: UNetConfig, { imageShape: [C, H, W], classes }: ImageDataset): UNetConfig {
  const size = H === W ? H : [H, W] as const;
  const numClassEmbeds = network.numClassEmbeds === null ? null : classes + 1;
  return unetConfig({
    ...network,
    ...{ sampleSize: size, inChannels: C, outChannels: C, numClassEmbeds },
  });
}

async function readNetwork(file: string): Promise<UNetConfig> {
  try {
    return unetConfigFromDiffusers(JSON.parse(await Deno.readTextFile(file)));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new FailureError(`Expected a U-Net config in ${file}. ${reason}`);
  }
}

/** Checks that a network takes the images and classes of a dataset. @throws {FailureError} if it does not. */
export function checkFits({ unet }: Checkpoint, dataset: ImageDataset): void {
  const [C, H, W] = dataset.imageShape;
  const size = sampleHeightWidth(unet);
  if (unet.inChannels !== C || unet.outChannels !== C || size?.[0] !== H || size?.[1] !== W) {
    throw new FailureError(
      `Expected a U-Net for images of ${C} channel${C === 1 ? "" : "s"} and ${H}×${W} pixels but ` +
        `got one for ${unet.inChannels} channels in, ${unet.outChannels} out and size ` +
        `${size?.join("×")}`,
    );
  }
  const halvings = 2 ** (unet.blockOutChannels.length - 1);
  if (H % halvings !== 0 || W % halvings !== 0) {
    throw new FailureError(
      `Expected images whose sides are multiples of ${halvings}, as the U-Net halves them so often, ` +
        `but got ${H}×${W}`,
    );
  }
  const classes = unet.numClassEmbeds ?? dataset.classes + 1;
  if (classes !== dataset.classes + 1) {
    throw new FailureError(
      `Expected a U-Net for ${dataset.classes} classes and "no class", so with num_class_embeds ` +
        `${dataset.classes + 1}, but got ${classes}`,
    );
  }
}
