/**
 * 1x1 convolutions and the attention block as launches of a network's plan. Positions are columns, so
 * nothing is transposed: the products take strides.
 *
 * @module
 */
import type { UNetConfig } from "../spec/unet_config.ts";
import type { AttentionModule } from "../spec/unet_modules.ts";
import { type Factor, gemm, type Placed } from "./kernels/gemm.ts";
import { scale } from "./kernels/elementwise.ts";
import { pointwiseWeightGradient } from "./kernels/pointwise.ts";
import { softmax, softmaxBackward } from "./kernels/softmax.ts";
import type { View } from "./kernel.ts";
import {
  addGradient,
  biasGradient,
  norm,
  normBackward,
  type NormSpec,
  normStats,
} from "./layers.ts";
import { type Activation, type GradientSlot, type Network, positions } from "./network.ts";
import type { PlanTensor } from "./plan.ts";

/** A view `[N, C, P]` as a factor whose sum runs over channels and whose columns are positions. */
function overChannels({ view, ...shape }: Activation): Factor<PlanTensor> {
  const { tensor, offset, sampleStride } = view;
  return { tensor, offset, b1: sampleStride, k2: positions(shape), i: 1 };
}

/** The same as what is written: a row per channel, a column per position. */
function channelRows({ view, ...shape }: Activation): Placed<PlanTensor> {
  const { tensor, offset, sampleStride } = view;
  return { tensor, offset, b1: sampleStride, m: positions(shape), n: 1 };
}

/** What is added to a convolution's result. */
export interface Epilogue {
  /** `[N, O]`, added to every position of sample n's channel o. */
  readonly perSample?: Activation;
  /** Of the result's shape. */
  readonly residual?: Activation;
  /** What everything is divided by. */
  readonly outputScale?: number;
}

/** y = (W·x + b + residual)/outputScale at every position, into `y`. */
export function conv1x1(
  net: Network,
  name: string,
  x: Activation,
  y: Activation,
  { residual, outputScale }: Epilogue = {},
): void {
  const { N, C } = x;
  net.add(gemm(net.variants.gemm, {
    B1: N,
    M: y.C,
    N: positions(x),
    K2: C,
    a: { tensor: net.parameter(`${name}.weight`), k2: y.C, i: 1 },
    b: overChannels(x),
    c: channelRows(y),
    bias: { tensor: net.parameter(`${name}.bias`), m: 1 },
    ...(residual === undefined ? {} : { residual: channelRows(residual) }),
    ...(outputScale === undefined || outputScale === 1 ? {} : { outputScale }),
  }));
}

/** dW = Σ x·dYᵀ over images and positions, db = Σ dY, dX = Wᵀ·dY. */
export function conv1x1Backward(
  net: Network,
  name: string,
  x: Activation,
  dY: Activation,
  dX: GradientSlot,
): void {
  const { N, C } = x;
  const P = positions(x), O = dY.C;
  const tensors = {
    x: x.view,
    dY: dY.view,
    xTransposed: net.scratch(`${name} transposed`, N * C * P),
    dYTransposed: net.scratch(`${name} d transposed`, N * O * P),
    dWeights: net.gradient(`${name}.weight`),
  };
  const { gemm: variant } = net.variants;
  net.add(
    pointwiseWeightGradient(variant, { N, C, O, P }, tensors, net.accumulateParameters),
  );
  biasGradient(net, name, dY);
  net.add(gemm(net.variants.gemm, {
    B1: N,
    M: C,
    N: P,
    K2: O,
    a: { tensor: net.parameter(`${name}.weight`), k2: 1, i: O },
    b: overChannels(dY),
    c: channelRows({ ...x, view: dX.view }),
    accumulate: dX.accumulate,
  }));
}

/**
 * y = (h + to_out(attention(to_q(n), to_k(n), to_v(n))))/scale with n = norm(h), into `y`; its
 * backward is noted.
 */
