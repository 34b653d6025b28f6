import { FormatError } from "../spec/format_error.ts";
import type { Picture } from "./image_grid.ts";
import { decodeJpeg } from "./jpeg.ts";
import { decodePng } from "./png.ts";
import { PNG_SIGNATURE } from "./png_chunks.ts";

/**
 * The picture in a PNG or JPEG file, which it is by how it begins and not by its name.
 *
 * @param file the file's name, for the messages.
 * @throws {FormatError} if it is neither, or {@linkcode decodePng} or {@linkcode decodeJpeg} refuses it.
 */
export function decodePicture(bytes: Uint8Array, file: string): Picture {
  if (bytes[0] === PNG_SIGNATURE[0] && bytes[1] === PNG_SIGNATURE[1]) return decodePng(bytes, file);
  if (bytes[0] === 0xff && bytes[1] === 0xd8) return decodeJpeg(bytes, file);
  const found = Array.from(bytes.subarray(0, 4), (byte) => byte.toString(16).padStart(2, "0"));
  throw new FormatError(
    `Expected a PNG or JPEG picture in ${file} but it begins with ${
      found.join(" ").toUpperCase() || "nothing"
    }`,
  );
}
