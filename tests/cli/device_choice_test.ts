/**
 * Where commands compute: the choice, and what it says.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { fingerprint } from "../../src/cli/train_data.ts";
import { initialState, trainBatch, trainStep } from "../../src/cli/trainer.ts";
import { loadMnist } from "../../src/data/mnist.ts";
import { createSchedule } from "../../src/reference/schedule.ts";
import { encodeCheckpoint } from "../../src/spec/checkpoint.ts";
import { DDPM_SCHEDULE } from "../../src/spec/schedule_config.ts";
import { gpuTest } from "../webgpu/gpu_test.ts";
import { bytesOf, ON_DEVICE, remarks, RESUME, succeeded } from "./device_support.ts";
import { cli, cliWith, inFolder, MICRO, MICRO_FLAGS, MICRO_TRAINING } from "./support.ts";

/** An environment in which WebGPU finds no adapter. */
const NO_ADAPTER = { DENO_WEBGPU_BACKEND: "none" };

Deno.test("--device cpu is the reference and writes nothing else than it did", async () => {
  await inFolder(async (folder) => {
    succeeded(await cli(folder, ...MICRO_FLAGS, "--steps", "3", "--out", "run"));
    const dataset = await loadMnist("train", `${folder}/data`);
    const schedule = createSchedule(DDPM_SCHEDULE);
    const options = { lr: 3e-3, warmup: 2, decay: 0, ema: 0.99, clipNorm: 1 };
    let state = initialState(MICRO, 0);
    for (const step of [1, 2, 3]) {
      const batch = trainBatch(dataset, schedule, 0, step - 1, 3);
      state = trainStep(MICRO, schedule, 0, state, batch, step, options).state;
    }
    const { ema, ...training } = state;
    const { lr, warmup, clipNorm } = options;
    const train = {
      ...{ images: 20, batch: 3, lr, warmup, ema: 0.99, "clip-norm": clipNorm },
      "images-sha256": await fingerprint(dataset),
    };
    const expected = encodeCheckpoint(
      { unet: MICRO, schedule: DDPM_SCHEDULE, step: 3, seed: 0, train, ema, training },
    );
    assertEquals(await bytesOf(folder, "run"), expected);
  });
});

Deno.test("without an adapter auto is the reference and says so in one line; webgpu is an error", async () => {
  await inFolder(async (folder) => {
    const run = (...args: string[]) => cliWith(NO_ADAPTER, folder, ...MICRO_TRAINING, ...args);
    const LINE =
      "no WebGPU adapter: computing with the reference; `deno task setup` tells how to get one";
    assertEquals(remarks(succeeded(await run("--steps", "2", "--out", "auto"))), [LINE]);
    assertEquals(
      remarks(succeeded(await run("--steps", "2", "--out", "cpu", "--device", "cpu"))),
      [],
    );
    assertEquals(await bytesOf(folder, "auto"), await bytesOf(folder, "cpu"));

    const draw = ["sample", "--checkpoint", "cpu", "--steps", "2", "--count", "1"];
    const drawn = succeeded(await cliWith(NO_ADAPTER, folder, ...draw, "--out", "a.png", "--json"));
    assertEquals(remarks(drawn), [LINE]);
    const { device, adapter } = JSON.parse(drawn.stdout);
    assertEquals([device, adapter], ["cpu", null]);
    succeeded(await cli(folder, ...draw, "--out", "b.png", "--device", "cpu"));
    assertEquals(await Deno.readFile(`${folder}/a.png`), await Deno.readFile(`${folder}/b.png`));

    for (
      const args of [
        [...ON_DEVICE, "--out", "none"],
        [...MICRO_TRAINING, "--out", "none", "--adapter", "x"],
        [...draw, "--device", "webgpu"],
      ]
    ) {
      const { code, stdout, stderr } = await cliWith(NO_ADAPTER, folder, ...args);
      assertEquals([code, stdout], [1, ""], stderr);
      assertMatch(stderr, /^error: Expected a WebGPU adapter but found none; [^\n]+\n$/);
    }
  });
});

