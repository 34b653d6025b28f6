/**
 * The files that samples are written to.
 *
 * @module
 */
import { encodeApng } from "../data/apng.ts";
import { type GridOptions, pictureAt, pictureGrid, type Pictures } from "../data/image_grid.ts";
import { encodePng } from "../data/png.ts";
import { writeAtomic } from "../data/write_atomic.ts";
import type { Flag } from "./flags.ts";
import {
  encodeSamples,
  firstPictures,
  GRID_LIMIT,
  gridOptions,
  type Samples,
} from "./samples_npz.ts";
import { type Shard, shardName } from "./shard.ts";
import { note, UsageError } from "./terminal.ts";

/** Flags of what is written. */
export const OUTPUT_FLAGS = {
  out: { kind: "text", placeholder: "FILE", default: "runs/samples.png", help: "The grid, a PNG." },
  zoom: { kind: "integer", min: 1, max: 64, default: 3, help: "The grid's pixels per pixel." },
  columns: {
    kind: "integer",
    min: 1,
    max: 4096,
    help: "Images per row of the grid (default: a row per class, or a square).",
  },
  singles: { kind: "text", placeholder: "FOLDER", help: "A PNG per sample, by its number." },
  npz: {
    kind: "text",
    placeholder: "FILE",
    help: "Every sample as NumPy arrays: images arr_0, classes arr_1.",
  },
} as const satisfies Record<string, Flag>;

/** Flags of pictures that move. */
export const ANIMATION_FLAGS = {
  animate: {
    kind: "text",
    placeholder: "FILE",
    help: "The grid as it loses its noise, an animated PNG.",
  },
  "animate-x0": {
    kind: "text",
    placeholder: "FILE",
    help: "The same of x̂_0, what the network takes the images to be.",
  },
} as const satisfies Record<string, Flag>;

/** Where samples go, by flag. */
export type OutputPaths = {
  readonly [K in "out" | "singles" | "npz" | "animate" | "animate-x0"]?: string;
};

/** The flags that name a file. */
const FILES = ["out", "npz", "animate", "animate-x0"] as const;

/** @throws {UsageError} if two outputs are one file. */
export function checkOutputs(paths: OutputPaths): void {
  const taken = new Map<string, string>();
  for (const flag of FILES) {
    const path = paths[flag];
    if (path === undefined) continue;
    const other = taken.get(path);
    if (other !== undefined) {
      throw new UsageError(`Expected --${other} and --${flag} to differ but got ${path} for both`);
    }
    taken.set(path, flag);
  }
}

/** Where a part's files go; single pictures go by number, and share a folder. */
export function shardPaths(paths: OutputPaths, shard: Shard): OutputPaths {
  const named = FILES.map((flag) => {
    const path = paths[flag];
    return [flag, path === undefined ? undefined : shardName(path, shard)];
  });
  return { ...paths, ...Object.fromEntries(named) };
}

/** Makes the folders that files go to, so that a place that cannot be written to is told at once. */
export async function makeFolders(paths: OutputPaths): Promise<void> {
  const folders = FILES.flatMap((flag) => folderOf(paths[flag]));
  for (const folder of [...folders, ...paths.singles === undefined ? [] : [paths.singles]]) {
    await Deno.mkdir(folder, { recursive: true });
  }
}

function folderOf(path: string | undefined): string[] {
  if (path === undefined) return [];
  const end = Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\"));
  return [end < 0 ? "." : path.slice(0, end + 1)];
}

/** How a grid looks, by flag. */
export interface GridLook {
  readonly columns?: number;
  readonly zoom: number;
}

/** Writes samples to every place but those of animations. @returns the paths, in order. */
export async function writeSamples(
  samples: Samples,
  paths: OutputPaths,
  look: GridLook,
): Promise<readonly string[]> {
  const { pictures, numbers, run } = samples;
  const written: string[] = [];
  const write = async (path: string, bytes: Uint8Array) => {
    await writeAtomic(path, bytes);
    written.push(path);
  };
  if (paths.out !== undefined) {
    if (numbers.length > GRID_LIMIT) note(`the grid shows the first ${GRID_LIMIT} samples`);
    const shown = firstPictures(pictures);
    const options = gridOptions(run, numbers[0], shown.shape[0], look);
    await write(paths.out, encodePng(pictureGrid(shown, options)));
  }
  if (paths.npz !== undefined) await write(paths.npz, encodeSamples(samples));
  if (paths.singles !== undefined) {
    for (const [n, number] of numbers.entries()) {
      const path = `${paths.singles}/${String(number).padStart(6, "0")}.png`;
      await writeAtomic(path, encodePng(pictureAt(pictures, n)));
    }
    written.push(paths.singles);
  }
  return written;
}

/** How long a frame stays, and how many times the last one is shown: about a second. */
const FRAME_MS = 80, LAST_FRAMES = 12;

/** Writes an animation of a grid. */
export async function writeAnimation(
  path: string,
  frames: readonly Pictures[],
  options: GridOptions,
): Promise<void> {
  const grids = frames.map((pictures) => pictureGrid(pictures, options));
  const held = new Array(LAST_FRAMES - 1).fill(grids[grids.length - 1]);
  await writeAtomic(path, encodeApng([...grids, ...held], FRAME_MS));
}
