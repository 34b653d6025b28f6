/**
 * Drawn convolutions of any kernel, stride, padding, place and epilogue, with what the reference and
 * the error bound of sums of n products in any order, γ_n·Σ|terms|, say of them.
 */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { gamma, roundingBound } from "../../src/math/float32.ts";
import { type Tensor, tensor } from "../../src/math/tensor.ts";
import { conv2d, conv2dBackward } from "../../src/reference/nn/conv2d.ts";
import type { Launch, View } from "../../src/webgpu/kernel.ts";
import {
  columnsSize,
  convExtent,
  type ConvSizes,
  type ConvTensors,
} from "../../src/webgpu/kernels/im2col.ts";
import type { Bound } from "../support/bound.ts";
import { Placed, type Placement, placements } from "./placement.ts";
import { runLaunches } from "./run_launch.ts";
import { normals } from "./values.ts";
import { fromDevice, toDevice } from "./weights.ts";

/** Everything that a convolution depends on. */
export interface DrawnConv extends ConvSizes {
  readonly xAt: Placement;
  readonly yAt: Placement;
  readonly with: Readonly<Record<"bias" | "perSample" | "residual", boolean>>;
  readonly outputScale: number | undefined;
  readonly accumulate: boolean;
  readonly seed: number;
}

/** What the gradients of a convolution touch. */
export interface GradientTensors {
  readonly x: View<string>;
  readonly dY: View<string>;
  readonly weights: string;
  readonly dWeights: string;
  readonly columns: string;
  readonly dYTransposed: string | undefined;
  readonly dX: View<string>;
}

/** Launches of one algorithm. */
export interface ConvAlgorithm {
  readonly forward: (sizes: ConvSizes, tensors: ConvTensors<string>) => Launch<string>[];
  readonly backward: (
    sizes: ConvSizes,
    tensors: GradientTensors,
    accumulate: boolean,
  ) => Launch<string>[];
}

const upTo = (max: number): fc.Arbitrary<number> => fc.integer({ min: 1, max });
const zeros = fc.integer({ min: 0, max: 2 });

/** A drawn convolution whose padded input holds its kernel. */
export const drawnConv: fc.Arbitrary<DrawnConv> = fc.record({
  N: upTo(5),
  C: fc.oneof(upTo(9), fc.constantFrom(4, 8)),
  O: fc.oneof(upTo(9), fc.constantFrom(4, 8)),
  H: upTo(9),
  W: upTo(9),
  kernel: fc.oneof(fc.constant(3), upTo(5)),
  stride: fc.oneof(fc.constant(2), upTo(3)),
  padding: fc.tuple(zeros, zeros, zeros, zeros),
  xAt: placements,
  yAt: placements,
  with: fc.record({ bias: fc.boolean(), perSample: fc.boolean(), residual: fc.boolean() }),
  outputScale: fc.constantFrom(undefined, Math.SQRT2),
  accumulate: fc.boolean(),
  seed: fc.nat(),
}).filter(({ H, W, kernel, padding: [t, b, l, r] }) => H + t + b >= kernel && W + l + r >= kernel);

/** Positions of the output and length of its sums. */
function lengths(sizes: ConvSizes): { P: number; K: number } {
  const { outH, outW } = convExtent(sizes);
  return { P: outH * outW, K: sizes.kernel ** 2 * sizes.C };
}

function tensorsOf(d: DrawnConv) {
  const { N, C, O, H, W, kernel, seed } = d;
  const { outH, outW } = convExtent(d);
  return {
    x: tensor([N, C, H, W], normals(N * C * H * W, seed)),
    weight: tensor([O, C, kernel, kernel], normals(O * C * kernel ** 2, seed + 1)),
    dY: tensor([N, O, outH, outW], normals(N * O * outH * outW, seed + 2)),
  };
}

const absolute = ({ shape, data }: Tensor): Tensor => tensor(shape, data.map(Math.abs));

