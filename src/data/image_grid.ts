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

/** Pictures of one size, one after the other. */
export interface Pictures {
  /** How many there are, then their size. */
  readonly shape: readonly [N: number, H: number, W: number, C: 1 | 3];
  /** `N · H · W · C` bytes. */
  readonly data: Uint8Array<ArrayBuffer>;
}

/** How images are laid out in a grid. */
export interface GridOptions {
  /** Images per row; image n is in row ⌊n/columns⌋. Default: ⌈√N⌉. */
  readonly columns?: number;
  /** Rows that are filled in turn, in place of `columns`: image n is in row (first + n) mod rows. */
  readonly rows?: number;
  /** Number of the first image, where rows are filled in turn; it decides the row that it is in. Default 0. */
  readonly first?: number;
  /** Width in pixels of the lines between images and around them. Default 2. */
  readonly padding?: number;
  /** Every value becomes a square of so many pixels. Default 1. */
  readonly zoom?: number;
}

/** A dark grey that neither black nor white images run into. */
const LINE = 64;

/**
 * Images as bytes, each value the nearest one of 0..255.
 *
 * @param images shape `[N, C, H, W]` with C = 1 or 3, values in [−1, 1] (others are clipped).
 * @throws {ArgumentError} if the shape is another or a value is not a number.
 */
export function picturesOf(images: Tensor): Pictures {
  checkRank("images", images, "N, C, H, W");
  const [N, C, H, W] = images.shape;
  if (C !== 1 && C !== 3) {
    throw new ArgumentError(`Expected images with 1 or 3 channels but got shape [${images.shape}]`);
  }
  const data = new Uint8Array(N * H * W * C), plane = H * W;
  for (let n = 0; n < N; n++) {
    for (let c = 0; c < C; c++) {
      const from = (n * C + c) * plane, to = n * C * plane + c;
      for (let i = 0; i < plane; i++) data[to + i * C] = unscaleByte(images.data[from + i]);
    }
  }
  return { shape: [N, H, W, C], data };
}

/** Picture n of several. */
export function pictureAt(
  { shape: [, height, width, channels], data }: Pictures,
  n: number,
): Picture {
  const size = height * width * channels;
  return { width, height, channels, data: data.slice(n * size, (n + 1) * size) };
}

/**
 * The images of a batch side by side.
 *
 * @param images as for {@linkcode picturesOf}.
 * @throws {ArgumentError} if there is no image, or the channels or options are out of range.
 */
export function imageGrid(images: Tensor, options: GridOptions = {}): Picture {
  return pictureGrid(picturesOf(images), options);
}

/**
 * Pictures side by side: row by row, or column by column if `rows` is given.
 *
 * @throws {ArgumentError} if there is none, or the options are out of range.
 */
export function pictureGrid({ shape, data }: Pictures, options: GridOptions = {}): Picture {
  const [N, H, W, C] = shape;
  const { rows, columns, place } = layout(N, options);
  const padding = checkInteger("padding", options.padding ?? 2, 0, 1024);
  const zoom = checkInteger("zoom", options.zoom ?? 1, 1, 1024);
  const stepX = zoom * W + padding, stepY = zoom * H + padding;
  const width = padding + columns * stepX, height = padding + rows * stepY;
  const grid = new Uint8Array(width * height * C).fill(LINE);
  for (let n = 0; n < N; n++) {
    const [row, column] = place(n);
    const left = padding + column * stepX, top = padding + row * stepY;
    for (let y = 0; y < zoom * H; y++) {
      for (let x = 0; x < zoom * W; x++) {
        const from = ((n * H + Math.floor(y / zoom)) * W + Math.floor(x / zoom)) * C;
        const to = ((top + y) * width + left + x) * C;
        for (let c = 0; c < C; c++) grid[to + c] = data[from + c];
      }
    }
  }
  return { width, height, channels: C, data: grid };
}

/** A grid's size, and the place of image n. */
interface Layout {
  readonly rows: number;
  readonly columns: number;
  readonly place: (n: number) => readonly [row: number, column: number];
}

function layout(N: number, { rows, columns, first = 0 }: GridOptions): Layout {
  checkInteger("number of images", N, 1, 2 ** 20);
  if (rows === undefined) {
    const perRow = checkInteger("columns", columns ?? Math.ceil(Math.sqrt(N)), 1, 2 ** 20);
    return {
      rows: Math.ceil(N / perRow),
      columns: Math.min(perRow, N),
      place: (n) => [Math.floor(n / perRow), n % perRow],
    };
  }
  if (columns !== undefined) throw new ArgumentError("Expected rows or columns but got both");
  checkInteger("rows", rows, 1, 2 ** 20);
  checkInteger("first", first, 0, Number.MAX_SAFE_INTEGER - N);
  const start = Math.floor(first / rows);
  return {
    rows,
    columns: Math.floor((first + N - 1) / rows) - start + 1,
    place: (n) => [(first + n) % rows, Math.floor((first + n) / rows) - start],
  };
}
