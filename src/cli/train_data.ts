/**
 * The images of a training run, and how a run knows them again.
 *
 * @module
 */
import { loadFashion } from "../data/fashion.ts";
import type { ImageDataset } from "../data/image_dataset.ts";
import { openDataset } from "../data/open_dataset.ts";
import type { RunOptions } from "../spec/checkpoint.ts";
import { FailureError, UsageError } from "./terminal.ts";
import type { TrainPreset } from "./train_presets.ts";

/** Where images come from. */
export interface ImageSource {
  readonly preset: TrainPreset;
  /** A folder in place of the preset's images. */
  readonly folder: string | undefined;
  /** Height and width that pictures of any size are brought to. */
  readonly size: number | undefined;
}

/**
 * One half of the images of a source.
 *
 * @throws {UsageError} if it has none of its own and no folder is given.
 * @throws {FormatError} if the folder holds none, or they are not what their format says.
 */
export async function openImages(
  { preset, folder, size }: ImageSource,
  split: "train" | "test",
): Promise<ImageDataset> {
  if (folder !== undefined || preset.images === "mnist") {
    return await openDataset({ folder, size }, split);
  }
  if (size !== undefined) {
    throw new UsageError(
      `Expected --image-size only with --data, a folder of pictures, but got ${size} without`,
    );
  }
  if (preset.images === "fashion") return await loadFashion(split);
  throw new UsageError(
    "Expected --data, a folder with CIFAR-10's binary batches or with images, for a preset that " +
      "has no images of its own, but got none",
  );
}

/** What a run knows its images by: SHA-256 of their bytes, labels and shape, in hexadecimal. */
export async function fingerprint(dataset: ImageDataset): Promise<string> {
  const { pixels, labels, imageShape, classes } = dataset;
  const shape = new TextEncoder().encode(JSON.stringify([...imageShape, classes]));
  const digests = await Promise.all(
    [pixels, labels, shape].map((bytes) => crypto.subtle.digest("SHA-256", bytes.slice())),
  );
  const whole = new Uint8Array(await new Blob(digests).arrayBuffer());
  return new Uint8Array(await crypto.subtle.digest("SHA-256", whole)).toHex();
}

/** What the images of a run are known by in its options. */
const IMAGES = "images-sha256";

/** What a run writes down of its images besides their number. */
export async function imageRecord(dataset: ImageDataset): Promise<RunOptions> {
  return { [IMAGES]: await fingerprint(dataset) };
}

/**
 * Checks that a run goes on with the images that it began with.
 *
 * @throws {FailureError} if they are others.
 */
export async function checkImages(train: RunOptions, dataset: ImageDataset): Promise<void> {
  if (train.images !== dataset.count) {
    throw new FailureError(
      `Expected the ${train.images} images that the run began with but got ${dataset.count}`,
    );
  }
  // Runs of before it was written down have none.
  const known = train[IMAGES];
  if (known !== undefined && known !== await fingerprint(dataset)) {
    throw new FailureError(
      `Expected the ${train.images} images that the run began with but got others: --data must be ` +
        "as it was then",
    );
  }
}
