/**
 * What a PNG file claims of its picture, held to what is supported and to what its bytes can hold.
 *
 * @module
 */
import { FormatError } from "../spec/format_error.ts";
import type { PngChunk } from "./png_chunks.ts";

/** The most pixels that a picture file may have: 32 Mi, so that a header alone costs no memory. */
export const MAX_PIXELS = 2 ** 25;

/** Samples per pixel and allowed bits per sample of each colour type. */
export const PNG_COLOURS: Readonly<Record<number, { samples: number; depths: readonly number[] }>> =
  {
    0: { samples: 1, depths: [1, 2, 4, 8, 16] },
    2: { samples: 3, depths: [8, 16] },
    3: { samples: 1, depths: [1, 2, 4, 8] },
    4: { samples: 2, depths: [8, 16] },
    6: { samples: 4, depths: [8, 16] },
  };
/** The colour type whose samples are numbers of a palette. */
export const PNG_PALETTE = 3;

/** Passes of an interlaced picture: first column and row, and the steps from there. */
const ADAM7: readonly (readonly [x: number, y: number, dx: number, dy: number])[] = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
];

/** What the first chunk of a PNG file says of the picture. */
export interface PngHeader {
  /** Pixels per row. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
  /** Bits per sample. */
  readonly depth: number;
  /** Colour type: a key of {@linkcode PNG_PNG_COLOURS}. */
  readonly colour: number;
  /** Whether rows come in the seven passes of Adam7. */
  readonly interlaced: boolean;
}

/**
 * Reads the header.
 *
 * @throws {FormatError} if it is none, its size is beyond {@linkcode MAX_PIXELS}, or its kind of
 * picture is not supported.
 */
export function readPngHeader({ type, data }: PngChunk, file: string): PngHeader {
  if (type !== "IHDR" || data.length !== 13) {
    throw new FormatError(
      `Expected an IHDR chunk of 13 bytes first in ${file} but got ${type} of ` +
        `${data.length}`,
    );
  }
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const width = view.getUint32(0), height = view.getUint32(4);
  const [depth, colour, compression, filter, interlace] = data.subarray(8);
  if (width * height < 1 || width * height > MAX_PIXELS) {
    throw new FormatError(
      `Expected 1 to ${MAX_PIXELS} pixels in ${file} but its header says ${width} by ${height}`,
    );
  }
  const known = Object.hasOwn(PNG_COLOURS, colour) && PNG_COLOURS[colour].depths.includes(depth) &&
    compression === 0 && filter === 0 && interlace <= 1;
  // The package that decodes takes such rows for rows of whole bytes.
  if (!known || (interlace === 1 && depth < 8)) {
    throw new FormatError(
      `Expected a kind of PNG that is supported in ${file} but got colour type ${colour} with ` +
        `${depth} bits, compression ${compression}, filter ${filter}, interlacing ${interlace}`,
    );
  }
  return { width, height, depth, colour, interlaced: interlace === 1 };
}

/**
 * Holds the palette and the transparent colour to what the colour type allows.
 *
 * @throws {FormatError} otherwise.
 */
export function checkPngColours(
  chunks: readonly PngChunk[],
  { colour }: PngHeader,
  file: string,
): void {
  const count = (type: string) => chunks.filter((chunk) => chunk.type === type);
  const [headers, palettes, transparent] = ["IHDR", "PLTE", "tRNS"].map(count);
  const palette = palettes.at(0)?.data.length ?? 0;
  const alpha = transparent.at(0)?.data.length;
  const expected: readonly unknown[] = { 0: [2], 2: [6], 3: upTo(palette / 3) }[colour] ?? [];
  const valid = headers.length === 1 && palettes.length <= 1 && transparent.length <= 1 &&
    palette % 3 === 0 && palette <= 3 * 256 && (colour !== PNG_PALETTE || palette > 0) &&
    (alpha === undefined || expected.includes(alpha));
  if (!valid) {
    throw new FormatError(
      `Expected one header and a palette and transparency that fit it in ${file} but got ` +
        `${headers.length}, ${palette} bytes of PLTE and ${
          alpha ?? 0
        } of tRNS for colour type ${colour}`,
    );
  }
}

function upTo(n: number): number[] {
  return Array.from({ length: Math.min(256, n) }, (_, i) => i + 1);
}

/** The length of all rows, each with the byte in front that names its filter. */
export function pngRawSize({ width, height, depth, colour, interlaced }: PngHeader): number {
  const rows = (w: number, h: number) =>
    w === 0 ? 0 : h * (1 + Math.ceil(w * PNG_COLOURS[colour].samples * depth / 8));
  if (!interlaced) return rows(width, height);
  return ADAM7.reduce(
    (sum, [x, y, dx, dy]) => sum + rows(Math.ceil((width - x) / dx), Math.ceil((height - y) / dy)),
    0,
  );
}
