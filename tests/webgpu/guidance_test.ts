/**
 * Classifier-free guidance against its definition in double.
 */
import fc from "fast-check";
import { gamma, U32 } from "../../src/math/float32.ts";
import { guidance, GUIDANCE_LANES } from "../../src/webgpu/kernels/guidance.ts";
import { VARIANTS, viewsWidth } from "../../src/webgpu/kernels/layout.ts";
import { real } from "../support/arbitraries.ts";
import { Bound } from "../support/bound.ts";
import { seeds } from "../support/layers.ts";
import { forAllAsync } from "../support/property.ts";
import { gpuTest } from "./gpu_test.ts";
import { Placed, placements } from "./placement.ts";
import { runLaunches } from "./run_launch.ts";
import { normals } from "./values.ts";
import { DIVISION, SQRT } from "./wgsl_accuracy.ts";

const drawn = fc.record({
  N: fc.integer({ min: 1, max: 4 }),
  // A single element has no deviation.
  D: fc.oneof(fc.integer({ min: 2, max: 200 }), fc.constantFrom(4, 192, 3072)),
  places: fc.record({ u: placements, c: placements, y: placements }),
  inPlace: fc.boolean(),
  scale: real(0, 9).map(Math.fround),
  rescale: fc.oneof(fc.constant(0), real(0, 1).map(Math.fround)),
  seed: seeds,
});

/** Mean, deviation (over n) and largest mean of magnitudes of some values. */
function moments(values: readonly number[]) {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const size = values.reduce((a, b) => a + Math.abs(b), 0) / values.length;
  const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length;
  return { size, deviation: Math.sqrt(variance) };
}

for (const variant of VARIANTS) {
  gpuTest(`guidance (${variant}) is its definition`, async () => {
    const bound = new Bound("|y|·δ(φ·ratio + 1 − φ) + |factor|·δg");
    await forAllAsync(drawn, 15, async ({ N, D, places, inPlace, scale, rescale, seed }) => {
      const uValues = normals(N * D, seed), cValues = normals(N * D, seed + 1);
      const u = new Placed("u", N, D, places.u), c = new Placed("c", N, D, places.c);
      const apart = new Placed("y", N, D, places.y), y = inPlace ? u : apart;
      const views = { unconditional: u.view, conditional: c.view, output: y.view };
      const launch = guidance(variant, { N, D }, views, { scale, rescale });
      const results = await runLaunches<string>([launch], {
        u: u.holding(uValues),
        c: c.holding(cValues),
        y: apart.size,
      });
      const width = viewsWidth(variant, D, Object.values(views)), lanes = GUIDANCE_LANES[variant];
      const depth = Math.ceil(D / width / lanes) + (width === 4 ? 2 : 0) + Math.log2(lanes);
      const exact: number[] = [], errors: number[] = [];
      for (let n = 0; n < N; n++) {
        const sample = (values: Float32Array) => [...values.subarray(n * D, (n + 1) * D)];
        const U = sample(uValues), C = sample(cValues);
        const G = U.map((ui, i) => ui + scale * (C[i] - ui));
        // c − u, its product with s, the sum.
        const gErrors = U.map((ui, i) =>
          gamma(2) * Math.abs(scale * (C[i] - ui)) * (1 + U32) + U32 * Math.abs(G[i])
        );
        const ofC = moments(C), ofG = moments(G);
        // A deviation moves by no more than its values' errors do in the root mean square; its own mean is
        // off by δ, which adds δ² to the variance; the squares have d + 3 roundings.
        const relative = ({ size, deviation }: typeof ofC, valueError: number) => {
          const delta = gamma(depth + 2) * (size + valueError);
          const moved = valueError / deviation;
          return (1 + moved) * Math.sqrt((1 + (delta / deviation) ** 2) * (1 + gamma(depth + 3))) -
            1;
        };
        const rms = Math.sqrt(gErrors.reduce((a, b) => a + b * b, 0) / D);
        const rc = relative(ofC, 0), rg = relative(ofG, rms);
        const ratio = ofC.deviation / ofG.deviation;
        const ratioError = ratio * ((1 + rc) * (1 + DIVISION) * (1 + SQRT) / (1 - rg) - 1);
        const factor = rescale * ratio + 1 - rescale;
        const factorError = rescale === 0
          ? 0
          : rescale * ratioError + gamma(3) * (rescale * (ratio + ratioError) + 1 - rescale);
        for (let i = 0; i < D; i++) {
          exact.push(factor * G[i]);
          errors.push(
            (factor + factorError) * gErrors[i] + factorError * Math.abs(G[i]) +
              U32 * (factor + factorError) * (Math.abs(G[i]) + gErrors[i]),
          );
        }
      }
      bound.checkAll(
        y.taken(results[y.name]),
        exact,
        (i) => errors[i],
        rescale ? "rescaled" : "plain",
      );
    });
    bound.settle(`guidance ${variant}`);
  });
}
