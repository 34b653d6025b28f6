/**
 * Where commands compute: the choice, what it says, and that on a device the promises of the reference's
 * runs hold as well.
 */
import {
  assert,
  assertEquals,
  assertLess,
  assertLessOrEqual,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { decode } from "fast-png";
import { heldOutLoss } from "../../src/cli/held_out.ts";
import { MetricsLog } from "../../src/cli/metrics.ts";
import { ProgressLine } from "../../src/cli/terminal.ts";
import { fingerprint } from "../../src/cli/train_data.ts";
import { initialState, networkTimes, trainBatch, trainStep } from "../../src/cli/trainer.ts";
import { trainSteps } from "../../src/cli/training_loop.ts";
import { openWebGpu } from "../../src/cli/webgpu_backend.ts";
import { loadMnist } from "../../src/data/mnist.ts";
import { gamma } from "../../src/math/float32.ts";
import type { Tensor } from "../../src/math/tensor.ts";
import { createSchedule } from "../../src/reference/schedule.ts";
import { unet } from "../../src/reference/unet.ts";
import { decodeCheckpoint, encodeCheckpoint } from "../../src/spec/checkpoint.ts";
import { DDPM_SCHEDULE } from "../../src/spec/schedule_config.ts";
import type { Parameters } from "../../src/spec/unet_parameters.ts";
import { DeviceLostError } from "../../src/webgpu/errors.ts";
import { normals } from "../support/layers.ts";
import { gpuTest } from "../webgpu/gpu_test.ts";
import { liveParameters } from "../webgpu/networks.ts";
import {
  cli,
  cliWith,
  inFolder,
  MICRO,
  MICRO_FLAGS,
  MICRO_TRAINING,
  type Outcome,
} from "./support.ts";

/** An environment in which WebGPU finds no adapter. */
const NO_ADAPTER = { DENO_WEBGPU_BACKEND: "none" };
const ON_DEVICE = [...MICRO_TRAINING, "--device", "webgpu"];
const RESUME = ["train", "--data", "data", "--resume", "--eval", "0", "--samples", "0"];

function succeeded(outcome: Outcome): Outcome {
  assertEquals(outcome.code, 0, outcome.stderr);
  return outcome;
}

/** Lines about the run that say something of the choice, not of how far it is. */
function remarks({ stderr }: Outcome): string[] {
  return stderr.trimEnd().split("\n").filter((line) =>
    !/^(\[|sampling|compiling|held-out|\d+ samples? of)/.test(line)
  );
}

/** The 8×8 images of a PNG that has them in one column, with lines of 2 around them. */
function imagesOf(png: Uint8Array): number[][] {
  const { data, width, height } = decode(png);
  return Array.from(
    { length: (height - 2) / 10 },
    (_, n) =>
      Array.from(
        { length: 64 },
        (_, i) => data[(2 + 10 * n + Math.floor(i / 8)) * width + 2 + i % 8],
      ),
  );
}

const bytesOf = (folder: string, run: string) =>
  Deno.readFile(`${folder}/${run}/checkpoint.safetensors`);

async function metricsOf(folder: string, run: string) {
  const text = await Deno.readTextFile(`${folder}/${run}/metrics.jsonl`);
  return text.trimEnd().split("\n").map((line) => {
    const { imagesPerSecond: _, ...metric } = JSON.parse(line);
    return metric;
  });
}

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

gpuTest(
  "on the device a run of 3 + 3 steps is bit for bit the run of 6, with the table it began with",
  async () => {
    await inFolder(async (folder) => {
      const naive = {
        ...{ format: "ddpm-variants/1", adapter: "any", adapterClass: "software" },
        ...{ gemm: { kind: "naive" }, other: "naive", convolutions: {} },
      };
      await Deno.writeTextFile(`${folder}/naive.json`, JSON.stringify(naive));
      for (
        const [name, flags] of [["usual", []], ["naive", ["--variants", "naive.json"]]] as const
      ) {
        const begin = [...MICRO_TRAINING, ...flags];
        const [whole, parts] = [`${name}6`, `${name}33`];
        succeeded(await cli(folder, ...begin, "--steps", "6", "--out", whole, "--save-every", "2"));
        succeeded(await cli(folder, ...begin, "--steps", "3", "--out", parts));
        // Where it goes on is where it began, unasked.
        const went = succeeded(await cli(folder, ...RESUME, "--steps", "6", "--out", parts));
        assertEquals(remarks(went), []);
        assertEquals(await bytesOf(folder, parts), await bytesOf(folder, whole), name);
        assertEquals(await metricsOf(folder, parts), await metricsOf(folder, whole));
      }
      const [usual, other] = await Promise.all(
        ["usual6", "naive6"].map(async (run) => decodeCheckpoint(await bytesOf(folder, run))),
      );
      assertEquals(usual.train.device, "webgpu");
      assertEquals(usual.train.adapter, other.train.adapter);
      assertEquals(JSON.parse(String(other.train.variants)).gemm, { kind: "naive" });
      assertNotEquals(usual.train.variants, other.train.variants);
      assertNotEquals(usual.ema, other.ema);

      const changed = succeeded(
        await cli(
          folder,
          ...[...RESUME, "--steps", "7", "--out", "usual6", "--variants", "naive.json"],
        ),
      );
      assertEquals(remarks(changed), [
        "trained so far with another variant table: the same bytes as without the change are not promised",
      ]);
    });
  },
);

gpuTest(
  "a run goes on elsewhere, says that its bytes are not promised, and its checkpoint knows",
  async () => {
    await inFolder(async (folder) => {
      const goOn = async (steps: number, ...flags: string[]) => {
        const args = [...RESUME, "--out", "run", "--steps", String(steps), ...flags];
        const outcome = succeeded(await cli(folder, ...args));
        const { train } = decodeCheckpoint(await bytesOf(folder, "run"));
        return {
          said: remarks(outcome).join("\n"),
          device: train.device,
          variants: train.variants,
        };
      };
      succeeded(await cli(folder, ...MICRO_FLAGS, "--out", "run", "--steps", "2"));
      // A run of the reference stays with it unless told otherwise.
      const stayed = await goOn(3);
      assertMatch(stayed.said, /^going on with the reference, as the run began; [^\n]+$/);
      assertEquals(stayed.device, undefined);
      const moved = await goOn(4, "--device", "webgpu");
      assertMatch(
        moved.said,
        /^trained so far by the reference, now on WebGPU \(.+\): the same bytes [^\n]+ not promised$/,
      );
      assertEquals(moved.device, "webgpu");
      assertEquals(await goOn(5), { ...moved, said: "" });
      const back = await goOn(6, "--device", "cpu");
      assertMatch(back.said, /^trained so far on WebGPU \(.+\), now by the reference: /);
      assertEquals([back.device, back.variants], [undefined, undefined]);
      const losses = (await metricsOf(folder, "run")).map(({ step }) => step);
      assertEquals(losses, [1, 2, 3, 4, 5, 6]);
    });
  },
);

gpuTest(
  "the first loss is the reference's, whole or in parts, and a run on the device learns",
  async () => {
    await inFolder(async (folder) => {
      const learn = ["--steps", "60", "--lr", "0.01", "--ema", "0.9", "--eval", "8"];
      const runs = [
        ["cpu", [...MICRO_FLAGS, "--steps", "1"]],
        ["whole", [...ON_DEVICE, ...learn, "--samples", "5", "--sample-steps", "3"]],
        ["parts", [...ON_DEVICE, ...learn, "--accumulate", "3"]],
      ] as const;
      for (const [out, flags] of runs) succeeded(await cli(folder, ...flags, "--out", out));
      const [[cpu], whole, parts] = await Promise.all(
        runs.map(([out]) => metricsOf(folder, out)),
      );
      for (const [first] of [whole, parts]) {
        // The network begins as the zero function, so that the loss is the mean of 3·64 squares.
        assertLess(Math.abs(first.loss - cpu.loss), gamma(3 * 64 + 2) * cpu.loss);
      }
      const test = await loadMnist("test", `${folder}/data`);
      for (const [run, metrics] of [["whole", whole], ["parts", parts]] as const) {
        const { kind, raw, ema } = metrics.pop();
        assertEquals([kind, metrics.length], ["heldOut", 60]);
        const { schedule, training, ema: averaged } = decodeCheckpoint(await bytesOf(folder, run));
        const tables = createSchedule(schedule);
        for (const [loss, weights] of [[raw, training?.model], [ema, averaged]]) {
          const model = (xt: Tensor, times: readonly number[]) =>
            unet(MICRO, weights, xt, networkTimes(times));
          // ε̂ of order 1 is known to some 1e-6 on the device (unet_test.ts), its square to twice that.
          assertLess(Math.abs(loss - await heldOutLoss(model, tables, test, 8)), 1e-5);
        }
        // As for the reference in train_test.ts: learning nothing stays within 1 ± 0.3.
        assertLess(raw, 0.6);
        assertLess(ema, 0.6);
      }
      assertEquals(decodeCheckpoint(await bytesOf(folder, "parts")).train.accumulate, 3);
      assert((await Deno.stat(`${folder}/whole/samples.png`)).size > 0);
    });
  },
);

gpuTest("on the device a sample is the same alone, in any batch and in a partial one", async () => {
  await inFolder(async (folder) => {
    const train = [...ON_DEVICE, "--steps", "20", "--lr", "0.01", "--ema", "0.5", "--out", "run"];
    succeeded(await cli(folder, ...train));
    const draw = async (...flags: string[]) => {
      const shared = ["--checkpoint", "run", "--zoom", "1", "--columns", "1", "--steps", "4"];
      const all = ["sample", ...shared, "--device", "webgpu", "--out", "out.png", ...flags];
      const { stdout } = succeeded(await cli(folder, ...all));
      return { stdout, images: imagesOf(await Deno.readFile(`${folder}/out.png`)) };
    };
    for (
      const process of [
        ["--sampler", "ddpm", "--clip", "none"],
        ["--sampler", "ddim", "--eta", "0.5", "--spacing", "quadratic"],
      ]
    ) {
      const five = await draw(...process, "--count", "5");
      for (const batch of ["1", "2", "5"]) {
        const again = await draw(...process, "--count", "5", "--batch", batch);
        assertEquals(again.images, five.images, `batch ${batch}`);
      }
      const two = await draw(...process, "--first", "3", "--count", "2");
      assertEquals(two.images, five.images.slice(3));
      assertNotEquals(five.images[3], five.images[4]);
      const exact = await draw(...process, "--count", "5", "--device", "cpu");
      // ε̂ of order 1 is known to some 1e-6 on the device (unet_test.ts); a step from ᾱ_T multiplies that by
      // 1/√ᾱ_T = 157 at most, which is less than a byte, 2/255.
      const apart = exact.images.flat().map((v, i) => Math.abs(v - five.images.flat()[i]));
      assertLessOrEqual(Math.max(...apart), 1);
    }
    const { stdout } = await draw("--sampler", "ddim", "--seed", "7", "--json");
    assertEquals(stdout.trimEnd().split("\n").length, 1);
    const { device, adapter, seconds, seed, timesteps, file } = JSON.parse(stdout);
    assertEquals([device, seed, file], ["webgpu", 7, "out.png"]);
    assertEquals(timesteps, [1000, 750, 500, 250]);
    assert(adapter.length > 0 && seconds > 0);
  });
});

gpuTest(
  "a predictor gives the same bits whatever it had before and however full it is",
  async () => {
    const backend = await openWebGpu({ recorded: {} });
    const [a, b] = [1, 2].map((seed) => liveParameters(MICRO, seed));
    const x = normals(1, 0, [2, 1, 8, 8]);
    const predictions = async (batch: number, ...weights: Parameters[]) => {
      const predictor = await backend.predictor(MICRO, batch, () => {});
      const outputs: Tensor[] = [];
      for (const parameters of weights) {
        outputs.push(await predictor.predict(parameters, x, [5, 700]));
      }
      predictor.close();
      return outputs;
    };
    const [[ofA], [ofB]] = [await predictions(2, a), await predictions(2, b)];
    assertNotEquals(ofA, ofB);
    assertEquals(await predictions(5, a, b, a), [ofA, ofB, ofA]);
    backend.close();
  },
);

gpuTest(
  "a loss that is not finite on the device ends the run and leaves its checkpoint",
  async () => {
    await inFolder(async (folder) => {
      succeeded(await cli(folder, ...ON_DEVICE, "--steps", "1", "--out", "run"));
      const path = `${folder}/run/checkpoint.safetensors`;
      const bytes = await Deno.readFile(path);
      // As in train_test.ts: the last quarter becomes float32 of 3.4e38.
      const header = Number(new DataView(bytes.buffer).getBigUint64(0, true));
      bytes.fill(0x7f, bytes.length - (bytes.length - 8 - header) / 4);
      await Deno.writeFile(path, bytes);
      const again = [...RESUME, "--out", "run", "--steps", "9", "--save-every", "1"];
      const { code, stderr } = await cli(folder, ...again);
      assertEquals(code, 1, stderr);
      assertMatch(
        stderr,
        /error: Expected a finite (loss|gradient norm) at step 2 but got (NaN|Infinity): [^\n]+ is from step 1\n$/,
      );
      assertEquals(await Deno.readFile(path), bytes);
    });
  },
);

gpuTest(
  "a device that is destroyed under a run ends in its typed error and keeps the checkpoint",
  async () => {
    await inFolder(async (folder) => {
      const dataset = await loadMnist("train", `${folder}/data`);
      const schedule = createSchedule(DDPM_SCHEDULE);
      const state = initialState(MICRO, 0);
      const backend = await openWebGpu({ recorded: {} });
      const optimiser = { lr: 1e-3, warmup: 2, decay: 0, ema: 0.99, clipNorm: 1 };
      const task = { config: MICRO, schedule, seed: 0, state, batch: 3, accumulate: 1, optimiser };
      const trainer = await backend.trainer(task, () => {});
      const { ema, ...training } = state;
      const log = await MetricsLog.open(`${folder}/metrics.jsonl`, 0);
      const error = await assertRejects(() =>
        trainSteps({
          folder,
          from: {
            unet: MICRO,
            schedule: DDPM_SCHEDULE,
            step: 0,
            seed: 0,
            train: {},
            ema,
            training,
          },
          trainer: {
            ahead: trainer.ahead,
            step: (batch, step) => {
              if (step === 6) backend.close();
              return trainer.step(batch, step);
            },
            state: () => trainer.state(),
            close: () => {},
          },
          ...{ schedule, dataset, steps: 20, batch: 3, examples: {}, optimiser, keep: 1, log },
          savesAt: (step) => step % 4 === 0,
          interrupted: new AbortController().signal,
          progress: new ProgressLine(),
        }), DeviceLostError);
      log.close();
      assertStringIncludes(error.message, `continue with --resume --out ${folder}: `);
      assertStringIncludes(error.message, "checkpoint.safetensors is from step 4");
      const saved = decodeCheckpoint(await Deno.readFile(`${folder}/checkpoint.safetensors`));
      assertEquals(saved.step, 4);
    });
  },
);
