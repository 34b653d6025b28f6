/**
 * Winograd's convolutions: forward and both gradients of both tiles, over drawn sizes, places and
 * epilogues, against the reference's convolution.
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { gamma, roundingBound } from "../../src/math/float32.ts";
import { type Tensor, tensor } from "../../src/math/tensor.ts";
import { conv2d, conv2dBackward } from "../../src/reference/nn/conv2d.ts";
import { nearestUpsample, nearestUpsampleBackward } from "../../src/reference/nn/upsample.ts";
import { REGISTER } from "../../src/webgpu/kernels/gemm.ts";
import {
  type Conv3x3Size,
  winogradForward,
  winogradInputGradient,
  winogradScratch,
  type WinogradTile,
  winogradWeightGradient,
  winogradWeights,
} from "../../src/webgpu/kernels/winograd.ts";
import { winogradMatrices } from "../../src/webgpu/kernels/winograd_matrices.ts";
import { Bound } from "../support/bound.ts";
import { gpuTest } from "./gpu_test.ts";
import { Placed, type Placement, placements } from "./placement.ts";
import { runLaunches } from "./run_launch.ts";
import { normals } from "./values.ts";
import { fromDevice, toDevice } from "./weights.ts";
import { forwardBound, weightGradientBound } from "./winograd_bound.ts";

/** Everything that a convolution depends on. */
interface Drawn extends Conv3x3Size {
  readonly m: WinogradTile;
  readonly upsampled: boolean;
  readonly xAt: Placement;
  readonly yAt: Placement;
  readonly residualAt: Placement;
  readonly with: Readonly<Record<"bias" | "perSample" | "residual", boolean>>;
  readonly outputScale: number | undefined;
  readonly accumulate: boolean;
  readonly seed: number;
}

const upTo9 = fc.integer({ min: 1, max: 9 });
const channels = fc.oneof(fc.integer({ min: 1, max: 9 }), fc.constantFrom(4, 8, 16));

const drawn: fc.Arbitrary<Drawn> = fc.record({
  m: fc.constantFrom(2 as const, 4 as const),
  N: fc.integer({ min: 1, max: 5 }),
  C: channels,
  O: channels,
  H: fc.integer({ min: 1, max: 9 }),
  W: fc.oneof({ weight: 6, arbitrary: upTo9 }, { weight: 1, arbitrary: fc.constant(16) }),
  upsampled: fc.boolean(),
  xAt: placements,
  yAt: placements,
  residualAt: placements,
  with: fc.record({ bias: fc.boolean(), perSample: fc.boolean(), residual: fc.boolean() }),
  outputScale: fc.constantFrom(undefined, Math.SQRT2),
  accumulate: fc.boolean(),
  seed: fc.nat(),
}).map((d) => d.upsampled ? { ...d, H: 2 * d.H, W: 2 * d.W } : d);

/** x, weight and dY of a drawn convolution; `read` is x as the convolution reads it. */
function tensorsOf({ N, C, O, H, W, upsampled, seed }: Drawn) {
  const half = upsampled ? 2 : 1;
  const x = tensor([N, C, H / half, W / half], normals(N * C * H * W / half ** 2, seed));
  const weight = tensor([O, C, 3, 3], normals(O * C * 9, seed + 1));
  const dY = tensor([N, O, H, W], normals(N * O * H * W, seed + 2));
  return { x, read: upsampled ? nearestUpsample(x) : x, weight, dY };
}

const SAME = { padding: [1, 1, 1, 1] } as const;

/** Weights `[O, C, 3, 3]` turned by 180° as `[C, O, 3, 3]`. */
function turned({ shape: [O, C], data }: Tensor): Tensor {
  const out = new Float32Array(data.length);
  for (let i = 0; i < out.length; i++) {
    const t = i % 9, o = Math.floor(i / 9) % O, c = Math.floor(i / (9 * O));
    out[i] = data[(o * C + c) * 9 + 8 - t];
  }
  return tensor([C, O, 3, 3], out);
}

