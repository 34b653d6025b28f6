/**
 * What tests of commands on a device share.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { MICRO_TRAINING, type Outcome } from "./support.ts";

/** The flags that train the micro network on the device. */
export const ON_DEVICE = [...MICRO_TRAINING, "--device", "webgpu"];

/** The flags with which a run goes on, judging and drawing nothing. */
export const RESUME = ["train", "--data", "data", "--resume", "--eval", "0", "--samples", "0"];

/** The outcome of a command that must have succeeded. */
export function succeeded(outcome: Outcome): Outcome {
  assertEquals(outcome.code, 0, outcome.stderr);
  return outcome;
}

/** Lines about the run that say something of the choice, not of how far it is. */
export function remarks({ stderr }: Outcome): string[] {
  return stderr.trimEnd().split("\n").filter((line) =>
    !/^(\[|sampling|compiling|held-out|\d+ samples? of)/.test(line)
  );
}

/** Bytes of a run's checkpoint. */
export function bytesOf(folder: string, run: string): Promise<Uint8Array> {
  return Deno.readFile(`${folder}/${run}/checkpoint.safetensors`);
}

/** A line of a run's metrics: of a step, or of held-out data. */
export interface MetricLine {
  readonly kind: string;
  readonly step: number;
  readonly loss: number;
  readonly raw: number;
  readonly ema: number;
}

/** A run's metrics without what depends on the clock. */
export async function metricsOf(folder: string, run: string): Promise<MetricLine[]> {
  const text = await Deno.readTextFile(`${folder}/${run}/metrics.jsonl`);
  return text.trimEnd().split("\n").map((line) => {
    const { imagesPerSecond: _, ...metric } = JSON.parse(line);
    return metric;
  });
}
