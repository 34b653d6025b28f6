/**
 * Puts the parts of a run together: with what `sample --shard` wrote into `.npz` files, `sample --merge`
 * writes what one run would have written.
 *
 * @module
 */
import type { Pictures } from "../data/image_grid.ts";
import { exists } from "./run_folder.ts";
import { decodeSamples, type Samples } from "./samples_npz.ts";
import { FailureError } from "./terminal.ts";

/**
 * The `.npz` files that a flag names: files with commas between them, or a folder of them.
 *
 * @throws {FailureError} if one is missing, or a folder has none.
 */
export async function partFiles(text: string): Promise<readonly string[]> {
  const paths = text.split(",");
  for (const path of paths) {
    if (!await exists(path)) {
      throw new FailureError(`Expected .npz files after --merge but found nothing at ${path}`);
    }
  }
  if (paths.length > 1 || !(await Deno.stat(text)).isDirectory) return paths;
  const names: string[] = [];
  for await (const { name } of Deno.readDir(text)) {
    if (name.endsWith(".npz")) names.push(`${text}/${name}`);
  }
  if (names.length === 0) {
    throw new FailureError(`Expected .npz files of \`sample --shard\` in ${text} but found none`);
  }
  return names.sort();
}

/** Reads parts and puts them together. */
export async function mergeFiles(files: readonly string[]): Promise<Samples> {
  const parts = [];
  for (const file of files) {
    parts.push({ file, samples: decodeSamples(await Deno.readFile(file), file) });
  }
  return mergeSamples(parts);
}

/** A part of a run and the file that it came from. */
interface Part {
  readonly file: string;
  readonly samples: Samples;
}

/**
 * The run whose parts are given, in any order.
 *
 * @throws {FailureError} if they are of different runs, or a sample is there twice or not at all.
 */
export function mergeSamples(parts: readonly Part[]): Samples {
  const [{ file, samples: { settings, run, pictures: { shape } } }] = parts;
  for (const part of parts) {
    const { samples } = part;
    const same = samples.settings === settings &&
      samples.pictures.shape.slice(1).every((size, i) => size === shape[i + 1]);
    if (!same) {
      throw new FailureError(
        `Expected parts of one run but the settings of ${part.file} are not those of ${file}`,
      );
    }
  }
  const sorted = parts.flatMap((part) =>
    part.samples.numbers.map((number, n) => ({ number, n, part }))
  ).sort((a, b) => a.number - b.number);
  for (const [k, { number, part }] of sorted.entries()) {
    const expected = run.first + k;
    if (number === expected) continue;
    const before = sorted[k - 1];
    throw new FailureError(
      before?.number === number
        ? `Expected sample ${number} once but found it in ${before.part.file} and ${part.file}`
        : number < expected || number >= run.first + run.count
        ? `Expected ${rangeText(run)} but found sample ${number} in ${part.file}`
        : `Expected ${rangeText(run)} but found no sample ${expected}: is a part missing?`,
    );
  }
  if (sorted.length !== run.count) {
    throw new FailureError(
      `Expected ${rangeText(run)} but found no sample ${
        run.first + sorted.length
      }: is a part missing?`,
    );
  }
  const size = shape[1] * shape[2] * shape[3];
  const data = new Uint8Array(sorted.length * size);
  sorted.forEach(({ n, part: { samples: { pictures } } }, k) => {
    data.set(pictures.data.subarray(n * size, (n + 1) * size), k * size);
  });
  const pictures: Pictures = { shape: [sorted.length, shape[1], shape[2], shape[3]], data };
  return { pictures, numbers: sorted.map(({ number }) => number), settings, run };
}

function rangeText({ first, count }: { first: number; count: number }): string {
  return `samples ${first}..${first + count - 1}`;
}
