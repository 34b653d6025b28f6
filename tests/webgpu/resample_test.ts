/**
 * Doubling and halving of images: every variant against the reference.
 */
import fc from "fast-check";
import { gamma } from "../../src/math/float32.ts";
import { type Tensor, tensor } from "../../src/math/tensor.ts";
import * as nn from "../../src/reference/nn/mod.ts";
import type { Launch } from "../../src/webgpu/kernel.ts";
import type { Variant } from "../../src/webgpu/kernels/layout.ts";
import {
  averagePool,
  averagePoolBackward,
  type Resampled,
  type ResampleSizes,
  upsample,
  upsampleBackward,
} from "../../src/webgpu/kernels/resample.ts";
import { VARIANTS } from "../../src/webgpu/kernels/layout.ts";
import { Bound } from "../support/bound.ts";
import { inDouble } from "../support/doubles.ts";
import { seeds } from "../support/layers.ts";
import { forAllAsync } from "../support/property.ts";
import { gpuTest } from "./gpu_test.ts";
import { Placed, placements } from "./placement.ts";
import { runLaunches } from "./run_launch.ts";
import { normals } from "./values.ts";

interface Case {
  readonly name: string;
  readonly launch: (
    variant: Variant,
    sizes: ResampleSizes,
    views: Resampled<string>,
    accumulate: boolean,
  ) => Launch<string>;
  readonly output: "small" | "large";
  readonly accumulates: boolean;
  /** The reference's result from the input and something of the output's shape. */
  readonly exact: (input: Tensor, output: Tensor) => Tensor;
  /** Roundings of a term, accumulation not counted. */
  readonly roundings: number;
}

const CASES: readonly Case[] = [
  {
    name: "upsample",
    launch: upsample,
    output: "large",
    accumulates: false,
    exact: (x) => nn.nearestUpsample(x),
    roundings: 0,
  },
  {
    name: "upsampleBackward",
    launch: upsampleBackward,
    output: "small",
    accumulates: true,
    exact: (dY, x) => nn.nearestUpsampleBackward(dY, x),
    roundings: 2,
  },
  {
    name: "averagePool",
    launch: averagePool,
    output: "small",
    accumulates: false,
    exact: (x) => nn.averagePool(x),
    roundings: 2,
  },
  {
    name: "averagePoolBackward",
    launch: averagePoolBackward,
    output: "large",
    accumulates: true,
    exact: (dY, x) => nn.averagePoolBackward(dY, x),
    roundings: 0,
  },
];

const drawn = fc.record({
  N: fc.integer({ min: 1, max: 5 }),
  C: fc.integer({ min: 1, max: 5 }),
  H: fc.integer({ min: 1, max: 9 }),
  W: fc.oneof(fc.integer({ min: 1, max: 9 }), fc.constantFrom(4, 8, 16)),
  places: fc.record({ small: placements, large: placements }),
  accumulate: fc.boolean(),
  seed: seeds,
});

/** The absolute values of a tensor. */
function magnitudes(x: Tensor): Tensor {
  return { shape: x.shape, data: x.data.map(Math.abs) };
}

for (const variant of VARIANTS) {
  for (const { name, launch, output, accumulates, exact, roundings } of CASES) {
    gpuTest(`${name} (${variant}) is the reference's`, async () => {
      const bound = new Bound("γ_{roundings}·Σ|terms|");
      await forAllAsync(drawn, 12, async ({ N, C, H, W, places, seed, ...rest }) => {
        const accumulate = accumulates && rest.accumulate;
        const small = new Placed("small", N, C * H * W, places.small);
        const large = new Placed("large", N, 4 * C * H * W, places.large);
        const views = { small: small.view, large: large.view };
        const shapes = { small: [N, C, H, W], large: [N, C, 2 * H, 2 * W] };
        const [from, to] = output === "large" ? [small, large] : [large, small];
        const input = normals(N * from.D, seed), old = normals(N * to.D, seed + 1);
        const results = await runLaunches<string>(
          [launch(variant, { N, C, H, W }, views, accumulate)],
          {
            [from.name]: from.holding(input),
            [to.name]: accumulate ? to.holding(old) : to.size,
          },
        );
        const x = inDouble(tensor(shapes[output === "large" ? "small" : "large"], input));
        const y = inDouble(tensor(shapes[output], old));
        const own = exact(x, y).data, sizes = exact(magnitudes(x), y).data;
        bound.checkAll(
          to.taken(results[to.name]),
          own.map((v, i) => accumulate ? v + old[i] : v),
          (i) =>
            gamma(roundings + (accumulate ? 1 : 0)) *
            (sizes[i] + (accumulate ? Math.abs(old[i]) : 0)),
          name,
        );
      });
      if (roundings > 0 || accumulates) bound.settle(`${name} ${variant}`);
    });
  }
}
