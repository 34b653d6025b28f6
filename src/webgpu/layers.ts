/**
 * The layers that are no convolutions, forward and backward adjacent, as launches of a network's plan.
 *
 * @module
 */
import { accumulate, copy } from "./kernels/elementwise.ts";
import { gemm, type Placed } from "./kernels/gemm.ts";
import { groupNorm } from "./kernels/group_norm.ts";
import { groupNormBackward } from "./kernels/group_norm_backward.ts";
import { sumPerChannel } from "./kernels/reduce.ts";
import { silu, siluBackward } from "./kernels/silu.ts";
import type { View } from "./kernel.ts";
import { type Activation, type GradientSlot, type Network, positions } from "./network.ts";
import type { PlanTensor } from "./plan.ts";

/** Vectors `[N, C]` as an activation without extent. */
export function vectors(net: Network, label: string, N: number, C: number): Activation {
  return net.activation(label, { N, C, H: 1, W: 1 });
}

/** Rows `[N, C]` as what a product reads or writes: one column per sample. */
function columns({ tensor, offset, sampleStride }: View<PlanTensor>): Placed<PlanTensor> {
  return { tensor, offset, m: 1, n: sampleStride };
}

/**
 * y = W·x + b for vectors: `[N, I]` → `[N, O]`.
 *
 * @returns y; its backward is noted.
 */
export function linear(net: Network, name: string, x: Activation, O: number): Activation {
  const { N, C: I } = x;
  const weight = net.parameter(`${name}.weight`);
  const y = vectors(net, name, N, O);
  net.add(gemm(net.variants.gemm, {
    M: O,
    N,
    K2: I,
    a: { tensor: weight, k2: O, i: 1 },
    b: { tensor: x.view.tensor, offset: x.view.offset, k2: 1, i: x.view.sampleStride },
    c: columns(y.view),
    bias: { tensor: net.parameter(`${name}.bias`), m: 1 },
  }));
  net.onBackward(() => {
    linearBackward(net, name, x, net.gradientOf(y), O, net.slot(x));
  });
  return y;
}

/** dW = Σ_n x·dYᵀ, db = Σ_n dY, dX = Wᵀ·dY. */
function linearBackward(
  net: Network,
  name: string,
  x: Activation,
  dY: View<PlanTensor>,
  O: number,
  dX: GradientSlot,
): void {
  const { N, C: I } = x;
  const dYFactor = { tensor: dY.tensor, offset: dY.offset };
  net.add(gemm(net.variants.gemm, {
    M: O,
    N: I,
    K2: N,
    a: { ...dYFactor, k2: dY.sampleStride, i: 1 },
    b: { tensor: x.view.tensor, offset: x.view.offset, k2: x.view.sampleStride, i: 1 },
    c: { tensor: net.gradient(`${name}.weight`), m: 1, n: O },
    accumulate: net.accumulateParameters,
  }));
  biasGradient(net, name, { N, C: O, H: 1, W: 1, view: dY });
  net.add(gemm(net.variants.gemm, {
    M: I,
    N,
    K2: O,
    a: { tensor: net.parameter(`${name}.weight`), k2: 1, i: O },
    b: { ...dYFactor, k2: 1, i: dY.sampleStride },
    c: columns(dX.view),
    accumulate: dX.accumulate,
  }));
}

/** db = Σ dY over images and positions. */
export function biasGradient(net: Network, name: string, dY: Activation): void {
  const tensors = { x: dY.view, y: net.gradient(`${name}.bias`) };
  const sizes = { N: dY.N, C: dY.C, P: positions(dY) };
  net.add(sumPerChannel(net.variants.other, sizes, tensors, net.accumulateParameters));
}

/** y = x·σ(x) for vectors. @returns y; its backward is noted. */
export function siluVectors(net: Network, x: Activation): Activation {
  const sizes = { N: x.N, D: x.C };
  const y = vectors(net, `silu ${x.view.tensor.label}`, x.N, x.C);
  net.add(silu(net.variants.other, sizes, { x: x.view, y: y.view }));
  net.onBackward(() => {
    const dX = net.slot(x);
    const tensors = { dY: net.gradientOf(y), x: x.view, dX: dX.view };
    net.add(siluBackward(net.variants.other, sizes, tensors, dX.accumulate));
  });
  return y;
}

/** Adds `g` to the gradient of x: the way back through a residual connection. */
export function addGradient(net: Network, x: Activation, g: Activation): void {
  const { view, accumulate: more } = net.slot(x);
  const sizes = { N: x.N, D: x.C * positions(x) };
  const tensors = { x: g.view, y: view };
  net.add(
    more
      ? accumulate(net.variants.other, sizes, tensors)
      : copy(net.variants.other, sizes, tensors),
  );
}

/** A group norm with what follows it. */
export interface NormSpec {
  readonly name: string;
  readonly groups: number;
  readonly eps: number;
  readonly silu: boolean;
  /** `[N, 2C]`: scales then shifts, or null. */
  readonly scaleShift: Activation | null;
}

/** Mean and 1/√(variance + ε) per group, kept for the backward pass. */
export function normStats(net: Network, x: Activation, { name, groups }: NormSpec): PlanTensor {
  return net.scratch(`${name} stats`, 2 * x.N * groups);
}

/** y = silu(norm(x)·(1 + scale) + shift), as far as the spec asks for it, into `y`. */
export function norm(
  net: Network,
  spec: NormSpec,
  x: Activation,
  y: Activation,
  stats: PlanTensor,
): void {
  const { N, C } = x;
  const { name, groups, eps, silu, scaleShift } = spec;
  net.add(groupNorm(net.variants.other, { N, C, P: positions(x), groups }, { eps, silu }, {
    x: x.view,
    weight: net.parameter(`${name}.weight`),
    bias: net.parameter(`${name}.bias`),
    scaleShift: scaleShift === null ? null : scaleShift.view,
    y: y.view,
    stats,
  }));
}

/** Gradients of {@linkcode norm}: of x, weight, bias, scale and shift. */
export function normBackward(
  net: Network,
  spec: NormSpec,
  x: Activation,
  dY: View<PlanTensor>,
  stats: PlanTensor,
  dX: GradientSlot,
): void {
  const { N, C } = x;
  const { name, groups, silu, scaleShift } = spec;
  const sizes = { N, C, P: positions(x), groups };
  const options = {
    silu,
    accumulateX: dX.accumulate,
    accumulateParameters: net.accumulateParameters,
  };
  net.add(groupNormBackward(net.variants.other, sizes, options, {
    dY,
    x: x.view,
    weight: net.parameter(`${name}.weight`),
    bias: net.parameter(`${name}.bias`),
    scaleShift: scaleShift === null ? null : scaleShift.view,
    stats,
    sums: net.scratch(`${name} sums`, 2 * N * C),
    dX: dX.view,
    dWeight: net.gradient(`${name}.weight`),
    dBias: net.gradient(`${name}.bias`),
    dScaleShift: scaleShift === null ? null : net.slot(scaleShift).view,
  }));
}
