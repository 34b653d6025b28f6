/**
 * From starting the program to the first full-size training step done: with the driver's shader cache
 * empty, and with what the first run left there.
 *
 * @module
 */
import type { Bench } from "../support/bench.ts";
import { digits, type SectionReport, table } from "../support/report.ts";

const PROGRAM = new URL("../support/first_step.ts", import.meta.url).pathname;

/** When each stage was reached, in milliseconds since the start of the process. */
interface Stages {
  readonly device: number;
  readonly shaders: number;
  readonly weights: number;
  readonly uploaded: number;
  readonly step: number;
  readonly second: number;
}

/** Runs the program with the given cache; `all` includes the start and end of the process, not the second step. */
async function run(cache: string, quick: boolean): Promise<Stages & { readonly all: number }> {
  const begin = performance.now();
  const { code, stdout, stderr } = await new Deno.Command("deno", {
    args: ["run", "--no-prompt", "--quiet", PROGRAM, ...quick ? ["--quick"] : []],
    env: { MESA_SHADER_CACHE_DIR: cache },
    stdout: "piped",
    stderr: "piped",
  }).output();
  const whole = performance.now() - begin;
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  if (code !== 0) throw new Error(`Expected a first step but got: ${text(stderr)}`);
  const stages = JSON.parse(text(stdout)) as Stages;
  return { ...stages, all: whole - (stages.second - stages.step) };
}

/** Once cold, then warm. */
export async function start({ quick, rounds, progress }: Bench): Promise<SectionReport> {
  const cold: (Stages & { all: number })[] = [], warm: (Stages & { all: number })[] = [];
  for (let round = 0; round < (quick ? 1 : rounds); round++) {
    const cache = await Deno.makeTempDir();
    try {
      progress("start: with an empty shader cache");
      cold.push(await run(cache, quick));
      progress("start: with a warm shader cache");
      warm.push(await run(cache, quick));
    } finally {
      await Deno.remove(cache, { recursive: true });
    }
  }
  const middle = (runs: typeof cold) => runs.toSorted((a, b) => a.all - b.all)[runs.length >> 1];
  const [first, second] = [middle(cold), middle(warm)];
  const seconds = (ms: number): string => digits(ms / 1e3);
  const row = (name: string, stages: typeof first): string[] => [
    name,
    seconds(stages.device),
    seconds(stages.shaders - stages.device),
    seconds(stages.weights - stages.shaders),
    seconds(stages.uploaded - stages.weights),
    seconds(stages.step - stages.uploaded),
    seconds(stages.all),
    seconds(stages.second - stages.step),
  ];
  return {
    title: "Start of the program to the end of the first training step, seconds",
    lines: table([
      [
        "shader cache",
        "device",
        "plan, shaders",
        "weights",
        "upload",
        "first step",
        "all",
        "step after it",
      ],
      row("empty", first),
      row("warm", second),
    ]),
    claims: [
      { what: "cold start to the first step", value: first.all / 1e3, unit: "s", atMost: 60 },
      { what: "warm start to the first step", value: second.all / 1e3, unit: "s", atMost: 10 },
    ],
    data: { cold, warm },
  };
}
