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
}

/**
 * The images with the given numbers, scaled to [−1, 1].
 *
 * @returns shape `[N, C, H, W]` with N the length of `indices`.
 * @throws {ArgumentError} if a number is not that of an image.
 */
export function imageBatch(dataset: ImageDataset, indices: readonly number[]): Tensor {
  const [C, H, W] = dataset.imageShape;
  const D = C * H * W;
  const batch = tensor([indices.length, C, H, W]);
  indices.forEach((index, n) => {
    if (!Number.isInteger(index) || index < 0 || index >= dataset.count) {
      unexpected(`an image number in 0..${dataset.count - 1}`, index);
    }
    for (let i = 0; i < D; i++) batch.data[n * D + i] = scaleByte(dataset.pixels[index * D + i]);
  });
  return batch;
}
