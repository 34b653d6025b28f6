import { encode } from "fast-png";
import type { Picture } from "./image_grid.ts";

/** The bytes of a PNG file of a picture. */
export function encodePng(picture: Picture): Uint8Array {
  const { width, height, channels, data } = picture;
  return encode({ width, height, channels, depth: 8, data });
}
