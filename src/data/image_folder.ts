/**
 * Folders of PNG and JPEG files, all in one place or in one subfolder per class.
 *
 * @module
 */
import { FormatError } from "../spec/format_error.ts";
import { decodePicture } from "./decode_picture.ts";
import { fitSquare } from "./fit_square.ts";
import { listFolder } from "./folder.ts";
import type { ImageDataset } from "./image_dataset.ts";
import type { Picture } from "./image_grid.ts";

/** A picture file and its class. */
interface Labelled {
  readonly path: string;
  readonly label: number;
}

const SPLITS = ["train", "test"] as const;
/** Without folders of its own, one image in so many is kept for the test half. */
const TEST_EVERY = 10;
/** Labels are bytes. */
const MAX_CLASSES = 256;
/** What all images of a half may take together. */
const MAX_BYTES = 2 ** 32;

/** Whether a file of this name should hold a picture. */
function isPictureName(name: string): boolean {
  return /\.(png|jpe?g)$/i.test(name);
}

/** Whether a folder holds pictures: files, or subfolders that do, or `train` and `test` with either. */
export async function holdsPictures(folder: string): Promise<boolean> {
  if (await holdsPicturesOrClasses(folder)) return true;
  const { folders } = await listFolder(folder);
  for (const split of SPLITS.filter((name) => folders.includes(name))) {
    if (await holdsPicturesOrClasses(`${folder}/${split}`)) return true;
  }
  return false;
}

async function holdsPicturesOrClasses(folder: string): Promise<boolean> {
  const { files, folders } = await listFolder(folder);
  if (files.some(isPictureName)) return true;
  for (const name of folders) {
    if ((await listFolder(`${folder}/${name}`)).files.some(isPictureName)) return true;
  }
  return false;
}

/**
 * One half of a folder of pictures. Subfolders are classes, in the order of their names; `train` and
 * `test`, where both exist, are the halves. Otherwise every tenth picture in the order of paths is in
 * the test half. Files that are not called .png, .jpg or .jpeg are left out.
 *
 * @param size height and width to bring each picture to ({@linkcode fitSquare}); undefined if all
 * are squares of one size already.
 * @returns one channel if every picture is grey, else three.
 * @throws {FormatError} naming the first file that is no picture, or what is wrong with the folder.
 */
export async function loadImageFolder(
  split: "train" | "test",
  folder: string,
  size?: number,
): Promise<ImageDataset> {
  const { images, classNames } = await listImages(split, folder);
  const pictures: Picture[] = [];
  for (const { path } of images) {
    const picture = decodePicture(await Deno.readFile(path), path);
    const side = size ?? sideOf(picture, pictures.at(0), path);
    if (images.length * side ** 2 * 3 > MAX_BYTES) {
      throw new FormatError(
        `Expected images that fit into ${MAX_BYTES} bytes together in ${folder} but got ` +
          `${images.length} of ${side} by ${side}: choose a smaller size`,
      );
    }
    pictures.push(fitSquare(picture, side));
  }
  return {
    ...planes(pictures),
    labels: Uint8Array.from(images, ({ label }) => label),
    classes: Math.max(1, classNames.length),
    ...(classNames.length > 0 ? { classNames } : {}),
  };
}

async function listImages(split: "train" | "test", folder: string) {
  const listing = await listFolder(folder);
  if (SPLITS.every((name) => listing.folders.includes(name))) {
    const halves = await Promise.all(SPLITS.map((name) => listClasses(`${folder}/${name}`)));
    const [train, test] = halves.map(({ classNames }) => classNames.join(", "));
    if (train !== test) {
      throw new FormatError(
        `Expected the classes of ${folder}/train (${train || "none"}) in ${folder}/test too but ` +
          `got ${test || "none"}`,
      );
    }
    return halves[SPLITS.indexOf(split)];
  }
  const { images, classNames } = await listClasses(folder);
  if (images.length < TEST_EVERY) {
    throw new FormatError(
      `Expected at least ${TEST_EVERY} PNG or JPEG files in ${folder}, of which every ` +
        `${TEST_EVERY}th is for testing, but got ${images.length}`,
    );
  }
  const inTest = (i: number) => i % TEST_EVERY === TEST_EVERY - 1;
  return { images: images.filter((_, i) => inTest(i) === (split === "test")), classNames };
}

async function listClasses(folder: string) {
  const { files, folders } = await listFolder(folder);
  const pathsIn = (place: string, names: readonly string[], label: number): Labelled[] =>
    names.filter(isPictureName).map((name) => ({ path: `${place}/${name}`, label }));
  const single = pathsIn(folder, files, 0);
  const images: Labelled[] = [];
  const classNames: string[] = [];
  for (const name of folders) {
    const place = `${folder}/${name}`;
    const found = pathsIn(place, (await listFolder(place)).files, classNames.length);
    if (found.length === 0) continue;
    classNames.push(name);
    images.push(...found);
  }
  if (single.length > 0 && images.length > 0) {
    throw new FormatError(
      `Expected images in ${folder} or in one subfolder per class but got both, ` +
        `${single[0].path} and ${images[0].path}`,
    );
  }
  if (single.length + images.length === 0 || classNames.length > MAX_CLASSES) {
    throw new FormatError(
      `Expected PNG or JPEG files in ${folder}, in at most ${MAX_CLASSES} subfolders, but got ` +
        `${single.length + images.length} in ${classNames.length}`,
    );
  }
  return { images: single.length > 0 ? single : images, classNames };
}

/** The side of a picture that must be a square as large as the first one. */
function sideOf({ width, height }: Picture, first: Picture | undefined, path: string): number {
  const side = first?.width ?? width;
  if (width !== side || height !== side) {
    throw new FormatError(
      `Expected squares of ${side} by ${side} where no image size is given but ${path} has ` +
        `${width} by ${height}`,
    );
  }
  return side;
}

/** Pictures of one size with the channels apart, as a network reads them. */
function planes(pictures: readonly Picture[]) {
  const C = pictures.every(({ channels }) => channels === 1) ? 1 : 3;
  const [{ width, height }] = pictures;
  const D = width * height;
  const pixels = new Uint8Array(pictures.length * C * D);
  pictures.forEach(({ channels, data }, n) => {
    for (let c = 0; c < C; c++) {
      const from = channels === 1 ? 0 : c;
      for (let i = 0; i < D; i++) pixels[(n * C + c) * D + i] = data[i * channels + from];
    }
  });
  const imageShape: readonly [number, number, number] = [C, height, width];
  return { count: pictures.length, imageShape, pixels };
}
