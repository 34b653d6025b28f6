/**
 * The files of `deploy`: what they run is what `sample` takes, and the parts that they draw are one run.
 */
import { assertEquals } from "@std/assert";
import { parseFlags } from "../../src/cli/flags.ts";
import { checkSampleFlags, SAMPLE } from "../../src/cli/sample_flags.ts";
import { cli } from "./support.ts";
import { withModels } from "./sample_models.ts";

const ROOT = new URL("../..", import.meta.url).pathname;

const readManifest = (name: string) => Deno.readTextFile(`${ROOT}deploy/${name}`);

/** The container's arguments in a manifest: flags with their values, one a line. */
function argumentsIn(manifest: string): string[] {
  return Array.from(manifest.matchAll(/^ +- (--\S+)$/gm), ([, flag]) => flag);
}

Deno.test("the manifests' flags are ones that sample takes together", async () => {
  const parts = argumentsIn(await readManifest("kubernetes-sample.yaml"));
  const merge = argumentsIn(await readManifest("kubernetes-merge.yaml"));
  assertEquals([parts.length, merge.length], [7, 3]);
  for (const args of [[...parts, "--shard", "0/8"], merge]) {
    const { values, given } = parseFlags(SAMPLE, args);
    checkSampleFlags(values, given);
  }
});

Deno.test("a job has as many members as it is told that there are parts", async () => {
  const manifest = await readManifest("kubernetes-sample.yaml");
  const [completions] = /(?<=completions: )\d+/.exec(manifest) ?? [];
  const [parts] = /(?<=name: PARTS\n +value: ")\d+/.exec(manifest) ?? [];
  assertEquals([completions, parts], ["8", "8"]);
});

/** Runs a script of the folder from the package's; fails if it does. */
async function run(env: Readonly<Record<string, string>>, ...args: string[]): Promise<void> {
  const { code, stderr } = await new Deno.Command(args[0], {
    args: args.slice(1),
    cwd: ROOT,
    env: { PATH: `${Deno.execPath().replace(/[^/]*$/, "")}:${Deno.env.get("PATH") ?? ""}`, ...env },
    stdout: "piped",
    stderr: "piped",
  }).output();
  assertEquals(code, 0, new TextDecoder().decode(stderr));
}

Deno.test("the members of an indexed job and of an array draw what one command draws", async () => {
  await withModels(async (folder) => {
    const flags = ["--steps", "2", "--device", "cpu", "--count", "5"];
    const model = ["--model", `${folder}/classes.safetensors`];
    const whole = ["--npz", "whole/samples.npz", "--out", "whole/samples.png"];
    assertEquals((await cli(folder, "sample", ...model, ...flags, ...whole)).code, 0);
    const read = (path: string) => Deno.readFile(`${folder}/${path}`);

    for (const index of ["0", "1"]) {
      const env = { JOB_COMPLETION_INDEX: index, PARTS: "2" };
      const at = `${folder}/job`;
      const files = ["--npz", `${at}/samples.npz`, "--out", `${folder}/grids/part.png`];
      await run(env, "deploy/shard.sh", ...model, ...flags, ...files);
    }
    const merged = await cli(
      folder,
      "sample",
      "--merge",
      "job",
      "--npz",
      "job.npz",
      "--out",
      "j.png",
    );
    assertEquals(merged.code, 0, merged.stderr);
    assertEquals(await read("job.npz"), await read("whole/samples.npz"));

    const OUT = `${folder}/array`, COUNT = "5";
    // An array may start anywhere.
    for (const SLURM_ARRAY_TASK_ID of ["4", "5", "6"]) {
      const array = { SLURM_ARRAY_TASK_ID, SLURM_ARRAY_TASK_MIN: "4", SLURM_ARRAY_TASK_COUNT: "3" };
      await run({ ...array, OUT, COUNT }, "deploy/slurm.sh", ...model, ...flags.slice(0, 4));
    }
    await run({ OUT }, "deploy/slurm.sh");
    for (const name of ["samples.npz", "samples.png"]) {
      assertEquals(await read(`array/${name}`), await read(`whole/${name}`), name);
    }
    assertEquals([...Deno.readDirSync(`${OUT}/samples`)].length, 5);
  });
});
