/**
 * The sampling step on the device: DDPM and DDIM, every prediction and variance, against the reference
 * over drawn processes.
 */
import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ArgumentError } from "../../src/math/errors.ts";
import { gamma, U32, U64 } from "../../src/math/float32.ts";
import { type Tensor, tensor } from "../../src/math/tensor.ts";
import { ddimStep } from "../../src/reference/ddim.ts";
import { ddpmStep } from "../../src/reference/ddpm.ts";
import { createSchedule } from "../../src/reference/schedule.ts";
import { advance, samplerStep } from "../../src/webgpu/kernels/sampler.ts";
import {
  ROW,
  ROW_SIZE,
  type SamplerRowOptions,
  samplerRows,
} from "../../src/webgpu/sampler_rows.ts";
import { VARIANTS } from "../../src/webgpu/kernels/layout.ts";
import { process, real } from "../support/arbitraries.ts";
import { Bound } from "../support/bound.ts";
import { seeds } from "../support/layers.ts";
import { forAllAsync } from "../support/property.ts";
import { gpuTest } from "./gpu_test.ts";
import { Placed, placements } from "./placement.ts";
import { runLaunches } from "./run_launch.ts";
import { normals } from "./values.ts";
import { expError } from "./wgsl_accuracy.ts";

const ddpm: fc.Arbitrary<SamplerRowOptions> = fc.record({
  kind: fc.constant("ddpm" as const),
  prediction: fc.constantFrom(
    "epsilon" as const,
    "x0" as const,
    "v" as const,
    "previousX" as const,
  ),
  variance: fc.constantFrom(
    "beta" as const,
    "betaTilde" as const,
    "learned" as const,
    "learnedRange" as const,
  ),
  clipRange: fc.constantFrom(null, 1, 2),
});

const ddim: fc.Arbitrary<SamplerRowOptions> = fc.record({
  kind: fc.constant("ddim" as const),
  prediction: fc.constantFrom("epsilon" as const, "x0" as const, "v" as const),
  eta: fc.oneof(fc.constantFrom(0, 1), real(0, 1)),
  rederiveEpsilon: fc.boolean(),
  clipRange: fc.constantFrom(null, 1, 2),
});

const drawn = fc.record({
  process,
  options: fc.oneof(ddpm, ddim),
  position: real(0, 1),
  N: fc.integer({ min: 1, max: 3 }),
  C: fc.integer({ min: 1, max: 3 }),
  P: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(4, 64, 1024)),
  places: fc.record({ x: placements, output: placements, noise: placements, x0: placements }),
  slots: fc.integer({ min: 1, max: 3 }),
  seed: seeds,
});

/** The reference's step. */
function reference(
  schedule: ReturnType<typeof createSchedule>,
  k: number,
  x: Tensor,
  output: Tensor,
  z: Tensor,
  options: SamplerRowOptions,
) {
  const t = schedule.timesteps[k], previous = k === 0 ? 0 : schedule.timesteps[k - 1];
  const { clipRange } = options;
  const clip = clipRange === null ? null : { kind: "static", range: clipRange } as const;
  return options.kind === "ddpm"
    ? ddpmStep(schedule, t, x, output, z, { ...options, clip })
    : ddimStep(schedule, t, previous, x, output, z, { ...options, clip });
}