/** Compares a forward pass. @returns y. */
export async function checkForward(
  algorithm: ConvAlgorithm,
  d: DrawnConv,
  bounds?: Bound,
): Promise<Float32Array> {
  const { N, O, seed, outputScale } = d;
  const { P, K } = lengths(d);
  const { x, weight } = tensorsOf(d);
  const xPlace = new Placed("x", N, x.data.length / N, d.xAt);
  const yPlace = new Placed("y", N, O * P, d.yAt);
  const ePlace = new Placed("e", N, O, d.xAt);
  const rPlace = new Placed("residual", N, O * P, d.xAt);
  const bias = normals(O, seed + 3), e = normals(N * O, seed + 4);
  const residual = normals(N * O * P, seed + 5);
  const launches = algorithm.forward(d, {
    x: xPlace.view,
    weights: "weights",
    columns: "columns",
    y: yPlace.view,
    bias: d.with.bias ? { tensor: "bias", offset: 1 } : undefined,
    perSample: d.with.perSample ? ePlace.view : undefined,
    residual: d.with.residual ? rPlace.view : undefined,
    outputScale,
  });
  const results = await runLaunches<string>(launches, {
    x: xPlace.holding(x.data),
    weights: toDevice(weight),
    columns: columnsSize(d),
    bias: Float32Array.of(NaN, ...bias),
    e: ePlace.holding(e),
    residual: rPlace.holding(residual),
    y: yPlace.size,
  });
  if (launches.length > 1) assertEquals(results.columns.findIndex(Number.isNaN), -1, "columns");
  const y = yPlace.taken(results.y);
  if (bounds === undefined) return y;
  const options = { stride: d.stride, padding: d.padding };
  const exact = conv2d(x, weight, null, options).data;
  const sizes = conv2d(absolute(x), absolute(weight), null, options).data;
  const scale = Math.fround(outputScale ?? 1);
  const addends = Object.values(d.with).filter(Boolean).length;
  // K products and sums, the addends, a division of 2.5 ulp.
  const n = K + addends + (outputScale === undefined ? 0 : 5);
  for (const [i, sum] of exact.entries()) {
    const channel = Math.floor(i / P) % O, sample = Math.floor(i / (O * P));
    const terms = [
      d.with.bias ? bias[channel] : 0,
      d.with.perSample ? e[sample * O + channel] : 0,
      d.with.residual ? residual[i] : 0,
    ];
    const magnitude = terms.reduce((s, t) => s + Math.abs(t), sizes[i]) / scale;
    bounds.check(
      y[i],
      terms.reduce((s, t) => s + t, sum) / scale,
      gamma(n) * magnitude + roundingBound(sum),
      "y",
      i,
    );
  }
  return y;
}

/** Compares both gradients. @param n roundings on the way of a term of dX, before accumulating. */
export async function checkGradients(
  algorithm: ConvAlgorithm,
  d: DrawnConv,
  bounds: Bound,
  n: number,
): Promise<void> {
  const { N, C, O, kernel, accumulate } = d;
  const { P } = lengths(d);
  const { x, weight, dY } = tensorsOf(d);
  const xPlace = new Placed("x", N, x.data.length / N, d.xAt);
  const dXPlace = new Placed("dX", N, x.data.length / N, d.xAt);
  const dYPlace = new Placed("dY", N, dY.data.length / N, d.yAt);
  const beforeX = normals(x.data.length, d.seed + 6);
  const beforeWeight = normals(weight.data.length, d.seed + 7);
  const launches = algorithm.backward(d, {
    x: xPlace.view,
    dY: dYPlace.view,
    weights: "weights",
    dWeights: "dWeights",
    columns: "columns",
    dYTransposed: "dYTransposed",
    dX: dXPlace.view,
  }, accumulate);
  const results = await runLaunches<string>(launches, {
    x: xPlace.holding(x.data),
    dY: dYPlace.holding(dY.data),
    weights: toDevice(weight),
    columns: columnsSize(d),
    dYTransposed: dY.data.length,
    dX: accumulate ? dXPlace.holding(beforeX) : dXPlace.size,
    dWeights: accumulate ? beforeWeight : beforeWeight.length,
  });
  const options = { stride: d.stride, padding: d.padding };
  const exact = conv2dBackward(dY, x, weight, options);
  const sizes = conv2dBackward(absolute(dY), absolute(x), absolute(weight), options);
  // One rounding more for the reference's own, and one for the last sum.
  const check = (
    name: "dX" | "dWeight",
    actual: Float32Array,
    before: Float32Array,
    roundings: number,
  ): void => {
    const growth = gamma(roundings + 1 + (accumulate ? 1 : 0));
    const old = (i: number): number => accumulate ? before[i] : 0;
    bounds.checkAll(
      actual,
      Array.from(exact[name].data, (v, i) => v + old(i)),
      (i) => growth * (sizes[name].data[i] + Math.abs(old(i))),
      name,
    );
  };
  check("dX", dXPlace.taken(results.dX), beforeX, n);
  const shape = [O, C, kernel, kernel] as const;
  const [dWeight, oldWeight] = [results.dWeights, beforeWeight].map((w) =>
    fromDevice(w, shape).data
  );
  check("dWeight", dWeight, oldWeight, N * P);
}
