/**
 * What every section of the GPU bench is given, and the clock around submitted work.
 *
 * @module
 */
import type { Parameters } from "../../src/spec/unet_parameters.ts";
import { sampleHeightWidth, type UNetConfig } from "../../src/spec/unet_config.ts";
import type { Gpu } from "../../src/webgpu/device.ts";
import type { Variants } from "../../src/webgpu/variants.ts";
import type { GpuTimer } from "./gpu_timing.ts";

/** A run of the bench. */
export interface Bench {
  readonly gpu: Gpu;
  readonly timer: GpuTimer;
  /** The network that is measured. */
  readonly config: UNetConfig;
  /** Its weights. */
  readonly parameters: Parameters;
  readonly variants: Variants;
  /** Measurements per figure, after one for warming up. */
  readonly rounds: number;
  /** Whether other libraries take part. */
  readonly peers: boolean;
  /** Whether the small network is measured, on which the claims say nothing. */
  readonly quick: boolean;
  /** The machine's roofs, measured first. */
  readonly roofs: Roofs;
  /** Says what is being done. */
  readonly progress: (text: string) => void;
}

/** What the adapter can do at most, as measured. */
export interface Roofs {
  /** Fused multiply-adds, in FLOP/s. */
  readonly flops: number;
  /** Bytes per second of a copy, read and written. */
  readonly bytes: number;
}

/** Height and width of a config's images. */
export function extent(config: UNetConfig): { readonly height: number; readonly width: number } {
  const size = sampleHeightWidth(config);
  if (size === null) throw new Error("Expected a config with an image size");
  return { height: size[0], width: size[1] };
}

/** Milliseconds per run of `queue`, of so many submitted back to back until all are done. */
export async function timeSubmitted(gpu: Gpu, times: number, queue: () => void): Promise<number> {
  const begin = performance.now();
  for (let i = 0; i < times; i++) queue();
  await gpu.device.queue.onSubmittedWorkDone();
  return (performance.now() - begin) / times;
}

/** How often to repeat work of about `ms` for a time that the wait's own 10 ms do not show in. */
export function repeatsFor(ms: number): number {
  return Math.max(1, Math.min(16, Math.ceil(300 / ms)));
}
