/**
 * Convolutions as launches of a network's plan, by whichever algorithm the variant table names.
 *
 * @module
 */
import type { Epilogue } from "./attention.ts";
import { columnsSize, type ConvSizes, im2colBackward, im2colForward } from "./kernels/im2col.ts";
import {
  winogradForward,
  winogradInputGradient,
  winogradScratch,
  type WinogradTile,
  winogradWeightGradient,
  winogradWeights,
} from "./kernels/winograd.ts";
import { upsample, upsampleBackward } from "./kernels/resample.ts";
import { biasGradient } from "./layers.ts";
import { type Activation, type GradientSlot, type Network, positions } from "./network.ts";
import type { PlanTensor } from "./plan.ts";
import { convAlgorithm, type ConvLayer } from "./variants.ts";

/** Kernel size, stride and padding of a convolution. */
export interface ConvShape {
  readonly kernel: number;
  readonly stride: 1 | 2;
  /** Rows or columns of zeros: top, bottom, left, right. */
  readonly padding: readonly [number, number, number, number];
  /** Whether the input is read as if every pixel were doubled in both directions. */
  readonly upsampled?: boolean;
}

/** A 3x3 convolution that keeps the extent. */
export const SAME_3X3: ConvShape = { kernel: 3, stride: 1, padding: [1, 1, 1, 1] };

function layerOf(x: Activation, y: Activation, { kernel, stride }: ConvShape): ConvLayer {
  return { kernel, stride, C: x.C, O: y.C, H: y.H, W: y.W };
}

/** Outputs per tile of a Winograd algorithm, or null for a product of columns. */
function tileOf(net: Network, layer: ConvLayer): WinogradTile | null {
  const algorithm = convAlgorithm(net.variants, layer);
  return algorithm === "winograd4" ? 4 : algorithm === "winograd2" ? 2 : null;
}

function sizesOf(x: Activation, O: number, { kernel, stride, padding }: ConvShape): ConvSizes {
  const { N, C, H, W } = x;
  return { N, C, O, H, W, kernel, stride, padding };
}

/** x doubled, for algorithms that cannot read it so. */
function doubled(net: Network, name: string, x: Activation): Activation {
  const large = net.activation(`${name} doubled`, { ...x, H: 2 * x.H, W: 2 * x.W });
  net.add(upsample(net.variants.other, x, { small: x.view, large: large.view }));
  return large;
}

/**
 * y = (conv(x) + bias + perSample + residual)/outputScale, into `y`.
 */
export function conv(
  net: Network,
  name: string,
  x: Activation,
  y: Activation,
  shape: ConvShape,
  { perSample, residual, outputScale = 1 }: Epilogue = {},
): void {
  const layer = layerOf(x, y, shape);
  const m = tileOf(net, layer);
  const added = {
    bias: { tensor: net.parameter(`${name}.bias`), offset: 0 },
    perSample: perSample?.view,
    residual: residual?.view,
    outputScale,
  };
  if (m === null) {
    const input = shape.upsampled ? doubled(net, name, x) : x;
    const sizes = sizesOf(input, y.C, shape);
    const columns = net.scratch(`${name} columns`, columnsSize(sizes));
    const weights = net.parameter(`${name}.weight`);
    const tensors = { x: input.view, weights, columns, y: y.view, ...added };
    return net.add(im2colForward(net.variants.gemm, sizes, tensors));
  }
  const size = { N: y.N, C: x.C, O: y.C, H: y.H, W: y.W };
  const scratch = winogradScratch(m, size);
  const half = !net.training && net.variants.weights === "f16";
  const U = transformedWeights(net, name, m, layer, scratch.U, half);
  net.add(winogradForward(
    { m, gemm: net.variants.gemm, half },
    size,
    {
      x: x.view,
      U,
      V: net.scratch(`${name} tiles`, scratch.V),
      M: net.scratch(`${name} products`, scratch.M),
      y: y.view,
      ...added,
    },
    { upsampled: shape.upsampled },
  ));
}

/** U of a layer: made once in inference, in every step where the weights change. */
function transformedWeights(
  net: Network,
  name: string,
  m: WinogradTile,
  { C, O }: ConvLayer,
  size: number,
  half: boolean,
): PlanTensor {
  const weightName = `${name}.weight`;
  const weight = net.training ? net.parameter(weightName) : net.sourceParameter(weightName);
  const weights = { tensor: weight, offset: 0 };
  const U = net.training
    ? net.scratch(`${name} U`, size)
    : net.plan.tensor("prepared", `${name} U`, half ? Math.ceil(size / 2) : size);
  const phase = net.training ? "step" : "prepare";
  net.add(winogradWeights(m, { C, O }, "forward", weights, U, half), phase);
  return U;
}

/** Gradients of a convolution: of its weight, bias and, unless `dX` is null, its input. */
export function convBackward(
  net: Network,
  name: string,
  x: Activation,
  dY: Activation,
  shape: ConvShape,
  dX: GradientSlot | null,
): void {
  const layer = layerOf(x, dY, shape);
  const m = tileOf(net, layer);
  biasGradient(net, name, dY);
  if (m === null) return columnsBackward(net, name, x, dY, shape, dX);
  const size = { N: dY.N, C: x.C, O: dY.C, H: dY.H, W: dY.W };
  const scratch = winogradScratch(m, size);
  const variant = { m, gemm: net.variants.gemm };
  const { upsampled } = shape;
  const scratchFor = (what: string) => ({
    U: net.scratch(`${name} ${what} U`, scratch.U),
    V: net.scratch(`${name} ${what} V`, scratch.V),
    M: net.scratch(`${name} ${what} M`, scratch.M),
  });
  const dWeights = { tensor: net.gradient(`${name}.weight`), offset: 0 };
  net.add(winogradWeightGradient(
    variant,
    size,
    { x: x.view, dY: dY.view, ...scratchFor("weight gradient"), dWeights },
    { upsampled, accumulate: net.accumulateParameters },
  ));
  if (dX === null) return;
  const { U, V, M } = scratchFor("input gradient");
  const weights = { tensor: net.parameter(`${name}.weight`), offset: 0 };
  net.add(winogradWeights(m, layer, "inputGradient", weights, U));
  net.add(winogradInputGradient(
    variant,
    size,
    { x: dY.view, U, V: M, M: V, y: dX.view, accumulate: dX.accumulate },
    { upsampled },
  ));
}

/** {@linkcode convBackward} by products of columns. */
function columnsBackward(
  net: Network,
  name: string,
  x: Activation,
  dY: Activation,
  shape: ConvShape,
  dX: GradientSlot | null,
): void {
  const input = shape.upsampled ? doubled(net, name, x) : x;
  const sizes = sizesOf(input, dY.C, shape);
  const large = shape.upsampled && dX !== null ? net.activation(`${name} d doubled`, input) : null;
  const dInput = large?.view ?? dX?.view ?? null;
  const tensors = {
    x: input.view,
    dY: dY.view,
    weights: net.parameter(`${name}.weight`),
    dWeights: net.gradient(`${name}.weight`),
    columns: net.scratch(`${name} columns`, columnsSize(sizes)),
    dYTransposed: net.scratch(`${name} d transposed`, dY.N * dY.C * positions(dY)),
    dX: dInput,
  };
  net.add(im2colBackward(net.variants.gemm, sizes, tensors, {
    accumulateX: large === null && dX !== null && dX.accumulate,
    accumulateWeights: net.accumulateParameters,
  }));
  if (large === null || dX === null) return;
  const views = { small: dX.view, large: large.view };
  net.add(upsampleBackward(net.variants.other, x, views, dX.accumulate));
}
