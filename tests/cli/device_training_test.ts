/**
 * Training on a device: the promises of the reference's runs hold as well.
 */
import {
  assert,
  assertEquals,
  assertLess,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { heldOutLoss } from "../../src/cli/held_out.ts";
import { MetricsLog } from "../../src/cli/metrics.ts";
import { ProgressLine } from "../../src/cli/terminal.ts";
import { initialState, networkTimes } from "../../src/cli/trainer.ts";
import { trainSteps } from "../../src/cli/training_loop.ts";
import { openWebGpu } from "../../src/cli/webgpu_backend.ts";
import { loadMnist } from "../../src/data/mnist.ts";
import { gamma } from "../../src/math/float32.ts";
import type { Tensor } from "../../src/math/tensor.ts";
import { createSchedule } from "../../src/reference/schedule.ts";
import { unet } from "../../src/reference/unet.ts";
import { decodeCheckpoint } from "../../src/spec/checkpoint.ts";
import { DDPM_SCHEDULE } from "../../src/spec/schedule_config.ts";
import { DeviceLostError } from "../../src/webgpu/errors.ts";
import { gpuTest } from "../webgpu/gpu_test.ts";
import {
  bytesOf,
  type MetricLine,
  metricsOf,
  ON_DEVICE,
  remarks,
  RESUME,
  succeeded,
} from "./device_support.ts";
import { cli, inFolder, MICRO, MICRO_FLAGS, MICRO_TRAINING } from "./support.ts";

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
        const { kind, raw, ema } = metrics.pop() as MetricLine;
        assertEquals([kind, metrics.length], ["heldOut", 60]);
        const { schedule, training, ema: averaged } = decodeCheckpoint(await bytesOf(folder, run));
        const tables = createSchedule(schedule);
        for (const [loss, weights] of [[raw, training!.model], [ema, averaged]] as const) {
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