export function attentionBlock(
  net: Network,
  config: UNetConfig,
  module: AttentionModule,
  h: Activation,
  y: Activation,
): void {
  const { name, heads, groups, outputScale } = module;
  const { N, C } = h;
  const P = positions(h), D = C / heads;
  const { gemm: variant, other } = net.variants;
  const alpha = 1 / Math.sqrt(D);
  const spec: NormSpec | null = groups === null
    ? null
    : { name: `${name}.group_norm`, groups, eps: config.normEps, silu: false, scaleShift: null };
  const stats = spec && normStats(net, h, spec);
  const normed = (): Activation => {
    if (spec === null || stats === null) return h;
    const n = net.activation(`${name} normed`, h);
    norm(net, spec, h, n, stats);
    return n;
  };
  const head = (x: Activation, k2: number, i: number): Factor<PlanTensor> => ({
    tensor: x.view.tensor,
    offset: x.view.offset,
    b1: x.view.sampleStride,
    b2: D * P,
    k2,
    i,
  });
  const headRows = (x: Activation): Placed<PlanTensor> => ({
    tensor: x.view.tensor,
    offset: x.view.offset,
    b1: x.view.sampleStride,
    b2: D * P,
    m: P,
    n: 1,
  });
  const square = (tensor: PlanTensor) => ({ tensor, b1: heads * P * P, b2: P * P });
  const rows = { rows: N * heads * P, L: P };
  const asRows = (tensor: PlanTensor): View<PlanTensor> => ({ tensor, offset: 0, sampleStride: P });
  const batch = { B1: N, B2: heads };

  const n = normed();
  const [q, k, v] = ["to_q", "to_k", "to_v"].map((part) => {
    const x = net.activation(`${name}.${part}`, h);
    conv1x1(net, `${name}.${part}`, n, x);
    return x;
  });
  // P[l, j] = softmax_j(α·Σ_d q[d, l]·k[d, j])
  const weights = net.scratch(`${name} attention`, N * heads * P * P);
  net.add(gemm(variant, {
    ...batch,
    M: P,
    N: P,
    K2: D,
    alpha,
    a: head(q, P, 1),
    b: head(k, P, 1),
    c: { ...square(weights), m: P, n: 1 },
  }));
  net.add(softmax(other, rows, { x: asRows(weights), y: asRows(weights) }, 1));
  // o[d, l] = Σ_j v[d, j]·P[l, j]
  const o = net.activation(`${name} values`, h);
  net.add(gemm(variant, {
    ...batch,
    M: D,
    N: P,
    K2: P,
    a: head(v, 1, P),
    b: { ...square(weights), k2: 1, i: P },
    c: headRows(o),
  }));
  conv1x1(net, `${name}.to_out.0`, o, y, { residual: h, outputScale });

  net.onBackward(() => {
    const g = unscaled(net, y, outputScale);
    const gradientLike = (label: string): Activation => net.activation(`${name} d${label}`, h);
    const whole = (x: Activation): GradientSlot => ({ view: x.view, accumulate: false });
    const dO = gradientLike("values");
    conv1x1Backward(net, `${name}.to_out.0`, o, g, whole(dO));
    const dV = gradientLike("v"), dQ = gradientLike("q"), dK = gradientLike("k");
    // dV[d, j] = Σ_l dO[d, l]·P[l, j]
    net.add(gemm(variant, {
      ...batch,
      M: D,
      N: P,
      K2: P,
      a: head(dO, 1, P),
      b: { ...square(weights), k2: P, i: 1 },
      c: headRows(dV),
    }));
    // dP[l, j] = Σ_d dO[d, l]·v[d, j]
    const dS = net.scratch(`${name} d attention`, N * heads * P * P);
    net.add(gemm(variant, {
      ...batch,
      M: P,
      N: P,
      K2: D,
      a: head(dO, P, 1),
      b: head(v, P, 1),
      c: { ...square(dS), m: P, n: 1 },
    }));
    const tensors = { y: asRows(weights), dY: asRows(dS), dX: asRows(dS) };
    net.add(softmaxBackward(other, rows, tensors, 1));
    // dQ[d, l] = α·Σ_j k[d, j]·dS[l, j];  dK[d, j] = α·Σ_l q[d, l]·dS[l, j]
    net.add(gemm(variant, {
      ...batch,
      M: D,
      N: P,
      K2: P,
      alpha,
      a: head(k, 1, P),
      b: { ...square(dS), k2: 1, i: P },
      c: headRows(dQ),
    }));
    net.add(gemm(variant, {
      ...batch,
      M: D,
      N: P,
      K2: P,
      alpha,
      a: head(q, 1, P),
      b: { ...square(dS), k2: P, i: 1 },
      c: headRows(dK),
    }));
    addGradient(net, h, g);
    const n = normed();
    const dN = spec === null ? null : net.activation(`${name} d normed`, h);
    ([["to_q", dQ], ["to_k", dK], ["to_v", dV]] as const).forEach(([part, d], i) => {
      const slot = dN === null ? net.slot(h) : { view: dN.view, accumulate: i > 0 };
      conv1x1Backward(net, `${name}.${part}`, n, d, slot);
    });
    if (spec !== null && stats !== null && dN !== null) {
      normBackward(net, spec, h, dN.view, stats, net.slot(h));
    }
  });
}

/** The gradient of a sum before it was divided by `outputScale`. */
export function unscaled(net: Network, y: Activation, outputScale: number): Activation {
  const dY: Activation = { ...y, view: net.gradientOf(y) };
  if (outputScale === 1) return dY;
  const g = net.activation(`${dY.view.tensor.label} unscaled`, y);
  const sizes = { N: y.N, D: y.C * positions(y) };
  net.add(scale(net.variants.other, sizes, { x: dY.view, y: g.view }, 1 / outputScale));
  return g;
}
