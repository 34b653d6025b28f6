/**
 * Group norm with scale, shift and SiLU: every variant against the reference, over drawn sizes, places
 * and options.
 */
import { assertEquals } from "@std/assert";
import { tensor } from "../../src/math/tensor.ts";
import * as nn from "../../src/reference/nn/mod.ts";
import { groupNorm } from "../../src/webgpu/kernels/group_norm.ts";
import { type Variant, VARIANTS, viewsWidth } from "../../src/webgpu/kernels/layout.ts";
import { Bound } from "../support/bound.ts";
import { inDouble } from "../support/doubles.ts";
import { forAllAsync } from "../support/property.ts";
import {
  analyse,
  type Arrays,
  arraysOf,
  type Drawn,
  drawnGroupNorm,
  groupDepth,
} from "./group_norm_cases.ts";
import { gpuTest } from "./gpu_test.ts";
import { Placed } from "./placement.ts";
import { runLaunches } from "./run_launch.ts";
import { siluBound } from "./wgsl_accuracy.ts";

/** The reference's answer in double. */
function reference({ N, groups, channels, P, eps, silu }: Drawn, arrays: Arrays): Float64Array {
  const C = groups * channels;
  const double = (shape: number[], data: Float32Array) => inDouble(tensor(shape, data));
  const weight = double([C], arrays.weight), bias = double([C], arrays.bias);
  let y = nn.groupNorm(double([N, C, P, 1], arrays.x), weight, bias, { groups, eps });
  if (arrays.e !== null) y = nn.scaleShift(y, double([N, 2 * C], arrays.e));
  if (silu) y = nn.silu(y);
  return y.data as unknown as Float64Array;
}

for (const variant of VARIANTS) {
  gpuTest(`group norm (${variant}) is the reference's`, async () => {
    const bound = new Bound("1.1·δv + |y|·(rounding of SiLU)");
    const rstdBound = new Bound("η/2·(1 − η)^−3/2 + 2 ulp");
    await forAllAsync(drawnGroupNorm, 25, async (drawn) => {
      const { N, groups, channels, P, eps, silu, places } = drawn;
      const C = groups * channels;
      const arrays = arraysOf(drawn);
      const x = new Placed("x", N, C * P, places.x), y = new Placed("y", N, C * P, places.y);
      const e = arrays.e && new Placed("e", N, 2 * C, places.e);
      const launches = groupNorm(variant, { N, C, P, groups }, { eps, silu }, {
        x: x.view,
        weight: "weight",
        bias: "bias",
        scaleShift: e && e.view,
        y: y.view,
        stats: "stats",
      });
      const results = await runLaunches<string>(launches, {
        x: x.holding(arrays.x),
        weight: arrays.weight,
        bias: arrays.bias,
        ...(e && { e: e.holding(arrays.e!) }),
        y: y.size,
        stats: 2 * N * groups,
      });
      const depth = groupDepth(variant, viewsWidth(variant, P, [x.view, y.view]), drawn);
      const { v, vError, rstd, rstdError } = analyse(drawn, arrays, depth);
      const error = (i: number) => silu ? siluBound(v[i], vError[i]) : vError[i];
      bound.checkAll(y.taken(results.y), reference(drawn, arrays), error, "y");
      const rstds = results.stats.filter((_, i) => i % 2 === 1);
      rstdBound.checkAll(rstds, rstd, (i) => rstd[i] * rstdError[i], "1/√(variance + ε)");
    });
    bound.settle(`group norm ${variant}`);
    rstdBound.settle(`group norm stats ${variant}`);
  });
}

const SMALL = { groups: 2, channels: 4, P: 20, seed: 7, mean: 1, deviation: 2, scaleShift: false };

/** Samples `first`.. of a fixed group norm of three; `output` "x" for in place. */
async function small(variant: Variant, first: number, N: number, output: string) {
  const { groups, channels, P } = SMALL;
  const C = groups * channels;
  const { x, weight, bias } = arraysOf({ ...SMALL, N: 3 } as Drawn);
  const view = (tensor: string) => ({ tensor, offset: 0, sampleStride: C * P });
  const launches = groupNorm(variant, { N, C, P, groups }, { eps: 1e-6, silu: true }, {
    x: view("x"),
    weight: "weight",
    bias: "bias",
    scaleShift: null,
    y: view(output),
    stats: "stats",
  });
  const results = await runLaunches<string>(launches, {
    x: x.slice(first * C * P, (first + N) * C * P),
    weight,
    bias,
    y: N * C * P,
    stats: 2 * N * groups,
  });
  return results[output];
}

gpuTest("group norm in place gives the same bits", async () => {
  for (const variant of VARIANTS) {
    assertEquals(await small(variant, 0, 3, "x"), await small(variant, 0, 3, "y"));
  }
});

gpuTest("a sample's group norm does not depend on its batch", async () => {
  for (const variant of VARIANTS) {
    const batch = await small(variant, 0, 3, "y"), alone = await small(variant, 2, 1, "y");
    assertEquals(batch.slice(2 * alone.length), alone);
  }
});
