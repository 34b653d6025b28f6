import jpeg from "jpeg-js";
import { FormatError } from "../spec/format_error.ts";
import type { Picture } from "./image_grid.ts";
import { MAX_PIXELS } from "./png_header.ts";

/** Scans of a progressive file: encoders make about ten, and each costs a pass over the picture. */
const MAX_SCANS = 100;
/** Bytes beside those of the picture: tables, and the decoder's own. */
const SLACK = 2 ** 20;

/**
 * The picture in a JPEG file, baseline or progressive: grey if the file is, else red, green and blue.
 * It comes as it is stored: a rotation that its EXIF data ask for is not made.
 *
 * Before it is decoded, the size in its header is held to 32 Mi pixels and to what the bytes can hold,
 * one bit for each block of 64 values; the decoder gets these figures as its limits.
 *
 * @param file the file's name, for the messages.
 * @throws {FormatError} if it is no JPEG file, damaged, or larger than that.
 */
export function decodeJpeg(bytes: Uint8Array, file: string = "the JPEG file"): Picture {
  const frame = readFrame(bytes, file);
  checkFrame(frame, bytes, file);
  const { width, height, components } = frame;
  let decoded: { width: number; height: number; data: Uint8Array };
  try {
    decoded = jpeg.decode(bytes, {
      useTArray: true,
      formatAsRGBA: false,
      // Without it, a last restart interval that is not full is an error; broken files still are.
      tolerantDecoding: true,
      // Half a pixel more, because the decoder multiplies it out again.
      maxResolutionInMP: (width * height + 0.5) / 1e6,
      maxMemoryUsageInMB: memoryFor(frame) / 2 ** 20,
    });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new FormatError(
      `Expected a picture that can be read in ${file} but got: ${reason}`,
    );
  }
  if (decoded.width !== width || decoded.height !== height) {
    throw new FormatError(
      `Expected one picture in ${file}, ${width} by ${height}, but got ` +
        `${decoded.width} by ${decoded.height}`,
    );
  }
  if (components.length > 1) {
    return { width, height, channels: 3, data: Uint8Array.from(decoded.data) };
  }
  const grey = Uint8Array.from({ length: width * height }, (_, i) => decoded.data[3 * i]);
  return { width, height, channels: 1, data: grey };
}

interface Frame {
  readonly width: number;
  readonly height: number;
  readonly precision: number;
  /** How often each component is sampled, across and down, relative to the others. */
  readonly components: readonly { readonly h: number; readonly v: number }[];
}

/** Start of image, of a scan; end of image. */
const SOI = 0xd8, SOS = 0xda, EOI = 0xd9;
/** Starts of a frame that hold another kind of coding: lossless, arithmetic, hierarchical. */
const UNSUPPORTED = [0xc3, 0xc5, 0xc6, 0xc7, 0xc9, 0xca, 0xcb, 0xcd, 0xce, 0xcf];

/** The frame header: the markers before it have lengths, so nothing else is looked at. */
function readFrame(bytes: Uint8Array, file: string): Frame {
  if (bytes[0] !== 0xff || bytes[1] !== SOI) {
    throw new FormatError(`Expected a JPEG file in ${file} but it does not begin with FF D8`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 2; at + 4 <= bytes.length && bytes[at] === 0xff;) {
    const marker = bytes[at + 1];
    if (marker === 0xff) {
      at++;
      continue;
    }
    if (UNSUPPORTED.includes(marker)) {
      throw new FormatError(
        `Expected a baseline or progressive JPEG in ${file} but got the frame marker ` +
          `FF ${marker.toString(16).toUpperCase()}`,
      );
    }
    if (marker === SOS || marker === EOI) break;
    const length = view.getUint16(at + 2);
    if (marker >= 0xc0 && marker <= 0xc2) {
      const segment = bytes.subarray(at + 4, at + 2 + length);
      if (length >= 8 && segment.length === length - 2) return frameOf(segment);
      break;
    }
    at += 2 + length;
  }
  throw new FormatError(
    `Expected a frame header in the JPEG file ${file} but got none in its ${bytes.length} bytes`,
  );
}

function frameOf(segment: Uint8Array): Frame {
  const listed = segment.subarray(6, 6 + 3 * segment[5]);
  return {
    precision: segment[0],
    height: 256 * segment[1] + segment[2],
    width: 256 * segment[3] + segment[4],
    components: Array.from({ length: Math.floor(listed.length / 3) }, (_, i) => ({
      h: listed[3 * i + 1] >> 4,
      v: listed[3 * i + 1] & 15,
    })),
  };
}

function checkFrame(frame: Frame, bytes: Uint8Array, file: string): void {
  const { width, height, precision, components } = frame;
  const count = components.length;
  const sampled = components.every(({ h, v }) => h >= 1 && h <= 4 && v >= 1 && v <= 4);
  if (precision !== 8 || ![1, 3, 4].includes(count) || !sampled) {
    throw new FormatError(
      `Expected 1, 3 or 4 components of 8 bits in ${file}, each sampled 1 to 4 times, but got ` +
        `${count} of ${precision} bits`,
    );
  }
  // The finest component has a block for every 8 by 8 pixels, or for every second of them where one
  // component is finest across and another down.
  const held = 8 * bytes.length * 64 * 2;
  if (width * height < 1 || width * height > Math.min(MAX_PIXELS, held)) {
    throw new FormatError(
      `Expected 1 to ${
        Math.min(MAX_PIXELS, held)
      } pixels in the ${bytes.length} bytes of ${file} ` +
        `but its header says ${width} by ${height}`,
    );
  }
  let scans = 0;
  for (let at = bytes.indexOf(0xff); at >= 0; at = bytes.indexOf(0xff, at + 1)) {
    if (bytes[at + 1] === SOS) scans++;
  }
  if (scans > MAX_SCANS) {
    throw new FormatError(`Expected at most ${MAX_SCANS} scans in ${file} but got ${scans}`);
  }
}

/** What the decoder asks for: four bytes for each coefficient, one for each sample, and the result. */
function memoryFor({ width, height, components }: Frame): number {
  const across = Math.max(...components.map(({ h }) => h));
  const down = Math.max(...components.map(({ v }) => v));
  const units = Math.ceil(width / (8 * across)) * Math.ceil(height / (8 * down));
  const blocks = components.reduce((sum, { h, v }) => sum + units * h * v, 0);
  return 5 * 64 * blocks + (components.length + 3) * width * height + SLACK;
}
