/**
 * What `train` makes of its flags: data, process, prediction, when it ends and what it leaves.
 */
import { assert, assertEquals, assertLess, assertMatch, assertStringIncludes } from "@std/assert";
import { MetricsLog } from "../../src/cli/metrics.ts";
import { namesIn } from "../../src/cli/run_folder.ts";
import { encodePng } from "../../src/data/png.ts";
import { type Checkpoint, decodeCheckpoint } from "../../src/spec/checkpoint.ts";
import { cli, inFolder, MICRO_FLAGS } from "./support.ts";

async function succeed(folder: string, ...args: string[]) {
  const outcome = await cli(folder, ...args);
  assertEquals(outcome.code, 0, outcome.stderr);
  return outcome;
}

async function fileOf(folder: string, name: string): Promise<Checkpoint> {
  return decodeCheckpoint(await Deno.readFile(`${folder}/${name}.safetensors`));
}

const RESUME = ["train", "--data", "data", "--resume", "--eval", "0", "--samples", "0"];

Deno.test("time ends a run, which is whole and can go on as if it had been told so many steps", async () => {
  await inFolder(async (folder) => {
    const flags = [...MICRO_FLAGS, "--sample-every", "0", "--decay", "1000"];
    const { stderr } = await succeed(folder, ...flags, "--minutes", "0.02", "--out", "timed");
    const [, step] = /time is up after step (\d+); more is --resume --out timed\n/.exec(stderr) ??
      [];
    const model = await fileOf(folder, "timed/model");
    assertEquals(String(model.step), step);
    assert(model.step >= 1);
    const steps = String(model.step + 1);
    await succeed(folder, ...RESUME, "--steps", steps, "--out", "timed");
    await succeed(folder, ...flags, "--steps", steps, "--out", "whole");
    assertEquals(
      await Deno.readFile(`${folder}/timed/checkpoint.safetensors`),
      await Deno.readFile(`${folder}/whole/checkpoint.safetensors`),
    );
    // A run that has all its steps is finished again, and is not another.
    await succeed(folder, ...RESUME, "--steps", steps, "--out", "timed", "--half");
    assertEquals((await fileOf(folder, "timed/checkpoint")).step, Number(steps));

    // The model as float16: each weight is the nearest half.
    const half = await fileOf(folder, "timed/model"), full = await fileOf(folder, "whole/model");
    for (const [name, { data }] of full.ema) {
      assertEquals(half.ema.get(name)?.data, data.map(Math.f16round), name);
    }
    const size = async (run: string) =>
      (await Deno.stat(`${folder}/${run}/model.safetensors`)).size;
    assertLess(await size("timed"), await size("whole") - 2 * 4000);
  });
});

Deno.test("a newest checkpoint that is cut short is named, and the run goes on from the one before", async () => {
  await inFolder(async (folder) => {
    const flags = [...MICRO_FLAGS, "--save-every", "2", "--out"];
    await succeed(folder, ...flags, "whole", "--steps", "6");
    await succeed(folder, ...flags, "cut", "--steps", "4");
    const newest = `${folder}/cut/checkpoint.safetensors`;
    await Deno.truncate(newest, (await Deno.stat(newest)).size - 100);
    await Deno.writeTextFile(`${folder}/cut/report.html.partial`, "<");
    const resume = [...RESUME, "--save-every", "2", "--out", "cut"];
    const { stderr } = await succeed(folder, ...resume, "--steps", "6");
    assertMatch(
      stderr,
      /^Expected a checkpoint in cut\/checkpoint\.safetensors\. .+; taking cut\/checkpoint-000002\.safetensors instead\n/m,
    );
    assertEquals(await namesIn(`${folder}/cut`), await namesIn(`${folder}/whole`));
    for (const name of ["checkpoint.safetensors", "checkpoint-000004.safetensors"]) {
      assertEquals(
        await Deno.readFile(`${folder}/cut/${name}`),
        await Deno.readFile(`${folder}/whole/${name}`),
      );
    }
    // One training at a time.
    const log = await MetricsLog.open(`${folder}/cut/metrics.jsonl`, 6);
    const second = await cli(folder, ...RESUME, "--out", "cut", "--steps", "8");
    log.close();
    assertEquals(second.code, 1);
    assertStringIncludes(second.stderr, "cut/metrics.jsonl is in use by another");
  });
});

