/**
 * The grids of samples that a training run draws: as it goes, and at its end.
 *
 * @module
 */
import { imageGrid } from "../data/image_grid.ts";
import { encodePng } from "../data/png.ts";
import { writeAtomic } from "../data/write_atomic.ts";
import type { Checkpoint } from "../spec/checkpoint.ts";
import { type Backend, compileText } from "./backend.ts";
import { allClasses, type SamplingOptions } from "./sampling.ts";
import { ProgressLine } from "./terminal.ts";

/** How the samples of a grid are drawn. */
export interface SampleGrid {
  readonly sampler: "ddpm" | "ddim";
  /** Times to visit; all of them where the process has fewer. */
  readonly steps: number;
  /** How many; by default 16, or 4 of each class. */
  readonly count?: number;
}

/** A grid that is drawn as a run goes: quick, and from the same noise every time, so that grids can be compared. */
export const PROGRESS_GRID: SampleGrid = { sampler: "ddim", steps: 20 };

/**
 * Draws a grid with the averaged weights, one row per class where there are any, and writes it.
 *
 * @param what is being drawn, for the progress line.
 */
export async function drawGrid(
  backend: Backend,
  { unet, ema, schedule, seed, prediction }: Checkpoint,
  { sampler, steps, count }: SampleGrid,
  path: string,
  what: string,
): Promise<void> {
  const classes = allClasses(unet);
  const options: SamplingOptions = {
    ...{ sampler, seed, classes, prediction },
    steps: "T" in schedule ? Math.min(steps, schedule.T) : steps,
    spacing: "trailing",
    eta: 0,
    variance: "betaTilde",
    clip: "static",
    first: 0,
    count: count ?? (classes === null ? 16 : 4 * classes.length),
    batch: 16,
    guidance: null,
  };
  const progress = new ProgressLine();
  const images = await backend.sampleImages(unet, ema, schedule, options, {
    onCompile: (compiling) => progress.update(compileText(compiling)),
    onShare: (share) => progress.update(`${what}: ${Math.round(100 * share)} %`),
  });
  progress.finish();
  const rows = classes === null ? {} : { rows: Math.min(classes.length, options.count) };
  const zoom = Math.max(1, Math.round(84 / images.shape[3]));
  await writeAtomic(path, encodePng(imageGrid(images, { zoom, ...rows })));
}
