/**
 * Convolutions as launches of a network's plan, by whichever algorithm the variant table names.
 *
 * @module
 */
import type { Epilogue } from "./attention.ts";
import {
  winogradForward,
  winogradInputGradient,
  winogradScratch,
  type WinogradTile,
  winogradWeightGradient,
  winogradWeights,
} from "./kernels/winograd.ts";
import { biasGradient } from "./layers.ts";
import type { Activation, GradientSlot, Network } from "./network.ts";
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

/** Outputs per tile of a Winograd algorithm, or null. */
function tileOf(net: Network, layer: ConvLayer): WinogradTile | null {
  const algorithm = convAlgorithm(net.variants, layer);
  return algorithm === "winograd4" ? 4 : algorithm === "winograd2" ? 2 : null;
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
  const m = tileOf(net, layer) ?? 2;
  const size = { N: y.N, C: x.C, O: y.C, H: y.H, W: y.W };
  const scratch = winogradScratch(m, size);
  const U = transformedWeights(net, name, m, layer, scratch.U);
  net.add(winogradForward(
    { m, gemm: net.variants.gemm },
    size,
    {
      x: x.view,
      U,
      V: net.scratch(`${name} tiles`, scratch.V),
      M: net.scratch(`${name} products`, scratch.M),
      y: y.view,
      bias: { tensor: net.parameter(`${name}.bias`), offset: 0 },
      perSample: perSample?.view,
      residual: residual?.view,
      outputScale,
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
): PlanTensor {
  const weights = { tensor: net.parameter(`${name}.weight`), offset: 0 };
  const U = net.training
    ? net.scratch(`${name} U`, size)
    : net.plan.tensor("prepared", `${name} U`, size);
  const phase = net.training ? "step" : "prepare";
  net.add(winogradWeights(m, { C, O }, "forward", weights, U), phase);
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
  const m = tileOf(net, layer) ?? 2;
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
  biasGradient(net, name, dY);
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
