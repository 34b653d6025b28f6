import { assertEquals, assertLess } from "@std/assert";
import { heldOutLoss } from "../../src/cli/held_out.ts";
import { networkTimes } from "../../src/cli/trainer.ts";
import { loadMnist } from "../../src/data/mnist.ts";
import { createSchedule } from "../../src/reference/schedule.ts";
import { unet } from "../../src/reference/unet.ts";
import { decodeCheckpoint } from "../../src/spec/checkpoint.ts";
import { MNIST_TINY } from "../../src/spec/unet_presets.ts";

const FOLDER = new URL("../../models/mnist-tiny/", import.meta.url);

Deno.test("the shipped model has the held-out loss that its card states", async () => {
  const card = await Deno.readTextFile(new URL("README.md", FOLDER));
  const stated = Number(/\| held-out L_simple, averaged weights \| ([\d.]+) +\|/.exec(card)?.[1]);
  const steps = Number(/\| optimiser steps +\| (\d+) +\|/.exec(card)?.[1]);
  const { unet: config, ema, schedule, step, seed } = decodeCheckpoint(
    await Deno.readFile(new URL("model.safetensors", FOLDER)),
  );
  assertEquals([config, step, seed], [MNIST_TINY, steps, 0]);
  const found = await heldOutLoss(
    (xt, times) => unet(config, ema, xt, networkTimes(times)),
    createSchedule(schedule),
    await loadMnist("test"),
    512,
  );
  // The card gives four digits. Each output is a sum in double, rounded to float32 per layer: another
  // order of summation moves the mean of 401,408 squares by far less than the last digit.
  assertLess(Math.abs(found - stated), 0.5e-4 + 1e-6);
});
