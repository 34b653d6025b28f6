/**
 * Safetensors files of any number format, built without the codec under test, and small models.
 *
 * @module
 */
import { type Checkpoint, encodeCheckpoint } from "../../src/spec/checkpoint.ts";
import { DDPM_SCHEDULE } from "../../src/spec/schedule_config.ts";
import { type UNetConfig, unetConfig } from "../../src/spec/unet_config.ts";
import { initialParameters } from "../../src/spec/unet_parameters.ts";

/** A tensor to write. */
export interface Entry {
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
  readonly dtype?: "F64" | "F32" | "F16" | "BF16" | "I64";
}

const WIDTH = { F64: 8, F32: 4, F16: 2, BF16: 2, I64: 8 } as const;

/** The bytes of a safetensors file. */
export function safetensorsFile(
  entries: Iterable<readonly [name: string, entry: Entry]>,
): Uint8Array<ArrayBuffer> {
  const header: Record<string, unknown> = {};
  const list = [...entries];
  let end = 0;
  for (const [name, { shape, data, dtype = "F32" }] of list) {
    const begin = end;
    end += WIDTH[dtype] * data.length;
    header[name] = { dtype, shape, data_offsets: [begin, end] };
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const file = new Uint8Array(8 + json.length + end);
  file.set(json, 8);
  const view = new DataView(file.buffer);
  view.setBigUint64(0, BigInt(json.length), true);
  let at = 8 + json.length;
  for (const [, { data, dtype = "F32" }] of list) {
    for (let i = 0; i < data.length; i++, at += WIDTH[dtype]) {
      if (dtype === "F64") view.setFloat64(at, data[i], true);
      else if (dtype === "F32") view.setFloat32(at, data[i], true);
      else if (dtype === "F16") view.setFloat16(at, data[i], true);
      else if (dtype === "I64") view.setBigInt64(at, BigInt(data[i]), true);
      else view.setUint16(at, upperHalf(data[i]), true);
    }
  }
  return file;
}

/** The sign, exponent and upper seven bits of a float32. */
function upperHalf(value: number): number {
  return new Uint32Array(Float32Array.of(value).buffer)[0] >>> 16;
}

/** A network with attention and without, of a few hundred parameters. */
export const TINY: UNetConfig = unetConfig({
  sampleSize: 4,
  inChannels: 1,
  outChannels: 1,
  downBlockTypes: ["DownBlock2D", "AttnDownBlock2D"],
  upBlockTypes: ["AttnUpBlock2D", "UpBlock2D"],
  blockOutChannels: [2, 4],
  layersPerBlock: 1,
  normNumGroups: 2,
  attentionHeadDim: null,
  freqShift: 0,
  numClassEmbeds: 3,
});

const weights = (seed: number) => initialParameters(TINY, seed);

/** A half trained model. */
export const RUN = {
  unet: TINY,
  schedule: DDPM_SCHEDULE,
  step: 12,
  seed: 2 ** 53 - 1,
  train: { lr: 1e-3, preset: "tiny", flip: false },
  prediction: "v",
  ema: weights(1),
  training: { model: weights(2), m: weights(3), v: weights(4) },
} as const satisfies Checkpoint;

/** Its bytes, and those of what can be sampled from. */
export const RUN_BYTES = encodeCheckpoint(RUN);

/** The same without the state of training. */
export const MODEL: Checkpoint = (({ training: _, ...model }) => model)(RUN);

/** A folder for one test. */
export async function inFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
