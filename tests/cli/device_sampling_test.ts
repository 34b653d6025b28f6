/**
 * Sampling and prediction on a device.
 */
import { assert, assertEquals, assertLessOrEqual, assertNotEquals } from "@std/assert";
import { decode } from "fast-png";
import { openWebGpu } from "../../src/cli/webgpu_backend.ts";
import type { Tensor } from "../../src/math/tensor.ts";
import type { Parameters } from "../../src/spec/unet_parameters.ts";
import { normals } from "../support/layers.ts";
import { gpuTest } from "../webgpu/gpu_test.ts";
import { liveParameters } from "../webgpu/networks.ts";
import { ON_DEVICE, succeeded } from "./device_support.ts";
import { cli, inFolder, MICRO } from "./support.ts";

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
