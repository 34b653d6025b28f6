/**
 * The readers of files, each with small valid files and with damage that is its format's own: behind
 * a checksum, a compression or a length that would otherwise stop most of it at the door.
 *
 * @module
 */
import { deflateRawSync, deflateSync, gzipSync, inflateSync } from "node:zlib";
import { encodeApng } from "../../src/data/apng.ts";
import { cifar10From } from "../../src/data/cifar10.ts";
import { decodePicture } from "../../src/data/decode_picture.ts";
import { gunzipIdx } from "../../src/data/gunzip_idx.ts";
import { decodeJpeg } from "../../src/data/jpeg.ts";
import { mnistFrom } from "../../src/data/mnist.ts";
import { encodeNpy } from "../../src/data/npy.ts";
import { decodeNpz, encodeNpz } from "../../src/data/npz.ts";
import { decodePng, encodePng } from "../../src/data/png.ts";
import { type PngChunk, readPngChunks, writePngChunks } from "../../src/data/png_chunks.ts";
import { encodeZip, type ZipMember } from "../../src/data/zip.ts";
import { tensor } from "../../src/math/tensor.ts";
import { decodeCheckpoint, encodeCheckpoint } from "../../src/spec/checkpoint.ts";
import { decodeSafetensors, encodeSafetensors, storedTensor } from "../../src/spec/safetensors.ts";
import { DDPM_SCHEDULE } from "../../src/spec/schedule_config.ts";
import {
  unetConfig,
  unetConfigFromDiffusers,
  unetConfigToDiffusers,
} from "../../src/spec/unet_config.ts";
import { initialParameters } from "../../src/spec/unet_parameters.ts";
import { type Draws, joined, mutated, mutatedJson } from "./fuzz.ts";
import { idxFile } from "./idx_files.ts";
import { JPEG_FILES } from "./jpeg_files.ts";
import { pngFile } from "./png_files.ts";

/** A reader under test. */
export interface FuzzTarget {
  readonly name: string;
  /** Valid files. */
  readonly files: readonly Uint8Array[];
  /** Damage that knows the format. */
  readonly damage: (file: Uint8Array, draws: Draws) => Uint8Array;
  /** Reads a file: gives anything, or throws. */
  readonly read: (bytes: Uint8Array) => unknown;
  /** The bytes of memory that a reader may ask for, for each byte of the file; see the reader. */
  readonly perByte: number;
}

const text = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

const small = unetConfig({
  inChannels: 1,
  outChannels: 1,
  downBlockTypes: ["DownBlock2D"],
  upBlockTypes: ["UpBlock2D"],
  blockOutChannels: [4],
  layersPerBlock: 1,
  normNumGroups: 2,
  attentionHeadDim: null,
});

const TENSORS = new Map([
  ["a", tensor([2, 3], [1, 2, 3, 4, 5, 6])],
  ["b.weight", tensor([], [7])],
  ["c", tensor([0, 4], [])],
]);

/** Damages the JSON header of a safetensors file, or texts of its metadata, and keeps its length right. */
function damagedHeader(file: Uint8Array, draws: Draws): Uint8Array {
  const length = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  const header: Record<string, unknown> = JSON.parse(
    new TextDecoder().decode(file.subarray(8, 8 + length)),
  );
  const metadata = header.__metadata__ as Record<string, string> | undefined;
  let changed: unknown;
  if (metadata !== undefined && draws.below(2) === 0) {
    // The config is where most can go wrong.
    const config = "unet" in metadata ? ["unet", "unet", "unet"] : [];
    const key = draws.oneOf([...Object.keys(metadata), ...config]);
    const inner = key === "format" ? metadata[key] : mutatedJson(JSON.parse(metadata[key]), draws);
    const value = draws.below(4) === 0
      ? new TextDecoder().decode(mutated(new TextEncoder().encode(metadata[key]), draws, []))
      : JSON.stringify(inner);
    changed = { ...header, __metadata__: { ...metadata, [key]: value } };
  } else {
    changed = mutatedJson(header, draws);
  }
  const json = text(changed);
  const prefix = new Uint8Array(8);
  new DataView(prefix.buffer).setBigUint64(0, BigInt(json.length), true);
  return joined(prefix, json, file.subarray(8 + length));
}

