/**
 * Elementwise kernels: every variant against the reference, over drawn sizes and places, in place and
 * not.
 */
import fc from "fast-check";
import { gamma, U32 } from "../../src/math/float32.ts";
import { logistic } from "../../src/math/special.ts";
import { type Tensor, tensor } from "../../src/math/tensor.ts";
import * as nn from "../../src/reference/nn/mod.ts";
import type { Launch, View } from "../../src/webgpu/kernel.ts";
import {
  accumulate,
  add,
  centered,
  copy,
  fill,
  scale,
} from "../../src/webgpu/kernels/elementwise.ts";
import type { Variant } from "../../src/webgpu/kernels/layout.ts";
import type { MapSizes } from "../../src/webgpu/kernels/map.ts";
import { silu, siluBackward } from "../../src/webgpu/kernels/silu.ts";
import { VARIANTS } from "../../src/webgpu/kernels/layout.ts";
import { Bound } from "../support/bound.ts";
import { inDouble } from "../support/doubles.ts";
import { real } from "../support/arbitraries.ts";
import { seeds } from "../support/layers.ts";
import { forAllAsync } from "../support/property.ts";
import { gpuTest } from "./gpu_test.ts";
import { Placed, placements } from "./placement.ts";
import { runLaunches } from "./run_launch.ts";
import { normals } from "./values.ts";
import { siluBound, siluSlopeBound } from "./wgsl_accuracy.ts";

type Views = Readonly<Record<"a" | "b" | "y", View<string>>>;

/** One kernel: how it is launched, the exact result, and the bound. */
interface Case {
  readonly name: string;
  readonly launch: (
    variant: Variant,
    sizes: MapSizes,
    views: Views,
    factor: number,
  ) => Launch<string>;
  /** The result in double from the inputs, what the output held, and the factor rounded to float32. */
  readonly exact: (a: Tensor, b: Tensor, old: Tensor, factor: number) => ArrayLike<number>;
  readonly formula: string;
  /** The bound for one element, or null where both sides must agree to the bit. */
  readonly bound: ((a: number, b: number, old: number, factor: number) => number) | null;
  /** Whether the output's old values matter. */
  readonly updates?: boolean;
}

/** Every element's result. */
function each(x: Tensor, value: (i: number) => number): Float64Array {
  return Float64Array.from(x.data, (_, i) => value(i));
}