async function forward(d: Drawn, bounds?: Bound, half = false): Promise<Float32Array> {
  const { N, O, H, W, m, seed, outputScale } = d;
  const { x, read, weight } = tensorsOf(d);
  const xPlace = new Placed("x", N, x.data.length / N, d.xAt);
  const yPlace = new Placed("y", N, O * H * W, d.yAt);
  const ePlace = new Placed("perSample", N, O, d.xAt);
  const rPlace = new Placed("residual", N, O * H * W, d.residualAt);
  const bias = normals(O, seed + 3), e = normals(N * O, seed + 4);
  const residual = normals(yPlace.D * N, seed + 5), before = normals(yPlace.D * N, seed + 6);
  const scratch = winogradScratch(m, d);
  const launches = [
    winogradWeights(m, d, "forward", { tensor: "weights", offset: 2 }, "U", half),
    ...winogradForward({ m, gemm: REGISTER, half }, d, {
      x: xPlace.view,
      U: "U",
      V: "V",
      M: "M",
      y: yPlace.view,
      bias: d.with.bias ? { tensor: "bias", offset: 1 } : undefined,
      perSample: d.with.perSample ? ePlace.view : undefined,
      residual: d.with.residual ? rPlace.view : undefined,
      outputScale,
      accumulate: d.accumulate,
    }, d),
  ];
  const results = await runLaunches<string>(launches, {
    x: xPlace.holding(x.data),
    weights: Float32Array.of(NaN, NaN, ...toDevice(weight)),
    bias: Float32Array.of(NaN, ...bias),
    perSample: ePlace.holding(e),
    residual: rPlace.holding(residual),
    y: d.accumulate ? yPlace.holding(before) : yPlace.size,
    ...scratch,
    U: half ? Math.ceil(scratch.U / 2) : scratch.U,
  });
  const y = yPlace.taken(results.y);
  if (bounds === undefined) return y;
  const exact = conv2d(read, weight, null, SAME).data;
  const error = forwardBound(m, read, weight, half);
  const scale = Math.fround(outputScale ?? 1);
  // The addends, a division of 2.5 ulp where there is one, and the last sum follow the transforms.
  const added = Object.values(d.with).filter(Boolean).length;
  const n = added + (outputScale === undefined ? 0 : 5) + (d.accumulate ? 1 : 0);
  const sums = Array.from(exact, (sum, i) => {
    const [channel, sample] = [Math.floor(i / (H * W)) % O, Math.floor(i / (O * H * W))];
    const terms = [
      sum,
      d.with.bias ? bias[channel] : 0,
      d.with.perSample ? e[sample * O + channel] : 0,
      d.with.residual ? residual[i] : 0,
    ];
    const old = d.accumulate ? before[i] : 0;
    const value = terms.reduce((s, t) => s + t, 0) / scale + old;
    const magnitude = terms.reduce((s, t) => s + Math.abs(t), error[i]) / scale + Math.abs(old);
    return { value, bound: error[i] / scale + gamma(n) * magnitude + roundingBound(sum) / scale };
  });
  bounds.checkAll(y, sums.map((s) => s.value), (i) => sums[i].bound, `y${m}`);
  return y;
}

async function inputGradient(d: Drawn, bounds: Bound): Promise<void> {
  const { N, m } = d;
  const { x, read, weight, dY } = tensorsOf(d);
  const dYPlace = new Placed("dY", N, dY.data.length / N, d.yAt);
  const dXPlace = new Placed("dX", N, x.data.length / N, d.xAt);
  const before = normals(x.data.length, d.seed + 6);
  const { U, V, M } = winogradScratch(m, d);
  const launches = [
    winogradWeights(m, d, "inputGradient", { tensor: "weights", offset: 0 }, "U"),
    ...winogradInputGradient({ m, gemm: REGISTER }, d, {
      x: dYPlace.view,
      U: "U",
      V: "M",
      M: "V",
      y: dXPlace.view,
      accumulate: d.accumulate,
    }, d),
  ];
  const results = await runLaunches<string>(launches, {
    dY: dYPlace.holding(dY.data),
    weights: toDevice(weight),
    dX: d.accumulate ? dXPlace.holding(before) : dXPlace.size,
    U,
    V,
    M,
  });
  const full = conv2dBackward(dY, read, weight, SAME).dX;
  const fullBound = forwardBound(m, dY, turned(weight));
  const sumOfFour = (image: ArrayLike<number>): Float32Array =>
    nearestUpsampleBackward(tensor(read.shape, image), x).data;
  // Folding adds up four pixels with three sums; accumulating is one more.
  const [exact, error, magnitude] = d.upsampled
    ? [full.data, fullBound, full.data.map(Math.abs)].map(sumOfFour)
    : [full.data, fullBound, full.data.map(Math.abs)];
  const n = (d.upsampled ? 3 : 0) + (d.accumulate ? 1 : 0);
  const old = (i: number): number => d.accumulate ? before[i] : 0;
  bounds.checkAll(
    dXPlace.taken(results.dX),
    Array.from(exact, (v, i) => v + old(i)),
    // The reference's values, and the sums of bounds, are rounded to float32 as well.
    (i) => error[i] * (1 + 2 ** -20) + gamma(n + 2) * (magnitude[i] + error[i] + Math.abs(old(i))),
    `dX${m}`,
  );
}

