/**
 * Sums over positions and samples: every variant against the reference.
 */
import fc from "fast-check";
import { gamma } from "../../src/math/float32.ts";
import { tensor } from "../../src/math/tensor.ts";
import * as nn from "../../src/reference/nn/mod.ts";
import { VARIANTS, viewsWidth } from "../../src/webgpu/kernels/layout.ts";
import { sumDepth, sumPerChannel, sumPositions } from "../../src/webgpu/kernels/reduce.ts";
import { Bound } from "../support/bound.ts";
import { inDouble } from "../support/doubles.ts";
import { seeds } from "../support/layers.ts";
import { forAllAsync } from "../support/property.ts";
import { gpuTest } from "./gpu_test.ts";
import { Placed, placements } from "./placement.ts";
import { runLaunches } from "./run_launch.ts";
import { normals } from "./values.ts";

const drawn = fc.record({
  N: fc.integer({ min: 1, max: 5 }),
  C: fc.integer({ min: 1, max: 20 }),
  P: fc.oneof(fc.integer({ min: 1, max: 90 }), fc.constantFrom(1, 4, 64, 256)),
  places: fc.record({ x: placements, y: placements }),
  accumulate: fc.boolean(),
  seed: seeds,
});

/** Sums over positions in double, `[N, C]`. */
function positionSums(x: Float32Array, [N, C, P]: readonly [number, number, number]) {
  const dY = inDouble(tensor([N, C, P, 1], x));
  return nn.addPerChannelBackward(dY).dE.data;
}

for (const variant of VARIANTS) {
  gpuTest(`sums over positions (${variant}) are the reference's`, async () => {
    const bound = new Bound("γ_d·Σ|x|");
    await forAllAsync(drawn, 15, async ({ N, C, P, places, accumulate, seed }) => {
      const values = normals(N * C * P, seed), old = normals(N * C, seed + 1);
      const x = new Placed("x", N, C * P, places.x), y = new Placed("y", N, C, places.y);
      const views = { x: x.view, y: y.view };
      const results = await runLaunches<string>(
        [sumPositions(variant, { N, C, P }, views, accumulate)],
        { x: x.holding(values), y: accumulate ? y.holding(old) : y.size },
      );
      const exact = positionSums(values, [N, C, P]);
      const sizes = positionSums(values.map(Math.abs), [N, C, P]);
      const depth = sumDepth(variant, viewsWidth(variant, P, [x.view]), 1, P);
      bound.checkAll(
        y.taken(results.y),
        exact.map((v, i) => v + (accumulate ? old[i] : 0)),
        (i) => gamma(depth + 1) * sizes[i] + (accumulate ? gamma(1) * Math.abs(old[i]) : 0),
        "sum",
      );
    });
    bound.settle(`sums over positions ${variant}`);
  });

  gpuTest(`sums per channel (${variant}) are the reference's bias gradients`, async () => {
    const bound = new Bound("γ_d·Σ|x|");
    await forAllAsync(drawn, 15, async ({ N, C, P, places, accumulate, seed }) => {
      const values = normals(N * C * P, seed), old = normals(C, seed + 1);
      const x = new Placed("x", N, C * P, places.x);
      const results = await runLaunches<string>(
        [sumPerChannel(variant, { N, C, P }, { x: x.view, y: "y" }, accumulate)],
        { x: x.holding(values), y: accumulate ? old : C },
      );
      const overSamples = (sums: Float32Array) =>
        Float64Array.from({ length: C }, (_, c) => {
          let sum = 0;
          for (let n = 0; n < N; n++) sum += sums[n * C + c];
          return sum;
        });
      const exact = overSamples(positionSums(values, [N, C, P]));
      const sizes = overSamples(positionSums(values.map(Math.abs), [N, C, P]));
      const depth = sumDepth(variant, viewsWidth(variant, P, [x.view]), N, P);
      bound.checkAll(
        results.y,
        exact.map((v, i) => v + (accumulate ? old[i] : 0)),
        (i) => gamma(depth + 1) * sizes[i] + (accumulate ? gamma(1) * Math.abs(old[i]) : 0),
        "sum",
      );
    });
    bound.settle(`sums per channel ${variant}`);
  });
}
