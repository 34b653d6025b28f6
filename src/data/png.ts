import { decode, type DecodedPng, encode } from "fast-png";
import { inflateSync } from "node:zlib";
import { FormatError } from "../spec/format_error.ts";
import type { Picture } from "./image_grid.ts";
import { checkInflatedSize, inflateExactly } from "./inflate.ts";
import { type PngChunk, readPngChunks, writePngChunks } from "./png_chunks.ts";
import {
  checkPngColours,
  PNG_COLOURS,
  PNG_PALETTE,
  type PngHeader,
  pngRawSize,
  readPngHeader,
} from "./png_header.ts";

/** The bytes of a PNG file of a picture. */
export function encodePng(picture: Picture): Uint8Array {
  const { width, height, channels, data } = picture;
  return encode({ width, height, channels, depth: 8, data });
}

/**
 * The picture in a PNG file: grey if the file is, else red, green and blue. Every depth and palette
 * becomes bytes, 255 for the brightest; what is transparent is laid over white. Of an animation it is
 * the first frame.
 *
 * Before anything is made for it, the size in the header is held to {@linkcode MAX_PIXELS} and to
 * what the compressed bytes can hold; text and colour profiles are left out.
 *
 * @param file the file's name, for the messages.
 * @throws {FormatError} if it is no PNG file, damaged, larger than that, or interlaced with less than
 * 8 bits per sample.
 */
export function decodePng(bytes: Uint8Array, file: string = "the PNG file"): Picture {
  const chunks = readPngChunks(bytes, file);
  const header = readPngHeader(chunks[0], file);
  checkPngColours(chunks, header, file);
  const packed = joined(chunks.filter(({ type }) => type === "IDAT"));
  const size = pngRawSize(header);
  checkInflatedSize(size, packed.length, `pixels of ${file}`);
  inflateExactly(inflateSync, packed, size, file);
  // A transparent colour is looked up here: the package refuses it where pixels are few.
  const needs = header.colour === PNG_PALETTE ? ["IHDR", "PLTE", "tRNS"] : ["IHDR"];
  const needed = [
    ...chunks.filter(({ type }) => needs.includes(type)),
    { type: "IDAT", data: packed },
    { type: "IEND", data: new Uint8Array() },
  ];
  let decoded: DecodedPng;
  try {
    decoded = decode(writePngChunks(needed));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new FormatError(`Expected a picture that can be read in ${file} but got: ${reason}`);
  }
  return overWhite(header, samplesOf(decoded, header, transparentColour(chunks), file));
}

/** A picture as values from 0 to 1, asked for one by one; `c` = `channels` is the opacity. */
interface Samples {
  readonly channels: 1 | 3;
  readonly sample: (pixel: number, c: number) => number;
}

function samplesOf(
  decoded: DecodedPng,
  { width, depth, colour }: PngHeader,
  key: readonly number[] | null,
  file: string,
): Samples {
  const { data, palette = [] } = decoded;
  const { samples } = PNG_COLOURS[colour];
  const top = 2 ** depth - 1;
  const rowBytes = Math.ceil(width * depth / 8);
  const raw = (pixel: number, c: number): number => {
    if (depth >= 8) return data[pixel * samples + c];
    const x = pixel % width, bit = x * depth;
    const byte = data[Math.floor(pixel / width) * rowBytes + (bit >> 3)];
    return byte >> (8 - depth - (bit & 7)) & top;
  };
  if (colour === PNG_PALETTE) {
    return {
      channels: 3,
      sample: (pixel: number, c: number) => {
        const entry = palette.at(raw(pixel, 0));
        if (entry === undefined) {
          throw new FormatError(
            `Expected colours of a palette of ${palette.length} in ${file} but got number ` +
              `${raw(pixel, 0)}`,
          );
        }
        return (entry.at(c) ?? 255) / 255;
      },
    };
  }
  const channels = samples < 3 ? 1 : 3;
  const isKey = (pixel: number) => key !== null && key.every((value, c) => raw(pixel, c) === value);
  return {
    channels,
    sample: (pixel: number, c: number) => {
      if (c < samples) return raw(pixel, c) / top;
      return isKey(pixel) ? 0 : 1;
    },
  };
}

/** The samples of the one colour that is transparent, two bytes for each. */
function transparentColour(chunks: readonly PngChunk[]): number[] | null {
  const data = chunks.find(({ type }) => type === "tRNS")?.data;
  if (data === undefined) return null;
  return Array.from({ length: data.length >> 1 }, (_, c) => 256 * data[2 * c] + data[2 * c + 1]);
}

function joined(chunks: readonly PngChunk[]): Uint8Array {
  const all = new Uint8Array(chunks.reduce((sum, { data }) => sum + data.length, 0));
  let at = 0;
  for (const { data } of chunks) {
    all.set(data, at);
    at += data.length;
  }
  return all;
}

/** The picture as bytes, laid over white where it is transparent: a sheet of paper, not a hole. */
function overWhite({ width, height }: PngHeader, { channels, sample }: Samples): Picture {
  const data = new Uint8Array(width * height * channels);
  for (let pixel = 0; pixel < width * height; pixel++) {
    const opacity = sample(pixel, channels);
    for (let c = 0; c < channels; c++) {
      const value = opacity * sample(pixel, c) + 1 - opacity;
      data[pixel * channels + c] = Math.round(255 * value);
    }
  }
  return { width, height, channels, data };
}
