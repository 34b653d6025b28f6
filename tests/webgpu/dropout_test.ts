/**
 * Dropout drops the very values that the reference drops.
 */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { gamma } from "../../src/math/float32.ts";
import { randomBits } from "../../src/math/philox.ts";
import { tensor } from "../../src/math/tensor.ts";
import * as nn from "../../src/reference/nn/mod.ts";
import { dropout, dropoutKeys } from "../../src/webgpu/kernels/dropout.ts";
import { VARIANTS } from "../../src/webgpu/kernels/layout.ts";
import { Bound } from "../support/bound.ts";
import { inDouble } from "../support/doubles.ts";
import { seeds } from "../support/layers.ts";
import { forAllAsync } from "../support/property.ts";
import { gpuTest } from "./gpu_test.ts";
import { Placed, placements } from "./placement.ts";
import { runLaunches } from "./run_launch.ts";
import { normals } from "./values.ts";

const anyInteger = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });

const drawn = fc.record({
  D: fc.oneof(fc.integer({ min: 1, max: 300 }), fc.constantFrom(1, 4, 2048, 4100)),
  streams: fc.array(anyInteger, { minLength: 1, maxLength: 5 }),
  dropoutSeed: anyInteger,
  probability: fc.constantFrom(0, 0.1, 0.25, 0.5, 0.9),
  keysOffset: fc.nat(9),
  places: fc.record({ x: placements, y: placements }),
  inPlace: fc.boolean(),
  seed: seeds,
});

for (const variant of VARIANTS) {
  gpuTest(`dropout (${variant}) drops what the reference drops`, async () => {
    const bound = new Bound("γ_2·|y|");
    await forAllAsync(drawn, 15, async ({ D, streams, dropoutSeed, probability, ...rest }) => {
      const { keysOffset, places, inPlace, seed } = rest;
      const N = streams.length;
      const values = normals(N * D, seed);
      const x = new Placed("x", N, D, places.x), apart = new Placed("y", N, D, places.y);
      const y = inPlace ? x : apart;
      const keys = new Uint32Array(keysOffset + 4 * N);
      keys.set(dropoutKeys(dropoutSeed, streams), keysOffset);
      const tensors = { x: x.view, y: y.view, keys: "keys", keysOffset };
      const results = await runLaunches<string>(
        [dropout(variant, { N, D }, tensors, probability)],
        { x: x.holding(values), y: apart.size, keys },
      );
      const found = y.taken(results[y.name]);
      const options = { probability, seed: dropoutSeed, streams };
      const exact = nn.dropout(inDouble(tensor([N, D], values)), options).data;
      assertEquals(
        found.map((v) => v === 0 ? 0 : 1),
        Float32Array.from(exact, (v) => v === 0 ? 0 : 1),
      );
      // The factor 1/(1 − p) is rounded, and its product.
      bound.checkAll(found, exact, (i) => gamma(2) * Math.abs(exact[i]), "y");
    });
    bound.settle(`dropout ${variant}`);
  });
}

gpuTest("a word equal to the threshold keeps its value", async () => {
  const seed = 5, streams = [7], D = 5;
  const words = randomBits(seed, streams[0], 0, D);
  const keys = dropoutKeys(seed, streams);
  const view = (tensor: string) => ({ tensor, offset: 0, sampleStride: D });
  const tensors = { x: view("x"), y: view("y"), keys: "keys", keysOffset: 0 };
  for (const variant of VARIANTS) {
    for (const [threshold, kept] of [[words[3], true], [words[3] + 1, false]] as const) {
      const launch = dropout(variant, { N: 1, D }, tensors, threshold / 2 ** 32);
      const x = new Float32Array(D).fill(1);
      const results = await runLaunches<string>([launch], { x, y: D, keys });
      assertEquals(results.y[3] !== 0, kept);
    }
  }
});