Deno.test("device flags that cannot work end in one sentence and the right exit code", async () => {
  await inFolder(async (folder) => {
    succeeded(await cli(folder, ...MICRO_FLAGS, "--steps", "2", "--out", "run"));
    const draw = ["sample", "--checkpoint", "run"];
    await Deno.writeTextFile(`${folder}/bad.json`, '{"format": "ddpm-variants/1", "gem": 1}');
    for (
      const [args, code, message] of [
        [["train", "--device", "tpu"], 2, "Expected --device auto|webgpu|cpu but got tpu"],
        [["sample", "--power", "most"], 2, "Expected --power low-power|high-performance but got"],
        [
          ["train", "--device", "cpu", "--adapter", "x"],
          2,
          "Expected --adapter only with --device",
        ],
        [[...draw, "--device=cpu", "--power=low-power"], 2, "Expected --power only with --device"],
        [[...draw, "--device", "cpu", "--variants", "x"], 2, "Expected --variants only with"],
        [[...draw, "--variants", "none.json"], 1, "Expected a variant table in none.json."],
        [[...draw, "--variants", "bad.json"], 1, "Expected a variant table in bad.json."],
        [
          [...draw, "--device", "webgpu", "--clip", "dynamic"],
          2,
          "Expected --device cpu or auto for dynamic clipping but got webgpu",
        ],
        [[...draw, "--batch", "0"], 2, "Expected --batch to be an integer in 1..1024 but got 0"],
        [
          [...MICRO_TRAINING, "--accumulate", "2", "--out", "x"],
          2,
          "Expected --accumulate to divide",
        ],
        [
          [...RESUME, "--out", "run", "--steps", "4", "--accumulate", "3"],
          2,
          "Expected --accumulate 1, as the run in run began, but got 3",
        ],
      ] as const
    ) {
      const found = await cli(folder, ...args);
      const line = `${args.join(" ")}\n${found.stderr}`;
      assertEquals([found.code, found.stdout], [code, ""], line);
      assertStringIncludes(found.stderr, message, line);
      assertMatch(found.stderr, /^error: [^\n]+\n$/, `one line: ${line}`);
    }
  });
});

Deno.test("what the device has not is drawn with the reference under auto, and said in one line", async () => {
  await inFolder(async (folder) => {
    succeeded(await cli(folder, ...MICRO_FLAGS, "--steps", "2", "--out", "run"));
    const draw = ["sample", "--checkpoint", "run", "--steps", "3", "--clip", "dynamic"];
    const drawn = succeeded(await cli(folder, ...draw, "--out", "a.png"));
    assertEquals(remarks(drawn), ["WebGPU has no dynamic clipping: computing with the reference"]);
    succeeded(await cli(folder, ...draw, "--out", "b.png", "--device", "cpu"));
    assertEquals(await Deno.readFile(`${folder}/a.png`), await Deno.readFile(`${folder}/b.png`));
  });
});

Deno.test("a command loads nothing that computes on WebGPU before it is used", async () => {
  const root = new URL("../../", import.meta.url);
  for (const name of ["train", "sample"]) {
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["info", "--json", `src/cli/${name}.ts`],
      cwd: root,
      stderr: "null",
    }).output();
    const { modules, roots: [start] }: {
      readonly modules: readonly {
        readonly specifier: string;
        readonly dependencies?: readonly {
          readonly code?: { readonly specifier: string };
          readonly isDynamic?: boolean;
        }[];
      }[];
      readonly roots: readonly string[];
    } = JSON.parse(new TextDecoder().decode(stdout));
    const loaded = new Set<string>();
    const load = (specifier: string): void => {
      if (loaded.has(specifier)) return;
      loaded.add(specifier);
      const found = modules.find((module) => module.specifier === specifier);
      for (const { code, isDynamic } of found?.dependencies ?? []) {
        if (code !== undefined && isDynamic !== true) load(code.specifier);
      }
    };
    load(start);
    const webgpu = [...loaded].filter((url) => url.startsWith(`${root}src/webgpu/`));
    assertEquals(webgpu, [`${root}src/webgpu/errors.ts`]);
    assert(modules.some(({ specifier }) => specifier.endsWith("src/webgpu/trainer.ts")));
  }
});

gpuTest("an adapter that is not there by that name is an error, under auto as well", async () => {
  await inFolder(async (folder) => {
    for (const device of ["auto", "webgpu"]) {
      const { code, stderr } = await cli(
        folder,
        ...[...MICRO_TRAINING, "--out", "x", "--device", device, "--adapter", "abacus"],
      );
      assertEquals(code, 1);
      assertMatch(stderr, /^error: Expected an adapter named like "abacus" but found "[^\n]+"\n$/);
    }
  });
});
