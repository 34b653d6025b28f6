/**
 * Sets of images to be judged, as bytes, and the `.npz` files that they are kept in.
 *
 * @module
 */
import { decodeNpz, encodeNpz, type NamedArray } from "../data/npz.ts";
import { scaleByte, unscaleByte } from "../data/pixels.ts";
import type { ImageDataset } from "../data/image_dataset.ts";
import { ArgumentError, checkInteger } from "../math/errors.ts";
import { permutation, streamOf } from "../math/noise.ts";
import { checkShape, shapesEqual, sizeOf, type Tensor, tensor } from "../math/tensor.ts";
import { FormatError } from "../spec/format_error.ts";
import { CLASSES, CLASSIFIER_IMAGE } from "./classifier.ts";

/** Images of 28×28 grey pixels. */
export interface Samples {
  /** Number of images. */
  readonly count: number;
  /** All pixels, `[N, 1, 28, 28]`. */
  readonly pixels: Uint8Array;
  /** The class that each image should show; null for images of no class in particular. */
  readonly labels: Uint8Array | null;
}

/**
 * Images of a model, rounded to bytes: what is judged is what a file would hold.
 *
 * @param images `[N, 1, 28, 28]`, values near [−1, 1].
 * @param classes image i should show class i mod length of this list; null for none.
 * @throws {ArgumentError} if the images have another shape, or hold something that is no number.
 */
export function samplesOf(images: Tensor, classes: readonly number[] | null): Samples {
  const count = images.shape[0];
  checkShape("images", images, [count, ...CLASSIFIER_IMAGE]);
  const labels = classes === null
    ? null
    : Uint8Array.from({ length: count }, (_, i) => classes[i % classes.length]);
  return { count, pixels: Uint8Array.from(images.data, unscaleByte), labels };
}

/**
 * The images of a dataset as a set to be judged.
 *
 * @throws {ArgumentError} if they have another shape.
 */
export function samplesOfDataset({ count, imageShape, pixels, labels }: ImageDataset): Samples {
  if (!shapesEqual(imageShape, CLASSIFIER_IMAGE)) {
    throw new ArgumentError(
      `Expected images of shape [${CLASSIFIER_IMAGE.join(", ")}] but got [${
        imageShape.join(", ")
      }]`,
    );
  }
  return { count, pixels, labels };
}

/**
 * `count` of the images, without repetition: the same ones every time, in the order of stream
 * ("order", 0, 0) of seed 0.
 *
 * @throws {ArgumentError} if there are not so many.
 */
export function someOf(samples: Samples, count: number): Samples {
  checkInteger("count", count, 0, samples.count);
  const D = sizeOf(CLASSIFIER_IMAGE);
  const chosen = permutation(0, streamOf("order", 0, 0), samples.count).subarray(0, count);
  const pixels = new Uint8Array(count * D);
  chosen.forEach((index, n) => {
    pixels.set(samples.pixels.subarray(index * D, (index + 1) * D), n * D);
  });
  const { labels } = samples;
  return { count, pixels, labels: labels && Uint8Array.from(chosen, (index) => labels[index]) };
}

/** Images number `start` to `end` − 1, scaled to [−1, 1]: shape `[end − start, 1, 28, 28]`. */
export function sampleBatch({ pixels }: Samples, start: number, end: number): Tensor {
  const D = sizeOf(CLASSIFIER_IMAGE);
  const values = Float32Array.from(pixels.subarray(start * D, end * D), scaleByte);
  return tensor([end - start, ...CLASSIFIER_IMAGE], values);
}

/** The bytes of an `.npz` file: `arr_0` uint8 `[N, 28, 28, 1]`, and `arr_1` int64 `[N]` if there are classes. */
export function encodeSamples({ count, pixels, labels }: Samples): Uint8Array<ArrayBuffer> {
  const [C, H, W] = CLASSIFIER_IMAGE;
  const arrays: NamedArray[] = [{
    name: "arr_0",
    array: { shape: [count, H, W, C], data: pixels },
  }];
  if (labels !== null) {
    const data = BigInt64Array.from(labels, BigInt);
    arrays.push({ name: "arr_1", array: { shape: [count], data } });
  }
  return encodeNpz(arrays);
}

/**
 * The samples in an `.npz` file.
 *
 * @param file its name, for the messages.
 * @throws {FormatError} if it holds something else.
 */
export function decodeSamples(bytes: Uint8Array, file: string): Samples {
  const [C, H, W] = CLASSIFIER_IMAGE;
  const arrays = decodeNpz(bytes, file);
  const images = arrays.get("arr_0");
  const shape = images?.shape ?? [];
  const fits = shape.length === 4 && shape[1] === H && shape[2] === W && shape[3] === C;
  if (images === undefined || !(images.data instanceof Uint8Array) || !fits) {
    throw new FormatError(
      `Expected images as arr_0, uint8 [N, ${H}, ${W}, ${C}], in ${file} but got ` +
        (images === undefined ? "none" : `${images.data.constructor.name} [${shape.join(", ")}]`),
    );
  }
  const count = shape[0];
  const classes = arrays.get("arr_1");
  if (classes === undefined) return { count, pixels: images.data, labels: null };
  const labels = Array.from(classes.data, Number);
  const wrong = labels.find((label) => !(Number.isInteger(label) && label >= 0 && label < CLASSES));
  if (labels.length !== count || wrong !== undefined) {
    throw new FormatError(
      `Expected arr_1 in ${file} to be ${count} classes in 0..${CLASSES - 1} but got ` +
        (wrong === undefined ? `${labels.length} values` : String(wrong)),
    );
  }
  return { count, pixels: images.data, labels: Uint8Array.from(labels) };
}