for (const variant of VARIANTS) {
  gpuTest(`a sampling step (${variant}) is the reference's`, async () => {
    const bound = new Bound("|fromX0|·δx̂_0 + γ_6·Σ|terms|");
    await forAllAsync(drawn, 25, async ({ process, options, position, N, C, P, ...rest }) => {
      const { places, slots, seed } = rest;
      const schedule = createSchedule(process.config);
      const levels = Array.from(schedule.alphaBar, (alphaBar, k) => ({
        alphaBar,
        oneMinusAlphaBar: schedule.oneMinusAlphaBar[k],
      }));
      const K = levels.length;
      if (options.prediction === "epsilon" && levels.some((level) => level.alphaBar === 0)) {
        assertThrows(() => samplerRows(levels, options), ArgumentError);
        return;
      }
      const rows = samplerRows(levels, options);
      const number = Math.min(K - 1, Math.floor(position * K)), k = K - 1 - number;
      const learned = options.kind === "ddpm" && options.variance.startsWith("learned");
      const D = C * P, parts = learned ? 2 : 1;
      const values = { x: normals(N * D, seed), output: normals(N * parts * D, seed + 1) };
      const z = normals(N * D, seed + 2);

      const x = new Placed("x", N, D, places.x), x0 = new Placed("x0", N, D, places.x0);
      const output = new Placed("output", N, parts * D, places.output);
      const noise = new Placed("noise", N, D, places.noise);
      // Other slots hold NaN, which would show.
      const allNoise = new Float32Array(slots * noise.size).fill(NaN);
      allNoise.set(noise.holding(z), (number % slots) * noise.size);
      const variance = { ...output.view, offset: output.view.offset + D };
      const launch = samplerStep(variant, { N, D }, {
        x: x.view,
        output: output.view,
        variance: learned ? variance : null,
        noise: noise.view,
        x0: x0.view,
        rows: "rows",
        step: "step",
      }, { slots, stride: noise.size });
      const results = await runLaunches<string>([launch], {
        x: x.holding(values.x),
        output: output.holding(values.output),
        noise: allNoise,
        x0: x0.size,
        rows,
        step: Uint32Array.of(number),
      });

      const shape = [N, C, P];
      const exact = reference(
        schedule,
        k,
        tensor(shape, values.x),
        tensor([N, parts * C, P], values.output),
        tensor(shape, z),
        options,
      );
      const row = (name: keyof typeof ROW) => rows[number * ROW_SIZE + ROW[name]];
      // The reference's tables are known to T·2^−53, which a difference of ᾱ's over β magnifies.
      const tables = 4 * schedule.T * U64 / schedule.beta[k];
      const at = (i: number) => Math.floor(i / D) * parts * D + i % D;
      const x0Bound = (i: number) => {
        const terms = Math.abs(row("x0FromX") * values.x[i]) +
          Math.abs(row("x0FromOutput") * values.output[at(i)]);
        // A rounded coefficient, its product and the sum; the reference's own store.
        return (gamma(3) + tables) * terms + U32 * Math.abs(exact.x0.data[i]);
      };
      bound.checkAll(x0.taken(results.x0), exact.x0.data, x0Bound, "x0");
      const xBound = (i: number) => {
        const raw = learned ? values.output[at(i) + D] : 0;
        const exponent = row("sigmaSlope") * raw;
        const sigma = row("sigma") * Math.exp(exponent);
        const terms = Math.abs(row("fromX0") * exact.x0.data[i]) +
          Math.abs(row("fromX") * values.x[i]) +
          Math.abs(row("fromOutput") * values.output[at(i)]) + Math.abs(sigma * z[i]);
        const sigmaError = learned
          ? expError(exponent) + 2 * U32 * Math.abs(exponent) + 2 * U32
          : 0;
        return Math.abs(row("fromX0")) * (1 + gamma(6)) * x0Bound(i) +
          (gamma(6) + tables) * terms + sigmaError * (1 + gamma(6)) * Math.abs(sigma * z[i]) +
          U32 * Math.abs(exact.x.data[i]);
      };
      bound.checkAll(x.taken(results.x), exact.x.data, xBound, options.kind);
    });
    bound.settle(`sampling step ${variant}`);
  });
}

gpuTest("advance counts steps", async () => {
  const results = await runLaunches<string>([advance("step"), advance("step")], {
    step: Uint32Array.of(41),
  });
  assertEquals(new Uint32Array(results.step.slice().buffer)[0], 43);
});
