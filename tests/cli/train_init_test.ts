/**
 * A run that begins with the weights of another.
 */
import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { decodeCheckpoint } from "../../src/spec/checkpoint.ts";
import { cli, inFolder, MICRO_FLAGS } from "./support.ts";

const LR = 1e-6;

// A run that is given weights is given no network.
const at = MICRO_FLAGS.indexOf("--config");
const INIT_FLAGS = MICRO_FLAGS.filter((_, i) => i !== at && i !== at + 1);

Deno.test("a run begins with the averaged weights of another, and with an optimiser of its own", async () => {
  await inFolder(async (folder) => {
    const read = async (path: string) => decodeCheckpoint(await Deno.readFile(`${folder}/${path}`));
    const first = await cli(folder, ...MICRO_FLAGS, "--steps", "5", "--lr", "0.01", "--out", "a");
    assertEquals(first.code, 0, first.stderr);
    const init = [...INIT_FLAGS, "--init", "a", "--seed", "9", "--warmup", "0"];
    const second = await cli(folder, ...init, "--steps", "1", "--lr", `${LR}`, "--out", "b");
    assertEquals(second.code, 0, second.stderr);
    const [a, b] = [await read("a/checkpoint.safetensors"), await read("b/checkpoint.safetensors")];
    assertEquals([b.step, b.seed, b.train.init], [1, 9, "a"]);
    assert(b.training !== undefined);
    let moved = 0;
    for (const [name, { data: theta }] of b.training.model) {
      const began = a.ema.get(name)!.data;
      for (let i = 0; i < theta.length; i++) {
        // With moments of zero before it, Adam's first step is lr·g / (|g| + ε'), at most lr; computing
        // it rounds a few times, which 1 % of lr covers, and the sum rounds once, to half an ulp.
        const bound = 1.01 * LR + Math.abs(began[i]) * 2 ** -24;
        const distance = Math.abs(theta[i] - began[i]);
        assertLessOrEqual(distance, bound, `${name}[${i}]`);
        if (distance > 0) moved++;
      }
    }
    assert(moved > 0);
  });
});

Deno.test("what --init does not go with is refused in one line", async () => {
  await inFolder(async (folder) => {
    const first = await cli(folder, ...MICRO_FLAGS, "--steps", "1", "--out", "a");
    assertEquals(first.code, 0, first.stderr);
    const cases = [
      [
        ["--init", "a", "--prediction", "v", "--out", "b"],
        2,
        "Expected --prediction epsilon, as the network in a/checkpoint.safetensors predicts, but got v",
      ],
      [
        ["--init", "a", "--config", "unet.json", "--out", "b"],
        2,
        "Expected no --config with --init a, which has a network, but got unet.json",
      ],
      [
        ["--init", "a", "--resume", "--out", "a"],
        2,
        "Expected --init with a new run only, but the run in a has weights of its own",
      ],
    ] as const;
    for (const [flags, code, message] of cases) {
      const outcome = await cli(folder, ...INIT_FLAGS, "--steps", "2", ...flags);
      assertEquals([outcome.stderr.trim(), outcome.code], [`error: ${message}`, code]);
    }
    const missing = await cli(folder, ...INIT_FLAGS, "--init", "nowhere", "--out", "b");
    assertEquals(missing.code, 1);
    assertEquals(missing.stderr.trim().split("\n").length, 1);
  });
});
