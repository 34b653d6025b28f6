/**
 * A run that is ended without warning, at moments drawn from a seed, and gone on with each time.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { namesIn, progressFolder } from "../../src/cli/run_folder.ts";
import { streamOf, uniformDoubles } from "../../src/math/noise.ts";
import { decodeCheckpoint } from "../../src/spec/checkpoint.ts";
import { cli, startCli } from "./support.ts";

/** What the kills of a run met. */
export interface KillFigures {
  /** Sessions that were ended. */
  readonly kills: number;
  /** Those that left a file half written. */
  readonly midWrite: number;
  /** Those before the first checkpoint. */
  readonly beforeFirst: number;
  /** Steps of the run in the end. */
  readonly steps: number;
}

/**
 * Trains in `killed` with some kills and then in `whole` without, and checks that both folders hold the same
 * files with the same bytes; the report and the pace in the metrics, which no run has twice, aside.
 *
 * @param flags of `train`, without folder and steps.
 * @param window a session is ended between so many milliseconds after the first step that it takes.
 */
export async function checkKilledRun(
  folder: string,
  flags: readonly string[],
  { kills, seed, window: [low, high] }: {
    readonly kills: number;
    readonly seed: number;
    readonly window: readonly [low: number, high: number];
  },
): Promise<KillFigures> {
  const run = `${folder}/killed`;
  const flagsOf = (out: string, steps: number, saved: boolean) => [
    ...flags,
    ...["--out", out, "--steps", String(steps)],
    ...saved ? ["--resume"] : [],
  ];
  let midWrite = 0, beforeFirst = 0;
  for (let kill = 0; kill < kills; kill++) {
    const saved = await savedStep(run) !== null;
    if (!saved) beforeFirst++;
    const child = startCli(folder, ...flagsOf("killed", 1_000_000, saved));
    const [u] = uniformDoubles(seed, streamOf("order", kill, 0), 0, 1);
    const output = child.output();
    const ended = child.status;
    // The first line after those that are dropped: what was compiled is, and steps are taken.
    let least = Infinity;
    for (let size = await linesOf(run); size <= least; size = await linesOf(run)) {
      least = size;
      if (await settled(ended, 10)) break;
    }
    await settled(ended, low + u * (high - low));
    // Every second kill meets a file that is being written, if one is within reach.
    if (kill % 2 === 1) await writing(run, 5000);
    try {
      child.kill("SIGKILL");
    } catch {
      const { code, stderr } = await output;
      throw new Error(`Expected a run until it is killed but got code ${code}: ${text(stderr)}`);
    }
    await output;
    if (partialIn(run)) midWrite++;
  }
  const last = await savedStep(run), steps = (last ?? 0) + 3;
  for (const [out, saved] of [["killed", last !== null], ["whole", false]] as const) {
    const { code, stderr } = await cli(folder, ...flagsOf(out, steps, saved));
    assertEquals(code, 0, stderr);
  }
  await checkSameRun(run, `${folder}/whole`);
  return { kills, midWrite, beforeFirst, steps };
}

/** Checks that two runs left the same files with the same bytes. */
export async function checkSameRun(found: string, expected: string): Promise<void> {
  const names = await namesIn(expected);
  assertEquals(await namesIn(found), names);
  for (const name of names.filter((name) => !["report.html", "samples"].includes(name))) {
    const [a, b] = await Promise.all([found, expected].map((run) => contentOf(`${run}/${name}`)));
    assertEquals(a, b, name);
  }
  const drawn = await namesIn(progressFolder(expected));
  assertEquals(await namesIn(progressFolder(found)), drawn);
  for (const name of drawn) {
    const [a, b] = await Promise.all(
      [found, expected].map((run) => Deno.readFile(`${progressFolder(run)}/${name}`)),
    );
    assertEquals(a, b, name);
  }
}

async function contentOf(path: string): Promise<Uint8Array | string> {
  if (!path.endsWith(".jsonl")) return await Deno.readFile(path);
  return (await Deno.readTextFile(path)).replaceAll(/,"imagesPerSecond":[^}]*/g, "");
}

/** Whether a file of a run is half written. */
function partialIn(run: string): boolean {
  return [run, progressFolder(run)].some((folder) => {
    try {
      return [...Deno.readDirSync(folder)].some(({ name }) => name.endsWith(".partial"));
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return false;
      throw error;
    }
  });
}

/** Waits until a file of a run is being written, but not longer than some milliseconds. */
async function writing(run: string, milliseconds: number): Promise<void> {
  const end = performance.now() + milliseconds;
  while (!partialIn(run) && performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
}

/** Step of the newest checkpoint of a run, whatever a kill left; null if there is none. */
async function savedStep(run: string): Promise<number | null> {
  const steps = await Promise.all(
    (await namesIn(run)).filter((name) => /^checkpoint.*\.safetensors$/.test(name))
      .map(async (name) => decodeCheckpoint(await Deno.readFile(`${run}/${name}`)).step),
  );
  return steps.length === 0 ? null : Math.max(...steps);
}

/** Bytes of a run's metrics so far. */
async function linesOf(run: string): Promise<number> {
  return await Deno.stat(`${run}/metrics.jsonl`).then(({ size }) => size, () => 0);
}

/** Waits for a promise, but not longer than some milliseconds; whether it was settled. */
async function settled(promise: Promise<unknown>, milliseconds: number): Promise<boolean> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), milliseconds);
  });
  const first = await Promise.race([promise.then(() => true), late]);
  clearTimeout(timer);
  return first;
}

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
