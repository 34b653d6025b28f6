/**
 * Softmax over rows and its gradient: every variant against their definitions in double.
 */
import fc from "fast-check";
import { gamma, U32 } from "../../src/math/float32.ts";
import { VARIANTS, viewsWidth } from "../../src/webgpu/kernels/layout.ts";
import { rowDepth, softmax, softmaxBackward } from "../../src/webgpu/kernels/softmax.ts";
import { real } from "../support/arbitraries.ts";
import { Bound } from "../support/bound.ts";
import { seeds } from "../support/layers.ts";
import { forAllAsync } from "../support/property.ts";
import { gpuTest } from "./gpu_test.ts";
import { Placed, placements } from "./placement.ts";
import { runLaunches } from "./run_launch.ts";
import { normals } from "./values.ts";
import { DIVISION, expError, FLUSHED } from "./wgsl_accuracy.ts";

const drawn = fc.record({
  rows: fc.integer({ min: 1, max: 20 }),
  L: fc.oneof(fc.integer({ min: 1, max: 150 }), fc.constantFrom(1, 4, 64, 256)),
  places: fc.record({ x: placements, y: placements, z: placements }),
  inPlace: fc.boolean(),
  scale: real(-2, 2).map(Math.fround),
  deviation: fc.constantFrom(0.1, 1, 100),
  seed: seeds,
});

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/**
 * Softmax of one row in double, and the float32 one's bound. The exponent scale·x − max has an error of
 * u·(|scale·x| + |scale·x_max| + |difference|), exp adds its own: relative error ε_j of each numerator. The
 * sum's is their mean weighted by y, and γ_d of the additions; then a division and a product.
 */
function softmaxRow(x: Float32Array, scale: number, depth: number) {
  const scores = Float64Array.from(x, (v) => scale * v);
  const most = Math.max(...scores);
  const powers = scores.map((s) => Math.exp(s - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  const y = powers.map((p) => p / sum);
  const errors = scores.map((s) => {
    const exponent = U32 * (Math.abs(s) + Math.abs(most) + Math.abs(s - most));
    return Math.exp(exponent) * (1 + expError(s - most) * (1 + U32)) - 1;
  });
  const mean = y.reduce((total, yj, j) => total + yj * errors[j], 0);
  const q = mean + gamma(depth) * (1 + mean);
  const shared = (1 + DIVISION) * (1 + U32) / (1 - q);
  return { y, bound: y.map((yj, j) => yj * ((1 + errors[j]) * shared - 1) + 4 * FLUSHED) };
}

for (const variant of VARIANTS) {
  gpuTest(`softmax (${variant}) is its definition`, async () => {
    const bound = new Bound("y·((1 + ε_j)(1 + division)(1 + u)/(1 − Σ y·ε − γ_d) − 1)");
    await forAllAsync(drawn, 15, async ({ rows, L, places, inPlace, scale, deviation, seed }) => {
      const values = normals(rows * L, seed).map((z) => deviation * z);
      const x = new Placed("x", rows, L, places.x), apart = new Placed("y", rows, L, places.y);
      const y = inPlace ? x : apart;
      const launch = softmax(variant, { rows, L }, { x: x.view, y: y.view }, scale);
      const results = await runLaunches<string>([launch], {
        x: x.holding(values),
        y: apart.size,
      });
      const depth = rowDepth(variant, viewsWidth(variant, L, [x.view, y.view]), L);
      const exact = range(rows).map((i) =>
        softmaxRow(values.subarray(i * L, (i + 1) * L), scale, depth)
      );
      bound.checkAll(
        y.taken(results[y.name]),
        exact.flatMap((row) => [...row.y]),
        (i) => exact[Math.floor(i / L)].bound[i % L],
        "y",
      );
    });
    bound.settle(`softmax ${variant}`);
  });

  gpuTest(`softmax's gradient (${variant}) is its definition`, async () => {
    const bound = new Bound("|scale·y|·(γ_{d+1}·Σ|y·dY| + γ_3·|dY − dot|)");
    await forAllAsync(drawn, 15, async ({ rows, L, places, inPlace, scale, seed }) => {
      const y = new Placed("y", rows, L, places.x), dY = new Placed("dY", rows, L, places.y);
      const apart = new Placed("dX", rows, L, places.z), dX = inPlace ? dY : apart;
      const probabilities = new Float32Array(rows * L);
      for (const i of range(rows)) {
        const row = normals(L, seed + i);
        probabilities.set(softmaxRow(row, 1, 0).y, i * L);
      }
      const gradients = normals(rows * L, seed + rows);
      const views = { y: y.view, dY: dY.view, dX: dX.view };
      const launch = softmaxBackward(variant, { rows, L }, views, scale);
      const results = await runLaunches<string>([launch], {
        y: y.holding(probabilities),
        dY: dY.holding(gradients),
        dX: apart.size,
      });
      const width = viewsWidth(variant, L, Object.values(views));
      const depth = rowDepth(variant, width, L);
      const terms = Float64Array.from(probabilities, (p, i) => p * gradients[i]);
      const dots = range(rows).map((i) =>
        terms.subarray(i * L, (i + 1) * L).reduce((a, b) => a + b, 0)
      );
      const dotErrors = range(rows).map((i) =>
        gamma(depth + 1) *
        terms.subarray(i * L, (i + 1) * L).reduce((a, b) => a + Math.abs(b), 0)
      );
      const slope = (i: number) => scale * probabilities[i];
      const difference = (i: number) => gradients[i] - dots[Math.floor(i / L)];
      bound.checkAll(
        dX.taken(results[dX.name]),
        range(rows * L).map((i) => slope(i) * difference(i)),
        (i) => {
          const dot = dotErrors[Math.floor(i / L)];
          return Math.abs(slope(i)) * (dot * (1 + gamma(3)) + gamma(3) * Math.abs(difference(i))) +
            2 * FLUSHED;
        },
        "dX",
      );
    });
    bound.settle(`softmax gradient ${variant}`);
  });
}
