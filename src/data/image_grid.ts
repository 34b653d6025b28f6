import { ArgumentError, checkInteger } from "../math/errors.ts";
import { checkRank, type Tensor } from "../math/tensor.ts";
import { unscaleByte } from "./pixels.ts";

/** A picture as bytes, row by row, the channels of a pixel together. */
export interface Picture {
  /** Pixels per row. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
  /** 1 for grey, 3 for red, green and blue. */
  readonly channels: 1 | 3;
  /** `height · width · channels` bytes. */
  readonly data: Uint8Array<ArrayBuffer>;
}

/** How images are laid out in a grid. */
export interface GridOptions {
  /** Images per row. Default: ⌈√N⌉. */
  readonly columns?: number;
  /** Width in pixels of the lines between images and around them. Default 2. */
  readonly padding?: number;
  /** Every value becomes a square of so many pixels. Default 1. */
  readonly zoom?: number;
}

/** A dark grey that neither black nor white images run into. */
const LINE = 64;

/**
 * The images of a batch side by side, row by row.
 *
 * @param images shape `[N, C, H, W]` with C = 1 or 3, values in [−1, 1] (others are clipped).
 * @throws {ArgumentError} if there is no image, or the channels or options are out of range.
 */
export function imageGrid(images: Tensor, options: GridOptions = {}): Picture {
  checkRank("images", images, "N, C, H, W");
  const [N, C, H, W] = images.shape;
  if (C !== 1 && C !== 3) {
    throw new ArgumentError(`Expected images with 1 or 3 channels but got shape [${images.shape}]`);
  }
  checkInteger("number of images", N, 1, 2 ** 20);
  const columns = checkInteger("columns", options.columns ?? Math.ceil(Math.sqrt(N)), 1, 2 ** 20);
  const padding = checkInteger("padding", options.padding ?? 2, 0, 1024);
  const zoom = checkInteger("zoom", options.zoom ?? 1, 1, 1024);
  const stepX = zoom * W + padding, stepY = zoom * H + padding;
  const width = padding + Math.min(columns, N) * stepX;
  const height = padding + Math.ceil(N / columns) * stepY;
  const data = new Uint8Array(width * height * C).fill(LINE);
  for (let n = 0; n < N; n++) {
    const left = padding + (n % columns) * stepX;
    const top = padding + Math.floor(n / columns) * stepY;
    for (let c = 0; c < C; c++) {
      for (let y = 0; y < zoom * H; y++) {
        for (let x = 0; x < zoom * W; x++) {
          const h = Math.floor(y / zoom), w = Math.floor(x / zoom);
          const value = images.data[((n * C + c) * H + h) * W + w];
          data[((top + y) * width + left + x) * C + c] = unscaleByte(value);
        }
      }
    }
  }
  return { width, height, channels: C, data };
}