/** Damages, swaps, repeats or drops segments of a JPEG file before its picture, or what comes after. */
function damagedSegments(file: Uint8Array, draws: Draws): Uint8Array {
  const segments: Uint8Array[] = [];
  let at = 2;
  while (file[at + 1] !== 0xda) {
    const end = at + 2 + 256 * file[at + 2] + file[at + 3];
    segments.push(file.subarray(at, end));
    at = end;
  }
  const frame = segments.findIndex(([, marker]) => marker >= 0xc0 && marker <= 0xc2);
  const chosen = draws.below(2) === 0 ? frame : draws.below(segments.length);
  const how = draws.below(6);
  if (how === 0) segments.splice(chosen, 1);
  if (how === 1) segments.splice(chosen, 0, segments[chosen]);
  if (how === 2) segments.splice(draws.below(segments.length), 0, ...segments.splice(chosen, 1));
  if (how === 3) segments[chosen] = mutated(segments[chosen], draws, segments);
  if (how === 4) {
    const copy = segments[chosen].slice();
    copy[4 + draws.below(copy.length - 4)] = draws.oneOf([0, 1, 2, 0x11, 0x14, 0x41, 64, 128, 255]);
    segments[chosen] = copy;
  }
  const rest = file.subarray(at);
  const picture = how === 5 ? mutated(rest, draws, [rest]) : rest;
  return joined(file.subarray(0, 2), ...segments, picture);
}

/** Damages, swaps, repeats or drops chunks of a PNG file, or its pixels before compression. */
function damagedChunks(file: Uint8Array, draws: Draws): Uint8Array {
  const chunks: PngChunk[] = readPngChunks(file, "valid");
  const pixels = chunks.findIndex(({ type }) => type === "IDAT");
  const at = draws.below(3) === 0 ? pixels : draws.below(chunks.length);
  const { type, data } = chunks[at];
  const how = draws.below(6);
  if (how === 0) chunks.splice(at, 1);
  if (how === 1) chunks.splice(at, 0, ...new Array<PngChunk>(1 + draws.below(3)).fill(chunks[at]));
  if (how === 2) chunks.splice(draws.below(chunks.length), 0, ...chunks.splice(at, 1));
  if (how === 3) {
    const types = ["IHDR", "PLTE", "tRNS", "IDAT", "IEND", "iCCP", "tEXt", "fdAT"];
    chunks[at] = { type: draws.oneOf(types), data };
  }
  if (how === 4) chunks[at] = { type, data: mutated(data, draws, chunks.map((c) => c.data)) };
  if (how === 5 && type === "IDAT") {
    // As long as they were, so that rows, filters and palette numbers are looked at.
    const rows = new Uint8Array(inflateSync(data));
    for (let i = 1 + draws.below(4); i > 0; i--) {
      rows[draws.below(rows.length)] = draws.oneOf([0, 1, 2, 3, 4, 5, 127, 255]);
    }
    chunks[at] = { type, data: new Uint8Array(deflateSync(rows)) };
  }
  return writePngChunks(chunks);
}

/** Damages the `.npy` file in an archive, which has checksums, or packs something else. */
function damagedArchive(file: Uint8Array, draws: Draws): Uint8Array {
  const npy = [...decodeNpz(file).values()].map(encodeNpy);
  const members: ZipMember[] = npy.map((bytes, i) => ({ name: `arr_${i}.npy`, bytes }));
  const at = draws.below(members.length);
  members[at] = { ...members[at], bytes: mutated(members[at].bytes, draws, npy) };
  const archive = encodeZip(members);
  if (draws.below(2) === 0) return archive;
  // Says that the first member is deflated, as it then may be.
  const packed = new Uint8Array(deflateRawSync(members[0].bytes));
  const one = encodeZip([{ name: "arr_0.npy", bytes: packed }]);
  const view = new DataView(one.buffer);
  const entry = one.length - 22 - 46 - "arr_0.npy".length;
  view.setUint16(8, 8, true);
  view.setUint16(entry + 10, 8, true);
  view.setUint32(entry + 24, draws.oneOf([members[0].bytes.length, 0, 2 ** 31, 10_000]), true);
  return one;
}

