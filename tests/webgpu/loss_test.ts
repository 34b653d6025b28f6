/**
 * The loss and its gradient: every variant against the reference.
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { gamma, roundingBound, U32 } from "../../src/math/float32.ts";
import { tensor } from "../../src/math/tensor.ts";
import { lossSimple } from "../../src/reference/loss.ts";
import { VARIANTS, viewsWidth } from "../../src/webgpu/kernels/layout.ts";
import { loss, lossDepth, lossParts } from "../../src/webgpu/kernels/loss.ts";
import { real } from "../support/arbitraries.ts";
import { Bound } from "../support/bound.ts";
import { seeds } from "../support/layers.ts";
import { forAllAsync } from "../support/property.ts";
import { gpuTest } from "./gpu_test.ts";
import { Placed, placements } from "./placement.ts";
import { runLaunches } from "./run_launch.ts";
import { normals } from "./values.ts";

const drawn = fc.record({
  N: fc.oneof(
    { arbitrary: fc.integer({ min: 1, max: 5 }), weight: 5 },
    { arbitrary: fc.constant(70), weight: 1 },
  ),
  D: fc.oneof(fc.integer({ min: 1, max: 300 }), fc.constantFrom(1, 4, 1024, 3072, 3001)),
  places: fc.record({ target: placements, output: placements, dOutput: placements }),
  inPlace: fc.boolean(),
  weighted: fc.boolean(),
  scale: fc.oneof(fc.constant(1), real(0.1, 1)),
  accumulate: fc.boolean(),
  /** Number of the micro-batch; null for a batch that is whole. */
  part: fc.oneof(fc.constant(null), fc.integer({ min: 0, max: 2 })),
  seed: seeds,
});

for (const variant of VARIANTS) {
  gpuTest(`the loss (${variant}) is the reference's`, async () => {
    const bound = new Bound("γ_d·Σ|terms|");
    await forAllAsync(
      drawn,
      15,
      async ({ N, D, places, inPlace, weighted, part, seed, ...options }) => {
        const { scale, accumulate } = options;
        const first = (part ?? 0) * N;
        const values = [normals(N * D, seed), normals(N * D, seed + 1)];
        const weights = normals(N, seed + 2).map((z) => Math.abs(z));
        const target = new Placed("target", N, D, places.target);
        const output = new Placed("output", N, D, places.output);
        const apart = new Placed("dOutput", N, D, places.dOutput);
        const dOutput = inPlace ? output : apart;
        const launches = loss(variant, { N, D }, {
          target: target.view,
          output: output.view,
          weights: weighted ? "weights" : null,
          dOutput: dOutput.view,
          parts: "parts",
          losses: "losses",
          part: part === null ? null : "part",
          loss: "loss",
        }, options);
        const results = await runLaunches<string>(launches, {
          target: target.holding(values[0]),
          output: output.holding(values[1]),
          ...(weighted && { weights }),
          dOutput: apart.size,
          parts: N * lossParts(variant, D),
          losses: 3 * N,
          ...(part !== null && { part: Uint32Array.of(part) }),
          loss: accumulate ? Float32Array.of(1.5) : 1,
        });

        // Those of other micro-batches are left alone.
        const losses = results.losses.slice(first, first + N);
        assert(results.losses.every((v, n) => n >= first && n < first + N || Number.isNaN(v)));
        const width = viewsWidth(variant, D, [target.view, output.view, dOutput.view]);
        // A difference, its square and the sum; then the factor 1/D, rounded, and its product.
        const rounding = gamma(lossDepth(variant, width, D) + 5);
        const weight = (n: number) => weighted ? weights[n] : 1;
        let whole = 0;
        const gradient: number[] = [];
        for (let n = 0; n < N; n++) {
          const sample = values.map((v) => tensor([1, D], v.slice(n * D, (n + 1) * D)));
          const exact = lossSimple(sample[0], sample[1]);
          bound.check(losses[n], exact.mean, rounding * exact.mean, "sample's loss");
          whole += scale * weight(n) * exact.mean / N;
          exact.gradient.data.forEach((g) => gradient.push(scale * weight(n) * g / N));
        }
        // The weight's product, N additions, the factor, rounded, and its product; what was there, added.
        const wholeBound = (rounding + gamma(N + 3)) * (1 + rounding) * whole;
        const before = accumulate ? 1.5 : 0;
        const adding = accumulate ? U32 * (before + whole + wholeBound) : 0;
        bound.check(results.loss[0], before + whole, wholeBound + adding, "loss");
        // Difference, factor, weight and product; the reference's own rounding of the gradient.
        bound.checkAll(
          dOutput.taken(results[dOutput.name]),
          gradient,
          (i) => gamma(4) * Math.abs(gradient[i]) * (1 + U32) + roundingBound(gradient[i]),
          "gradient",
        );
      },
    );
    bound.settle(`loss ${variant}`);
  });
}

gpuTest("a sample's loss and its parts do not depend on its batch", async () => {
  const D = 3000, values = [normals(3 * D, 1), normals(3 * D, 2)];
  for (const variant of VARIANTS) {
    const run = async (first: number, N: number) => {
      const view = (tensor: string) => ({ tensor, offset: 0, sampleStride: D });
      const launches = loss(variant, { N, D }, {
        target: view("target"),
        output: view("output"),
        weights: null,
        dOutput: view("dOutput"),
        parts: "parts",
        losses: "losses",
        part: null,
        loss: "loss",
      }, { scale: 1, accumulate: false });
      const [target, output] = values.map((v) => v.slice(first * D, (first + N) * D));
      const parts = N * lossParts(variant, D);
      const results = await runLaunches<string>(launches, {
        target,
        output,
        dOutput: N * D,
        parts,
        losses: N,
        loss: 1,
      });
      return results.losses;
    };
    assertEquals((await run(0, 3)).slice(2), await run(2, 1));
  }
});
