import { assertEquals, assertLess, assertMatch, assertStringIncludes } from "@std/assert";
import { decode } from "fast-png";
import { decodeCheckpoint } from "../../src/spec/checkpoint.ts";
import { exists } from "../../src/cli/run_folder.ts";
import { cli, inFolder, MICRO_FLAGS, startCli } from "./support.ts";

const delay = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function succeed(folder: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await cli(folder, ...args);
  assertEquals(code, 0, stderr);
  return stdout;
}

/** The metrics of a run without its pace, which no run has twice. */
const metricsOf = async (run: string) =>
  (await Deno.readTextFile(`${run}/metrics.jsonl`)).trimEnd().split("\n").map((line) => {
    const { imagesPerSecond: _, ...metric } = JSON.parse(line);
    return metric;
  });

Deno.test("a run that stops at step 3 and goes on to 6 is bit for bit the run of 6 steps", async () => {
  await inFolder(async (folder) => {
    await succeed(folder, ...MICRO_FLAGS, "--steps", "6", "--out", "whole");
    await succeed(folder, ...MICRO_FLAGS, "--steps", "3", "--out", "parts");
    // Lines that a crash would leave behind: a step after the checkpoint, and half a line.
    await Deno.writeTextFile(`${folder}/parts/metrics.jsonl`, '{"kind":"train","step":4}\n{"ki', {
      append: true,
    });
    const resume = ["train", "--data", "data", "--resume", "--eval", "0", "--samples", "0"];
    await succeed(folder, ...resume, "--steps", "6", "--out", "parts");
    for (const file of ["checkpoint.safetensors", "model.safetensors", "config.json"]) {
      assertEquals(
        await Deno.readFile(`${folder}/parts/${file}`),
        await Deno.readFile(`${folder}/whole/${file}`),
        file,
      );
    }
    const losses = await metricsOf(`${folder}/whole`);
    assertEquals(losses.map(({ step }) => step), [1, 2, 3, 4, 5, 6]);
    assertEquals(await metricsOf(`${folder}/parts`), losses);
  });
});

Deno.test("a run learns, is judged with raw and averaged weights, and leaves what it promises", async () => {
  await inFolder(async (folder) => {
    const stdout = await succeed(
      folder,
      ...[...MICRO_FLAGS, "--steps", "60", "--lr", "0.01", "--out", "run", "--ema", "0.9"],
      ...["--eval", "8", "--samples", "5", "--sample-steps", "3", "--seed", "4"],
      ...["--sample-every", "60"],
    );
    assertMatch(stdout, /held-out L_simple after 60 steps on 8 test images: 0\.\d{4} /);
    assertStringIncludes(stdout, "run/samples.png");
    const metrics = await metricsOf(`${folder}/run`);
    const { kind, images, raw, ema } = metrics.pop();
    assertEquals([kind, images, metrics.length], ["heldOut", 8, 60]);
    // The network starts as the zero function, of loss 1 but for chance: the mean of 8·64 squared
    // normals is within 1 ± 0.3 (4.8 standard deviations of √(2/512)). Learning nothing stays there.
    assertLess(raw, 0.6);
    assertLess(ema, 0.6);

    const checkpoint = decodeCheckpoint(
      await Deno.readFile(`${folder}/run/checkpoint.safetensors`),
    );
    const model = decodeCheckpoint(await Deno.readFile(`${folder}/run/model.safetensors`));
    assertEquals([checkpoint.step, checkpoint.seed, model.step], [60, 4, 60]);
    assertEquals(model.ema, checkpoint.ema);
    assertEquals(model.training, undefined);
    // Five images of 8×8, each pixel 11 by 11, in 3 columns and 2 rows with lines of 2.
    const { width, height } = decode(await Deno.readFile(`${folder}/run/samples.png`));
    assertEquals([width, height], [2 + 3 * 90, 2 + 2 * 90]);

    const report = await Deno.readTextFile(`${folder}/run/report.html`);
    for (const picture of ["samples.png", "samples/step-000060.png"]) {
      const png = (await Deno.readFile(`${folder}/run/${picture}`)).toBase64();
      assertStringIncludes(report, `"data:image/png;base64,${png}"`);
    }
    // Loss, its four quarters, rate, norm and pace, the raw curves beside the smooth ones.
    assertEquals([...report.matchAll(/<path /g)].length, 2 + 4 + 1 + 2 + 2);
    assertStringIncludes(report, `<td>averaged weights</td><td>${ema.toFixed(4)}</td>`);
    assertStringIncludes(report, "<td>lr</td><td>0.01</td>");
    assertStringIncludes(report, "<code>train --data data --config unet.json");
  });
});

Deno.test("a loss that is no longer finite ends the run with advice and code 1", async () => {
  await inFolder(async (folder) => {
    // A last quarter of bytes 0x7f, among them the weights, is float32 of 3.4e38: they overflow.
    await succeed(folder, ...MICRO_FLAGS, "--steps", "1", "--out", "run");
    const path = `${folder}/run/checkpoint.safetensors`;
    const bytes = await Deno.readFile(path);
    const header = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    bytes.fill(0x7f, bytes.length - (bytes.length - 8 - header) / 4);
    await Deno.writeFile(path, bytes);
    const { code, stderr } = await cli(
      folder,
      ...["train", "--data", "data", "--resume", "--out", "run", "--steps", "9"],
    );
    assertEquals(code, 1, stderr);
    assertStringIncludes(stderr, "Expected a finite loss at step 2 but got NaN: try a lower --lr");
  });
});

Deno.test("a run that is interrupted saves itself and goes on as if it had not been", async () => {
  for (const signal of ["SIGINT", "SIGTERM"] as const) await checkInterrupted(signal);
});

async function checkInterrupted(signal: Deno.Signal): Promise<void> {
  await inFolder(async (folder) => {
    const flags = [...MICRO_FLAGS, "--out", "run", "--steps", "1000000"];
    const child = startCli(folder, ...flags);
    // Half a second of steps after the first one is done.
    while (!(await exists(`${folder}/run/metrics.jsonl`))) await delay(20);
    await delay(500);
    child.kill(signal);
    const { code, stderr } = await child.output();
    assertEquals(code, 130);
    const message = new TextDecoder().decode(stderr);
    const [, step] = /stopped after step (\d+); go on with --resume --out run\n$/.exec(message) ??
      [];
    assertMatch(step ?? message, /^\d+$/);
    const steps = String(Number(step) + 2);
    await succeed(folder, ...MICRO_FLAGS, "--out", "run", "--resume", "--steps", steps);
    await succeed(folder, ...MICRO_FLAGS, "--out", "whole", "--steps", steps);
    assertEquals(
      await Deno.readFile(`${folder}/run/checkpoint.safetensors`),
      await Deno.readFile(`${folder}/whole/checkpoint.safetensors`),
    );
  });
}
