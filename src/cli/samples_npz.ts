/**
 * Samples as they are kept: pictures, which samples of which run they are, and what the run was. An `.npz`
 * file holds all of it, so that the parts of a run can be put together again.
 *
 * | array | content |
 * | --- | --- |
 * | `arr_0` | uint8 `[N, H, W, C]`, the pictures |
 * | `arr_1` | int64 `[N]`, their classes, where the network takes any |
 * | `numbers` | int64 `[N]`, the samples' numbers |
 * | `settings` | uint8, the run's settings as JSON: equal in all of its parts |
 *
 * @module
 */
import type { GridOptions, Pictures } from "../data/image_grid.ts";
import type { NpyArray } from "../data/npy.ts";
import { decodeNpz, encodeNpz, type NamedArray } from "../data/npz.ts";
import { FormatError } from "../spec/format_error.ts";
import { classesOf, type SamplingOptions } from "./sampling.ts";

/** What the images of a run depend on, whatever part of it was drawn. */
export type RunSettings =
  & { readonly model: string; readonly weights: string }
  & Omit<SamplingOptions, "batch">;

/** What has to be known of a run to put it together. */
export type RunShape = Pick<SamplingOptions, "first" | "count" | "classes" | "interpolate">;

/** Samples of a run, or of a part of it. */
export interface Samples {
  readonly pictures: Pictures;
  /** The number of each. */
  readonly numbers: readonly number[];
  /** The settings of the run, as JSON. */
  readonly settings: string;
  /** What they say of the whole run's shape. */
  readonly run: RunShape;
}

/** The bytes of an `.npz` file of samples. The same samples always give the same bytes. */
export function encodeSamples({ pictures, numbers, settings, run }: Samples): Uint8Array {
  const labels = classesOf(run, numbers);
  const arrays: NamedArray[] = [{ name: "arr_0", array: pictures }];
  if (labels !== undefined) arrays.push({ name: "arr_1", array: integers(labels) });
  const bytes = new TextEncoder().encode(settings);
  return encodeNpz([
    ...arrays,
    { name: "numbers", array: integers(numbers) },
    { name: "settings", array: { shape: [bytes.length], data: bytes } },
  ]);
}

function integers(values: readonly number[]): NpyArray {
  return { shape: [values.length], data: BigInt64Array.from(values, BigInt) };
}

/**
 * The samples of an `.npz` file that `sample --npz` wrote.
 *
 * @param file its name, for the messages.
 * @throws {FormatError} if it is none.
 */
export function decodeSamples(bytes: Uint8Array, file: string): Samples {
  const arrays = decodeNpz(bytes, file);
  const pictures = picturesOf(arrays.get("arr_0"), file);
  const [N] = pictures.shape;
  const numbers = arrays.get("numbers");
  if (!(numbers?.data instanceof BigInt64Array) || numbers.data.length !== N) {
    throw new FormatError(`Expected the int64 numbers of ${N} samples in ${file} but got none`);
  }
  const text = arrays.get("settings");
  if (!(text?.data instanceof Uint8Array)) {
    throw new FormatError(`Expected the settings of a run in ${file} but got none`);
  }
  const settings = new TextDecoder().decode(text.data);
  return {
    pictures,
    numbers: Array.from(numbers.data, Number),
    settings,
    run: runShape(settings, file),
  };
}

function picturesOf(array: NpyArray | undefined, file: string): Pictures {
  const [N, H, W, C] = array?.shape ?? [];
  if (
    array?.shape.length !== 4 || !(array.data instanceof Uint8Array) || !(C === 1 || C === 3)
  ) {
    throw new FormatError(
      `Expected uint8 pictures [N, H, W, C], C = 1 or 3, as arr_0 in ${file} but got ` +
        (array === undefined ? "none" : `shape [${array.shape}]`),
    );
  }
  return { shape: [N, H, W, C], data: new Uint8Array(array.data) };
}

function runShape(settings: string, file: string): RunShape {
  const fail = (what: string, found: unknown): never => {
    throw new FormatError(
      `Expected ${what} in the settings of ${file} but got ${JSON.stringify(found)}`,
    );
  };
  const read = (json: unknown, key: string): unknown =>
    typeof json === "object" && json !== null ? Reflect.get(json, key) : undefined;
  const integer = (name: string, found: unknown): number =>
    Number.isSafeInteger(found) && Number(found) >= 0 ? Number(found) : fail(name, found);
  let json: unknown;
  try {
    json = JSON.parse(settings);
  } catch {
    fail("JSON", settings.slice(0, 40));
  }
  const classes = read(json, "classes"), interpolate = read(json, "interpolate");
  return {
    first: integer("the first sample", read(json, "first")),
    count: integer("the number of samples", read(json, "count")),
    classes: classes === null
      ? null
      : Array.isArray(classes) && classes.length > 0
      ? classes.map((label) => integer("classes", label))
      : fail("a list of classes or null", classes),
    interpolate: interpolate === undefined ? undefined : {
      seed: integer("a seed", read(interpolate, "seed")),
      columns: integer("a number of columns", read(interpolate, "columns")) ||
        fail("a number of columns", 0),
    },
  };
}

/** Samples that a grid has room for. */
export const GRID_LIMIT = 4096;

/**
 * How the first {@linkcode GRID_LIMIT} samples, of which the very first is number `first`, lie in a grid:
 * interpolations from left to right; with several classes sample i in row i mod their number; else a square.
 */
export function gridOptions(
  { classes, interpolate }: RunShape,
  first: number,
  count: number,
  { columns, zoom }: { readonly columns?: number; readonly zoom: number },
): GridOptions {
  if (columns !== undefined) return { columns, zoom };
  if (interpolate !== undefined) return { columns: interpolate.columns, zoom };
  const rows = classes?.length ?? 1;
  return rows > 1 && count >= rows ? { rows, first, zoom } : { zoom };
}

/** The first samples, as many as a grid has room for. */
export function firstPictures({ shape: [N, ...size], data }: Pictures): Pictures {
  const kept = Math.min(N, GRID_LIMIT);
  return {
    shape: [kept, ...size],
    data: data.subarray(0, kept * size[0] * size[1] * size[2]),
  };
}
