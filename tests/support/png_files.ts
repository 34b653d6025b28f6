import { deflateSync } from "node:zlib";
import { writePngChunks } from "../../src/data/png_chunks.ts";

/** What a test says of a PNG file. */
export interface PngParts {
  readonly width: number;
  readonly height: number;
  readonly depth: number;
  readonly colour: number;
  /** Rows with the byte of their filter in front, before compression. */
  readonly rows: readonly number[];
  readonly interlace?: number;
  readonly palette?: readonly number[];
  readonly transparency?: readonly number[];
  /** A chunk more, before the pixels. */
  readonly extra?: readonly [type: string, data: Uint8Array];
}

/** A PNG file made byte by byte from what the format says, not by the package that reads it. */
export function pngFile(parts: PngParts): Uint8Array<ArrayBuffer> {
  const { width, height, depth, colour, rows, interlace = 0, palette, transparency, extra } = parts;
  const header = new Uint8Array(13);
  new DataView(header.buffer).setUint32(0, width);
  new DataView(header.buffer).setUint32(4, height);
  header.set([depth, colour, 0, 0, interlace], 8);
  const optional = (type: string, data: readonly number[] | undefined) =>
    data === undefined ? [] : [{ type, data: Uint8Array.from(data) }];
  return writePngChunks([
    { type: "IHDR", data: header },
    ...optional("PLTE", palette),
    ...optional("tRNS", transparency),
    ...(extra === undefined ? [] : [{ type: extra[0], data: extra[1] }]),
    { type: "IDAT", data: new Uint8Array(deflateSync(Uint8Array.from(rows))) },
    { type: "IEND", data: new Uint8Array() },
  ]);
}