const CASES: readonly Case[] = [
  {
    name: "add",
    launch: (variant, sizes, { a, b, y }, factor) => add(variant, sizes, { a, b, y }, 1 / factor),
    // 1/scale is rounded once, here as in the kernel; the sum and the product once each.
    exact: (a, b, _, factor) => nn.add(a, b, 1 / factor).data,
    formula: "γ_3·|factor·(a + b)|",
    bound: (a, b, _, factor) => gamma(3) * Math.abs(factor * (a + b)),
  },
  {
    name: "copy",
    launch: (variant, sizes, { a, y }) => copy(variant, sizes, { x: a, y }),
    exact: (a) => a.data,
    formula: "0",
    bound: null,
  },
  {
    name: "scale",
    launch: (variant, sizes, { a, y }, factor) => scale(variant, sizes, { x: a, y }, factor),
    exact: (a, _, __, factor) => each(a, (i) => factor * a.data[i]),
    formula: "u·|y|",
    bound: (a, _, __, factor) => U32 * Math.abs(factor * a),
  },
  {
    name: "accumulate",
    launch: (variant, sizes, { a, y }, factor) => accumulate(variant, sizes, { x: a, y }, factor),
    exact: (a, _, old, factor) => each(a, (i) => old.data[i] + factor * a.data[i]),
    formula: "u·|y| + γ_2·|factor·x|",
    bound: (a, _, old, factor) =>
      U32 * Math.abs(old + factor * a) + gamma(2) * Math.abs(factor * a),
    updates: true,
  },
  {
    name: "centered",
    launch: (variant, sizes, { a, y }) => centered(variant, sizes, { x: a, y }),
    exact: (a) => nn.centered(a).data,
    formula: "u·|y|",
    bound: (a) => U32 * Math.abs(2 * a - 1),
  },
  {
    name: "fill",
    launch: (variant, sizes, { y }, factor) => fill(variant, sizes, y, factor),
    exact: (a, _, __, factor) => each(a, () => factor),
    formula: "0",
    bound: null,
  },
  {
    name: "silu",
    launch: (variant, sizes, { a, y }) => silu(variant, sizes, { x: a, y }),
    exact: (a) => nn.silu(a).data,
    formula: "|y|·(δσ + u)",
    bound: (a) => siluBound(a, 0),
  },
  {
    name: "siluBackward",
    launch: (variant, sizes, { a, b, y }) => siluBackward(variant, sizes, { x: a, dY: b, dX: y }),
    exact: (a, b) => nn.siluBackward(b, a).data,
    formula: "|dY|·(δ of the slope + u·|slope|)",
    bound: siluBackwardBound,
  },
  {
    name: "siluBackwardAdd",
    launch: (variant, sizes, { a, b, y }) =>
      siluBackward(variant, sizes, { x: a, dY: b, dX: y }, true),
    exact: (a, b, old) => {
      const dX = nn.siluBackward(b, a);
      return each(dX, (i) => old.data[i] + dX.data[i]);
    },
    formula: "|dY|·(δ of the slope + u·|slope|) + u·|dX|",
    bound: (a, b, old) => {
      const own = siluBackwardBound(a, b);
      const s = logistic(a);
      return own + U32 * (Math.abs(old + b * s * (1 + a * (1 - s))) + own);
    },
    updates: true,
  },
];

function siluBackwardBound(x: number, dY: number): number {
  const s = logistic(x), slope = s * (1 + x * (1 - s)), error = siluSlopeBound(x, 0);
  return Math.abs(dY) * (error + U32 * (Math.abs(slope) + error));
}

const drawn = fc.record({
  N: fc.integer({ min: 1, max: 5 }),
  D: fc.oneof(fc.integer({ min: 1, max: 700 }), fc.constantFrom(1, 4, 256, 319, 1276, 2048)),
  places: fc.record({ a: placements, b: placements, y: placements }),
  inPlace: fc.boolean(),
  factor: real(-3, 3).map(Math.fround).filter((f) => f !== 0),
  deviation: fc.constantFrom(1, 30),
  seed: seeds,
});

for (const variant of VARIANTS) {
  for (const { name, launch, exact, formula, bound: elementBound, updates } of CASES) {
    gpuTest(`${name} (${variant}) is the reference's`, async () => {
      const bound = new Bound(formula);
      await forAllAsync(drawn, 8, async ({ N, D, places, inPlace, factor, deviation, seed }) => {
        const values = (k: number) => normals(N * D, seed + k).map((z) => deviation * z);
        const [aValues, bValues, old] = [values(0), values(1), values(2)];
        const a = new Placed("a", N, D, places.a), b = new Placed("b", N, D, places.b);
        const apart = new Placed("y", N, D, places.y);
        // A kernel that updates its output has other inputs than that.
        const y = inPlace && !updates ? a : apart;
        const views = { a: a.view, b: b.view, y: y.view };
        const results = await runLaunches<string>([launch(variant, { N, D }, views, factor)], {
          a: a.holding(aValues),
          b: b.holding(bValues),
          y: updates ? apart.holding(old) : apart.size,
        });
        const [A, B, O] = [aValues, bValues, old].map((v) => inDouble(tensor([N, D], v)));
        bound.checkAll(
          y.taken(results[y.name]),
          exact(A, B, O, factor),
          (i) => elementBound?.(aValues[i], bValues[i], old[i], factor) ?? 0,
          name,
        );
      });
      if (elementBound !== null) bound.settle(`${name} ${variant}`);
    });
  }
}
