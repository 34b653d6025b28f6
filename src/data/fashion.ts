import { FormatError } from "../spec/format_error.ts";
import type { ImageDataset } from "./image_dataset.ts";
import { loadMnist, MNIST_FILES, type MnistSplit } from "./mnist.ts";

/** Where Fashion-MNIST lies once it is installed: Debian's and Ubuntu's package `dataset-fashion-mnist`. */
export const FASHION_FOLDERS: readonly string[] = ["/usr/share/datasets/fashion-mnist"];

/** The ten classes in the order of their labels (Xiao, Rasul and Vollgraf 2017, table 2). */
export const FASHION_CLASSES: readonly string[] = [
  "T-shirt/top",
  "Trouser",
  "Pullover",
  "Dress",
  "Coat",
  "Sandal",
  "Shirt",
  "Sneaker",
  "Bag",
  "Ankle boot",
];

/**
 * One half of Fashion-MNIST, from the first folder that has it.
 *
 * @param folders where to look.
 * @throws {FormatError} if it is not installed, with the command that installs it.
 */
export async function loadFashion(
  split: MnistSplit,
  folders: readonly string[] = FASHION_FOLDERS,
): Promise<ImageDataset> {
  for (const folder of folders) {
    const images = `${folder}/${MNIST_FILES[split].images}`;
    if (await isThere(`${images}.gz`) || await isThere(images)) {
      return { ...await loadMnist(split, folder), classNames: FASHION_CLASSES };
    }
  }
  throw new FormatError(
    `Expected Fashion-MNIST in ${folders.join(" or ")} but found nothing: on Debian or Ubuntu, ` +
      "apt-get install dataset-fashion-mnist; elsewhere, name a folder with its four files",
  );
}

async function isThere(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
