/**
 * CIFAR-10's binary version: records of a label and the red, green and blue planes of an image.
 *
 * @module
 */
import { FormatError } from "../spec/format_error.ts";
import type { ImageDataset } from "./image_dataset.ts";
import { readIfThere } from "./read_if_there.ts";

/** The files of each half. */
export const CIFAR10_FILES: Readonly<Record<"train" | "test", readonly string[]>> = {
  train: [1, 2, 3, 4, 5].map((n) => `data_batch_${n}.bin`),
  test: ["test_batch.bin"],
};

/** The folder that the published archive unpacks to. */
export const CIFAR10_FOLDER = "cifar-10-batches-bin";

const CLASSES = 10;
const SIZE = 32;
const PIXELS = 3 * SIZE * SIZE;
const RECORD = 1 + PIXELS;

/**
 * One half of CIFAR-10.
 *
 * @param folder where the batches lie, and `batches.meta.txt` if the classes are to have names.
 * @throws {FormatError} if a file is missing or is not what the format says.
 */
export async function loadCifar10(
  split: "train" | "test",
  folder: string,
): Promise<ImageDataset> {
  const batches: { bytes: Uint8Array; file: string }[] = [];
  for (const name of CIFAR10_FILES[split]) {
    const bytes = await readIfThere(`${folder}/${name}`);
    if (bytes === null) {
      throw new FormatError(`Expected CIFAR-10's binary batches in ${folder} but found no ${name}`);
    }
    batches.push({ bytes, file: `${folder}/${name}` });
  }
  const meta = await readIfThere(`${folder}/batches.meta.txt`);
  if (meta === null) return cifar10From(batches);
  const classNames = cifar10Names(meta, `${folder}/batches.meta.txt`);
  return { ...cifar10From(batches), classNames };
}

/**
 * The dataset in the bytes of some batches.
 *
 * @param batches each with the name of its file, for the messages.
 * @throws {FormatError} if a batch is empty or does not end with a record, or a label is not in 0..9.
 */
export function cifar10From(
  batches: readonly { readonly bytes: Uint8Array; readonly file: string }[],
): ImageDataset {
  for (const { bytes, file } of batches) {
    if (bytes.length === 0 || bytes.length % RECORD !== 0) {
      throw new FormatError(
        `Expected records of ${RECORD} bytes in ${file}, a label and 32 by 32 pixels in three ` +
          `colours, but got ${bytes.length} bytes`,
      );
    }
  }
  const count = batches.reduce((sum, { bytes }) => sum + bytes.length / RECORD, 0);
  const pixels = new Uint8Array(count * PIXELS);
  const labels = new Uint8Array(count);
  let n = 0;
  for (const { bytes, file } of batches) {
    for (let at = 0; at < bytes.length; at += RECORD) {
      if (bytes[at] >= CLASSES) {
        throw new FormatError(
          `Expected labels in 0..${CLASSES - 1} in ${file} but number ${at / RECORD} is ${
            bytes[at]
          }`,
        );
      }
      labels[n] = bytes[at];
      pixels.set(bytes.subarray(at + 1, at + RECORD), n * PIXELS);
      n++;
    }
  }
  return { count, imageShape: [3, SIZE, SIZE], pixels, labels, classes: CLASSES };
}

/**
 * The names of the classes in `batches.meta.txt`, one per line.
 *
 * @throws {FormatError} if they are not ten.
 */
export function cifar10Names(bytes: Uint8Array, file: string): string[] {
  const names = new TextDecoder().decode(bytes).split("\n").map((line) => line.trim())
    .filter((line) => line !== "");
  if (names.length !== CLASSES) {
    throw new FormatError(
      `Expected ${CLASSES} names of classes in ${file}, one per line, but got ${names.length}`,
    );
  }
  return names;
}
