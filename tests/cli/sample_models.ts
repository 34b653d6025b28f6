/**
 * Models to sample from, tiny and untrained but with every parameter alive, and what `sample` made of them.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { decode } from "fast-png";
import type { NpyArray } from "../../src/data/npy.ts";
import { decodeNpz } from "../../src/data/npz.ts";
import { type Checkpoint, encodeCheckpoint } from "../../src/spec/checkpoint.ts";
import { DDPM_SCHEDULE } from "../../src/spec/schedule_config.ts";
import { type UNetConfig, unetConfig } from "../../src/spec/unet_config.ts";
import { liveParameters } from "../webgpu/networks.ts";
import { cli, inFolder, MICRO, type Outcome } from "./support.ts";

/** The micro network with three classes and a row for "no class". */
export const MICRO_CLASSES: UNetConfig = unetConfig({ ...MICRO, numClassEmbeds: 4 });

/** A checkpoint with weights drawn from a seed. */
export function liveCheckpoint(unet: UNetConfig, fields: Partial<Checkpoint> = {}): Checkpoint {
  const ema = liveParameters(unet, 1);
  return { unet, schedule: DDPM_SCHEDULE, step: 7, seed: 0, train: {}, ema, ...fields };
}

/** A folder with `plain.safetensors` (no classes) and `classes.safetensors` (three). */
export async function withModels(test: (folder: string) => Promise<void>): Promise<void> {
  await inFolder(async (folder) => {
    const models = [["plain", MICRO], ["classes", MICRO_CLASSES]] as const;
    for (const [name, unet] of models) {
      const bytes = encodeCheckpoint(liveCheckpoint(unet));
      await Deno.writeFile(`${folder}/${name}.safetensors`, bytes);
    }
    await test(folder);
  });
}

/** Runs `sample` on one of the models with the reference, 3 steps; fails if it does. */
export async function sampled(
  folder: string,
  model: "plain" | "classes",
  ...flags: string[]
): Promise<Outcome> {
  const shared = ["--model", `${model}.safetensors`, "--steps", "3", "--device", "cpu"];
  const outcome = await cli(folder, "sample", ...shared, ...flags);
  assertEquals(outcome.code, 0, outcome.stderr);
  return outcome;
}

/** An array of a file that `--npz` wrote. */
export async function arraysOf(file: string): Promise<ReadonlyMap<string, NpyArray>> {
  return decodeNpz(await Deno.readFile(file), file);
}

/** The values of an array, none if it is not there. */
export function valuesOf(array: NpyArray | undefined): number[] {
  const values: Iterable<number | bigint> = array?.data ?? [];
  return Array.from(values, Number);
}

/** The images of such a file, each as its 64 bytes, by their numbers. */
export async function imagesByNumber(file: string): Promise<ReadonlyMap<number, string>> {
  const arrays = await arraysOf(file);
  const pixels = valuesOf(arrays.get("arr_0"));
  const numbers = valuesOf(arrays.get("numbers"));
  return new Map(numbers.map((i, n) => [i, pixels.slice(64 * n, 64 * n + 64).join(" ")]));
}

/** A decoded picture. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly data: ArrayLike<number>;
}

/** The bytes of the 8×8 image whose upper left corner is at (left, top) of a grey picture. */
export function imageAt(
  { data, width }: Pixels,
  left: number,
  top: number,
): string {
  const at = (i: number) => data[(top + Math.floor(i / 8)) * width + left + i % 8];
  return Array.from({ length: 64 }, (_, i) => at(i)).join(" ");
}

/** A PNG file's pixels. */
export async function pngOf(file: string): Promise<Pixels> {
  return decode(await Deno.readFile(file));
}