async function weightGradient(d: Drawn, bounds: Bound): Promise<void> {
  const { N, C, O, m } = d;
  const { x, read, weight, dY } = tensorsOf(d);
  const xPlace = new Placed("x", N, x.data.length / N, d.xAt);
  const dYPlace = new Placed("dY", N, dY.data.length / N, d.yAt);
  const before = normals(weight.data.length, d.seed + 6);
  const { U, V, M } = winogradScratch(m, d);
  const launches = winogradWeightGradient({ m, gemm: REGISTER }, d, {
    x: xPlace.view,
    dY: dYPlace.view,
    V: "V",
    M: "M",
    U: "U",
    dWeights: { tensor: "dWeights", offset: 1 },
  }, d);
  const results = await runLaunches<string>(launches, {
    x: xPlace.holding(x.data),
    dY: dYPlace.holding(dY.data),
    dWeights: d.accumulate ? Float32Array.of(NaN, ...before) : before.length + 1,
    U,
    V,
    M,
  });
  const exact = conv2dBackward(dY, read, weight, SAME).dWeight.data;
  const error = weightGradientBound(m, read, dY);
  const old = fromDevice(before, [O, C, 3, 3]).data;
  bounds.checkAll(
    fromDevice(results.dWeights.subarray(1), [O, C, 3, 3]).data,
    Array.from(exact, (v, i) => v + (d.accumulate ? old[i] : 0)),
    (i) =>
      error[i] + roundingBound(exact[i]) +
      (d.accumulate ? gamma(1) * (Math.abs(exact[i]) + error[i] + Math.abs(old[i])) : 0),
    `dWeight${m}`,
  );
}

for (const m of [2, 4] as const) {
  Deno.test(`F(${m}, 3) correlates ${m + 2} numbers with 3 taps`, () => {
    const { BT, G, AT } = winogradMatrices(m);
    const d = normals(m + 2, 1), g = normals(3, 2);
    const apply = (M: readonly (readonly number[])[], v: ArrayLike<number>): number[] =>
      M.map((row) => row.reduce((s, c, k) => s + c * v[k], 0));
    const Gg = apply(G, g), Bd = apply(BT, d);
    const y = apply(AT, Gg.map((u, j) => u * Bd[j]));
    // In double: the coefficients are at most 8 and there are at most 6·6·3 paths.
    for (const [i, value] of y.entries()) {
      const exact = g[0] * d[i] + g[1] * d[i + 1] + g[2] * d[i + 2];
      assert(Math.abs(value - exact) < 2 ** -53 * 8 ** 3 * 108 * 16, `${value} is not ${exact}`);
    }
  });
}

for (
  const [name, run, numRuns] of [
    ["forward", forward, 24],
    ["input gradient", inputGradient, 12],
    ["weight gradient", weightGradient, 12],
  ] as const
) {
  gpuTest(`Winograd's ${name} is the convolution's`, async () => {
    const bounds = new Bound("running error of the algorithm in float32");
    await fc.assert(
      fc.asyncProperty(drawn, async (d) => void await run(d, bounds)),
      { seed: 30, numRuns, endOnFailure: true },
    );
    bounds.settle(`winograd ${name}`);
  });
}

gpuTest("Winograd's forward with weights in float16 is the convolution's", async () => {
  const bounds = new Bound("running error of the algorithm in float32, with U in float16");
  await fc.assert(
    fc.asyncProperty(drawn, async (d) => void await forward(d, bounds, true)),
    { seed: 32, numRuns: 12, endOnFailure: true },
  );
  bounds.settle("winograd in float16");
}, "shader-f16");

gpuTest("a sample's convolution has the same bits in any batch", async () => {
  await fc.assert(
    fc.asyncProperty(drawn, async (d) => {
      const whole = await forward({
        ...d,
        N: 5,
        accumulate: false,
        with: { ...d.with, residual: false, perSample: false },
      });
      const alone = await forward({
        ...d,
        N: 1,
        accumulate: false,
        with: { ...d.with, residual: false, perSample: false },
      });
      assertEquals(whole.subarray(0, alone.length), alone);
    }),
    { seed: 31, numRuns: 3, endOnFailure: true },
  );
});
