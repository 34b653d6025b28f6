import { unexpected } from "../math/errors.ts";
import { type Tensor, tensor } from "../math/tensor.ts";
import { scaleByte } from "./pixels.ts";

/** Images of one size with a class each, as bytes in memory. */
export interface ImageDataset {
  /** Number of images. */
  readonly count: number;
  /** `[C, H, W]` of every image. */
  readonly imageShape: readonly [channels: number, height: number, width: number];
  /** All values, `[N, C, H, W]`. */
  readonly pixels: Uint8Array;
  /** The class of each image, below `classes`. */
  readonly labels: Uint8Array;
  /** Number of classes. */
  readonly classes: number;
  /** What the classes are called, if that is known: as many names as `classes`. */
  readonly classNames?: readonly string[];
}

/** How a batch differs from the images as they are stored. */
export interface ImageBatchOptions {
  /** For each image whether it is mirrored, left for right. Default: none is. */
  readonly flip?: readonly boolean[];
}

/**
 * The images with the given numbers, scaled to [−1, 1].
 *
 * @returns shape `[N, C, H, W]` with N the length of `indices`.
 * @throws {ArgumentError} if a number is not that of an image, or `flip` has another length.
 */
export function imageBatch(
  dataset: ImageDataset,
  indices: readonly number[],
  { flip }: ImageBatchOptions = {},
): Tensor {
  const [C, H, W] = dataset.imageShape;
  const D = C * H * W;
  if (flip !== undefined && flip.length !== indices.length) {
    unexpected(`${indices.length} values of flip, one for each image`, flip.length);
  }
  const batch = tensor([indices.length, C, H, W]);
  indices.forEach((index, n) => {
    if (!Number.isInteger(index) || index < 0 || index >= dataset.count) {
      unexpected(`an image number in 0..${dataset.count - 1}`, index);
    }
    const mirrored = flip?.[n] ?? false;
    for (let row = 0; row < D; row += W) {
      for (let x = 0; x < W; x++) {
        const from = row + (mirrored ? W - 1 - x : x);
        batch.data[n * D + row + x] = scaleByte(dataset.pixels[index * D + from]);
      }
    }
  });
  return batch;
}
