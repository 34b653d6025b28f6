import { checkInteger } from "../math/errors.ts";
import type { Picture } from "./image_grid.ts";

/** What one pixel of the result is made of: weights for source pixels `from`, `from` + 1, ... */
interface Mix {
  readonly from: number;
  readonly weights: readonly number[];
}

/**
 * The middle square of a picture, brought to `size` by `size` pixels. Smaller: each pixel is the mean
 * of the area that it covers. Larger: bilinear between pixel centres.
 *
 * @throws {ArgumentError} if `size` is not in 1..4096.
 */
export function fitSquare(picture: Picture, size: number): Picture {
  checkInteger("image size", size, 1, 4096);
  const { width, height, channels, data } = picture;
  const side = Math.min(width, height);
  const left = Math.floor((width - side) / 2), top = Math.floor((height - side) / 2);
  const mixes = Array.from({ length: size }, (_, i) => mix(i, side, size));
  // Columns first, in double: a byte is rounded once, when both are done.
  const columns = new Float64Array(side * size * channels);
  for (let y = 0; y < side; y++) {
    const row = ((top + y) * width + left) * channels;
    mixes.forEach(({ from, weights }, x) => {
      for (let c = 0; c < channels; c++) {
        let sum = 0;
        for (let k = 0; k < weights.length; k++) {
          sum += weights[k] * data[row + (from + k) * channels + c];
        }
        columns[(y * size + x) * channels + c] = sum;
      }
    });
  }
  const result = new Uint8Array(size * size * channels);
  const rowLength = size * channels;
  mixes.forEach(({ from, weights }, y) => {
    for (let i = 0; i < rowLength; i++) {
      let sum = 0;
      for (let k = 0; k < weights.length; k++) {
        sum += weights[k] * columns[(from + k) * rowLength + i];
      }
      result[y * rowLength + i] = Math.round(sum);
    }
  });
  return { width: size, height: size, channels, data: result };
}

/** Pixel `i` of `size` that are made of `side`. */
function mix(i: number, side: number, size: number): Mix {
  const ratio = side / size;
  if (ratio >= 1) {
    const begin = i * ratio, end = Math.min(side, (i + 1) * ratio);
    const from = Math.floor(begin);
    const weights = Array.from({ length: Math.ceil(end) - from }, (_, k) => {
      const covered = Math.min(end, from + k + 1) - Math.max(begin, from + k);
      return covered / (end - begin);
    });
    return { from, weights };
  }
  // Beyond the outermost centres the edge goes on.
  const centre = Math.min(side - 1, Math.max(0, (i + 0.5) * ratio - 0.5));
  const from = Math.min(Math.max(0, side - 2), Math.floor(centre));
  const share = centre - from;
  return { from, weights: side === 1 ? [1] : [1 - share, share] };
}