const PIXELS = Array.from({ length: 24 }, (_, i) => 10 * i);
const PNGS = [
  encodePng({ width: 4, height: 2, channels: 3, data: Uint8Array.from(PIXELS) }),
  encodeApng([{ width: 6, height: 4, channels: 1, data: Uint8Array.from(PIXELS) }], 10),
  pngFile({
    ...{ width: 4, height: 2, depth: 4, colour: 3, rows: [0, 0x12, 0x01, 1, 0x10, 0x02] },
    ...{ palette: [9, 8, 7, 6, 5, 4, 3, 2, 1], transparency: [1, 2] },
  }),
  pngFile({ width: 2, height: 1, depth: 16, colour: 4, rows: [4, 1, 2, 3, 4, 5, 6, 7, 8] }),
  pngFile({
    ...{ width: 2, height: 2, depth: 8, colour: 0, interlace: 1, rows: [0, 1, 2, 2, 3, 3, 4] },
    ...{ transparency: [0, 2] },
  }),
];
const JPEGS = JPEG_FILES.map(({ jpeg }) => Uint8Array.fromBase64(jpeg));
const IDX = idxFile([3, 2, 2], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
const NPZ = encodeNpz([
  { name: "arr_0", array: { shape: [2, 2, 2, 3], data: Uint8Array.from(PIXELS) } },
  { name: "arr_1", array: { shape: [2], data: BigInt64Array.of(3n, 4n) } },
]);
const cifar = (...labels: number[]) =>
  Uint8Array.from(labels.flatMap((label) => [label, ...new Array<number>(3072).fill(label)]));

/** Deflate makes at most 1,032 bytes of one, and a picture is held as bytes, doubled while it grows. */
const INFLATED = 4 * 1032;

export const FUZZ_TARGETS: readonly FuzzTarget[] = [
  {
    name: "safetensors",
    files: [
      encodeSafetensors(TENSORS, { metadata: new Map([["k", "1"]]) }),
      encodeSafetensors(TENSORS, { dtype: "F16" }),
    ],
    damage: damagedHeader,
    read: (bytes) => [...decodeSafetensors(bytes).tensors.values()].map(storedTensor),
    // A byte may become a double, and then a float; JSON costs an object for every few bytes.
    perByte: 64,
  },
  {
    name: "checkpoint",
    files: [encodeCheckpoint({
      ...{ unet: small, schedule: DDPM_SCHEDULE, step: 1, seed: 2, train: { lr: 1 } },
      ema: initialParameters(small, 1),
    })],
    damage: damagedHeader,
    read: decodeCheckpoint,
    perByte: 64,
  },
  {
    name: "U-Net config",
    files: [text(unetConfigToDiffusers(small)), text({ _class_name: "UNet2DModel" })],
    damage: (file, draws) => text(mutatedJson(JSON.parse(new TextDecoder().decode(file)), draws)),
    read: (bytes) => {
      const json = parsed(bytes);
      return json === undefined ? null : unetConfigFromDiffusers(json);
    },
    perByte: 64,
  },
  { name: "PNG", files: PNGS, damage: damagedChunks, read: decodePng, perByte: INFLATED },
  {
    name: "JPEG",
    files: JPEGS,
    damage: damagedSegments,
    read: decodeJpeg,
    // Eight blocks of 64 coefficients of 4 bytes to a byte, in 3 components, and each an object.
    perByte: 2 ** 14,
  },
  {
    name: "picture of either kind",
    files: [...PNGS, ...JPEGS],
    damage: (file, draws) => mutated(file, draws, [...PNGS, ...JPEGS]),
    read: (bytes) => decodePicture(bytes, "x"),
    perByte: 2 ** 14,
  },
  {
    name: "IDX",
    files: [IDX],
    damage: (file, draws) => mutated(file, draws, [idxFile([3], [1, 2, 3])]),
    read: (bytes) => mnistFrom(bytes, idxFile([3], [1, 2, 3]), "x"),
    perByte: 8,
  },
  {
    name: "compressed IDX",
    files: [
      new Uint8Array(gzipSync(IDX)),
      new Uint8Array(gzipSync(idxFile([1, 64, 64], zeros(4096)))),
    ],
    damage: (_, draws) => new Uint8Array(gzipSync(mutated(IDX, draws, []))),
    read: (bytes) => gunzipIdx(bytes, 3, "x"),
    perByte: INFLATED,
  },
  {
    name: "CIFAR-10",
    files: [cifar(0, 9), cifar(3)],
    damage: (file, draws) => joined(file, cifar(draws.below(12)), file.subarray(draws.below(2))),
    read: (bytes) => cifar10From([{ bytes, file: "x" }]),
    perByte: 8,
  },
  {
    name: "npz",
    files: [NPZ],
    damage: damagedArchive,
    read: (b) => decodeNpz(b),
    perByte: INFLATED,
  },
];

function zeros(n: number): number[] {
  return new Array(n).fill(0);
}

/** The JSON value in some bytes, or undefined: that they are none is not this reader's to say. */
function parsed(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
}
