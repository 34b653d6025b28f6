import { checkInteger, unexpected } from "../math/errors.ts";
import type { Picture } from "./image_grid.ts";
import { encodePng } from "./png.ts";
import { type PngChunk, readPngChunks, writePngChunks } from "./png_chunks.ts";

/**
 * The bytes of an animated PNG that plays `frames` over and over. A viewer that knows no animation
 * shows the first frame (PNG specification, third edition, section 4.9).
 *
 * @param frames at least one, all of one size and colour.
 * @param delayMs how long each frame stays, in milliseconds.
 * @throws {ArgumentError} if there is no frame, two differ in size, or the delay is out of range.
 */
export function encodeApng(frames: readonly Picture[], delayMs: number): Uint8Array<ArrayBuffer> {
  checkInteger("number of frames", frames.length, 1, 2 ** 20);
  checkInteger("delay in milliseconds", delayMs, 1, 0xffff);
  const [{ width, height, channels }] = frames;
  const chunks: PngChunk[] = [];
  let sequence = 0;
  frames.forEach((frame, i) => {
    if (frame.width !== width || frame.height !== height || frame.channels !== channels) {
      unexpected(
        `every frame to be ${width} by ${height} with ${channels} channels`,
        [frame.width, frame.height, frame.channels],
      );
    }
    const encoded = readPngChunks(encodePng(frame), `frame ${i}`);
    if (i === 0) chunks.push(encoded[0], animationControl(frames.length));
    chunks.push(frameControl(sequence++, width, height, delayMs));
    for (const { type, data } of encoded) {
      if (type !== "IDAT") continue;
      chunks.push(i === 0 ? { type, data } : frameData(sequence++, data));
    }
  });
  return writePngChunks([...chunks, { type: "IEND", data: new Uint8Array() }]);
}

/** How many frames there are, and that they play without end. */
function animationControl(frames: number): PngChunk {
  const data = new Uint8Array(8);
  new DataView(data.buffer).setUint32(0, frames);
  return { type: "acTL", data };
}

/** A frame that replaces the whole picture. */
function frameControl(sequence: number, width: number, height: number, delayMs: number): PngChunk {
  const data = new Uint8Array(26);
  const view = new DataView(data.buffer);
  [sequence, width, height].forEach((value, i) => view.setUint32(4 * i, value));
  view.setUint16(20, delayMs);
  view.setUint16(22, 1000);
  return { type: "fcTL", data };
}

function frameData(sequence: number, pixels: Uint8Array): PngChunk {
  const data = new Uint8Array(4 + pixels.length);
  new DataView(data.buffer).setUint32(0, sequence);
  data.set(pixels, 4);
  return { type: "fdAT", data };
}
