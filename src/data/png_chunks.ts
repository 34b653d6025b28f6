/**
 * The frame of the PNG format: a signature, then chunks with a length, a type and a checksum.
 *
 * @module
 */
import { crc32 } from "node:zlib";
import { FormatError } from "../spec/format_error.ts";

/** The eight bytes that every PNG file begins with. */
export const PNG_SIGNATURE: readonly number[] = [137, 80, 78, 71, 13, 10, 26, 10];

/** One chunk. */
export interface PngChunk {
  /** Its four letters. */
  readonly type: string;
  /** Its content: a view. */
  readonly data: Uint8Array;
}

/**
 * The chunks of a PNG file up to and with IEND.
 *
 * @param file the file's name, for the messages.
 * @throws {FormatError} if it is no PNG file, is cut short, or a checksum is wrong.
 */
export function readPngChunks(bytes: Uint8Array, file: string): PngChunk[] {
  if (PNG_SIGNATURE.some((byte, i) => bytes[i] !== byte)) {
    const found = Array.from(bytes.subarray(0, 8), (b) => b.toString(16).padStart(2, "0"));
    throw new FormatError(
      `Expected a PNG file in ${file} but it begins with ${found.join(" ") || "nothing"}`,
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const chunks: PngChunk[] = [];
  for (let at = PNG_SIGNATURE.length; chunks.at(-1)?.type !== "IEND";) {
    const length = at + 12 <= bytes.length ? view.getUint32(at) : Infinity;
    if (at + 12 + length > bytes.length) {
      throw new FormatError(
        `Expected ${file} to go on to an IEND chunk but it ends within a chunk, ` +
          `after ${bytes.length} bytes`,
      );
    }
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (crc32(bytes.subarray(at + 4, at + 8 + length)) !== view.getUint32(at + 8 + length)) {
      throw new FormatError(
        `Expected the checksum of chunk ${chunks.length} of ${file} to be that of its content but ` +
          "it is not: the file is damaged",
      );
    }
    chunks.push({ type, data: bytes.subarray(at + 8, at + 8 + length) });
    at += 12 + length;
  }
  return chunks;
}

/** The bytes of a PNG file of `chunks`. */
export function writePngChunks(chunks: readonly PngChunk[]): Uint8Array<ArrayBuffer> {
  const size = chunks.reduce((sum, { data }) => sum + 12 + data.length, PNG_SIGNATURE.length);
  const file = new Uint8Array(size);
  const view = new DataView(file.buffer);
  file.set(PNG_SIGNATURE);
  let at = PNG_SIGNATURE.length;
  for (const { type, data } of chunks) {
    view.setUint32(at, data.length);
    for (let i = 0; i < 4; i++) file[at + 4 + i] = type.charCodeAt(i);
    file.set(data, at + 8);
    view.setUint32(at + 8 + data.length, crc32(file.subarray(at + 4, at + 8 + data.length)));
    at += 12 + data.length;
  }
  return file;
}
