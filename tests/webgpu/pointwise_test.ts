/**
 * Transposition, and the gradient of a 1x1 convolution's weights by every variant of the product.
 */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { gamma } from "../../src/math/float32.ts";
import { type GemmVariant, REGISTER, WORKGROUP } from "../../src/webgpu/kernels/gemm.ts";
import { pointwiseWeightGradient } from "../../src/webgpu/kernels/pointwise.ts";
import { transpose } from "../../src/webgpu/kernels/transpose.ts";
import { Bound } from "../support/bound.ts";
import { gpuTest } from "./gpu_test.ts";
import { Placed, placements } from "./placement.ts";
import { runLaunches } from "./run_launch.ts";
import { normals } from "./values.ts";

const size = (max: number): fc.Arbitrary<number> =>
  fc.oneof(fc.integer({ min: 1, max }), fc.integer({ min: 1, max: max >> 2 }).map((x) => 4 * x));

const drawn = fc.record({
  N: fc.integer({ min: 1, max: 4 }),
  C: size(20),
  O: size(20),
  P: size(40),
  xAt: placements,
  dYAt: placements,
  accumulate: fc.boolean(),
  seed: fc.nat(),
});

gpuTest("transpose makes channels neighbours", async () => {
  const property = fc.asyncProperty(drawn, async ({ N, C, P, xAt, seed }) => {
    const values = normals(N * C * P, seed);
    const x = new Placed("x", N, C * P, xAt);
    const expected = values.map((_, i) => {
      const c = i % C, position = Math.floor(i / C) % P, n = Math.floor(i / (C * P));
      return values[(n * C + c) * P + position];
    });
    for (const variant of ["naive", "lanes"] as const) {
      const launch = transpose(variant, { N, C, P }, { x: x.view, y: "y" });
      const { y } = await runLaunches<string>([launch], { x: x.holding(values), y: N * C * P });
      assertEquals(y, expected);
    }
  });
  await fc.assert(property, { seed: 60, numRuns: 10, endOnFailure: true });
});

gpuTest("a 1x1 convolution's weight gradient sums over images and positions", async () => {
  const bounds = new Bound("γ_{NP+1}·(Σ|x·dY| + |old|)");
  const variants: GemmVariant[] = [{ kind: "naive" }, REGISTER, WORKGROUP];
  const property = fc.asyncProperty(drawn, async (d) => {
    const { N, C, O, P, accumulate, seed } = d;
    const x = normals(N * C * P, seed), dY = normals(N * O * P, seed + 1);
    const before = normals(C * O, seed + 2);
    const xPlace = new Placed("x", N, C * P, d.xAt), dYPlace = new Placed("dY", N, O * P, d.dYAt);
    const results = [];
    for (const variant of variants) {
      const launches = pointwiseWeightGradient<string>(variant, d, {
        x: xPlace.view,
        dY: dYPlace.view,
        xTransposed: "xT",
        dYTransposed: "dYT",
        dWeights: "dW",
      }, accumulate);
      const { dW } = await runLaunches<string>(launches, {
        x: xPlace.holding(x),
        dY: dYPlace.holding(dY),
        xT: x.length,
        dYT: dY.length,
        dW: accumulate ? before : C * O,
      });
      results.push(dW);
    }
    for (let c = 0; c < C; c++) {
      for (let o = 0; o < O; o++) {
        const old = accumulate ? before[c * O + o] : 0;
        let sum = old, magnitude = Math.abs(old);
        for (let n = 0; n < N; n++) {
          for (let p = 0; p < P; p++) {
            const term = x[(n * C + c) * P + p] * dY[(n * O + o) * P + p];
            sum += term;
            magnitude += Math.abs(term);
          }
        }
        for (const dW of results) {
          bounds.check(dW[c * O + o], sum, gamma(N * P + 1) * magnitude, "dW", `[${c}, ${o}]`);
        }
      }
    }
    for (const dW of results) assertEquals(dW, results[0]);
  });
  await fc.assert(property, { seed: 61, numRuns: 8, endOnFailure: true });
  bounds.settle("1x1 weight gradient");
});