Deno.test("networks that predict v or x_0 learn, are judged on ε and draw as what they are", async () => {
  await inFolder(async (folder) => {
    for (
      const [prediction, loss, steps, schedule] of [
        ["v", "min-snr", "60", ["--schedule", "cosine", "--T", "50", "--zero-terminal-snr"]],
        ["x0", "simple", "2", ["--T", "50", "--beta-start", "0.002", "--beta-end", "0.2"]],
      ] as const
    ) {
      const { stdout } = await succeed(
        folder,
        ...[...MICRO_FLAGS, "--steps", steps, "--lr", "0.01", "--ema", "0.9", "--out", prediction],
        ...[
          "--prediction",
          prediction,
          "--loss",
          loss,
          ...schedule,
          "--eval",
          "8",
          "--samples",
          "2",
        ],
      );
      const checkpoint = await fileOf(folder, `${prediction}/model`);
      assertEquals(checkpoint.prediction, prediction);
      assertEquals("T" in checkpoint.schedule && checkpoint.schedule.T, 50);
      const [, ema] = /test images: (\S+) \(averaged/.exec(stdout) ?? [];
      assert(Number.isFinite(Number(ema)), ema);
      // Of output zero ε̂ is, for v, √(1−ᾱ)·x_t: then ε − ε̂ = ᾱε − √(ᾱ(1−ᾱ))·x_0, whose square is of
      // order ᾱ. An output that were taken for ε would be charged the mean square of ε − v, of order 1.
      if (prediction === "v") assertLess(Number(ema), 0.4);
      // Where ᾱ_T = 0, samples drawn as if the output were ε would be an error.
      assert((await Deno.stat(`${folder}/${prediction}/samples.png`)).size > 0);
    }
  });
});

Deno.test("a preset fits its network to a folder of pictures, and a run that goes on knows how", async () => {
  await inFolder(async (folder) => {
    for (const [k, kind] of ["cats", "dogs", "owls"].entries()) {
      await Deno.mkdir(`${folder}/pets/${kind}`, { recursive: true });
      for (let n = 0; n < 6; n++) {
        const data = Uint8Array.from(
          { length: 12 * 10 * 3 },
          (_, i) => (i * (7 + n) + 50 * k) % 256,
        );
        const png = encodePng({ width: 12, height: 10, channels: 3, data });
        await Deno.writeFile(`${folder}/pets/${kind}/${n}.png`, png);
      }
    }
    const shared = ["--data", "pets", "--eval", "0", "--samples", "0", "--device", "cpu"];
    const flags = ["--preset", "mnist", "--image-size", "8", "--flip", "on", "--batch", "2"];
    await succeed(folder, "train", ...shared, ...flags, "--steps", "1", "--out", "run");
    const resume = ["train", ...shared, "--resume", "--out", "run", "--steps", "2"];
    await succeed(folder, ...resume);
    const { unet, train, step } = await fileOf(folder, "run/checkpoint");
    assertEquals([unet.sampleSize, unet.inChannels, unet.numClassEmbeds, step], [8, 3, 4, 2]);
    assertEquals([train.preset, train["image-size"], train.flip], ["mnist", 8, "on"]);
    for (
      const [flag, value, message] of [
        ["--image-size", "4", "Expected --image-size 8, as the run in run began, but got 4"],
        ["--flip", "off", "Expected --flip on, as the run in run began, but got off"],
      ] as const
    ) {
      const { code, stderr } = await cli(folder, ...resume, flag, value);
      assertEquals(code, 2);
      assertStringIncludes(stderr, message);
    }
  });
});
