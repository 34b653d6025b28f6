/**
 * The gradient of a 1x1 convolution's weights.
 *
 * @module
 */
import type { Launch, View } from "../kernel.ts";
import { gemm, type GemmVariant } from "./gemm.ts";
import { transpose } from "./transpose.ts";

/** Sizes of a 1x1 convolution of `[N, C, P]` to `[N, O, P]`. */
export interface PointwiseSizes {
  readonly N: number;
  readonly C: number;
  readonly O: number;
  readonly P: number;
}

/** What the gradient touches. */
export interface PointwiseTensors<T> {
  /** Input `[N, C, P]`. */
  readonly x: View<T>;
  /** Gradient of the output `[N, O, P]`. */
  readonly dY: View<T>;
  /** Scratch of N·C·P elements. */
  readonly xTransposed: T;
  /** Scratch of N·O·P elements. */
  readonly dYTransposed: T;
  /** Gradient of the weights `[C, O]`. */
  readonly dWeights: T;
}

/**
 * dW[c, o] = Σ_{n,p} x[n, c, p]·dY[n, o, p], written or, with `accumulate`, added.
 *
 * The sum runs along what is contiguous in memory, where each term of a tile lies in a row of its own:
 * on software adapters a product of transposed copies, copying included, takes half the time.
 */
export function pointwiseWeightGradient<T>(
  variant: GemmVariant,
  { N, C, O, P }: PointwiseSizes,
  { x, dY, xTransposed, dYTransposed, dWeights }: PointwiseTensors<T>,
  accumulate = false,
): Launch<T>[] {
  const product = { M: O, N: C, K1: N, K2: P, c: { tensor: dWeights, m: 1, n: O }, accumulate };
  if (variant.kind !== "register" || P === 1) {
    const along = ({ tensor, offset, sampleStride }: View<T>) => ({
      tensor,
      offset,
      k1: sampleStride,
      k2: 1,
      i: P,
    });
    return [gemm(variant, { ...product, a: along(dY), b: along(x) })];
  }
  return [
    transpose("lanes", { N, C: O, P }, { x: dY, y: dYTransposed }),
    transpose("lanes", { N, C, P }, { x, y: xTransposed }),
    gemm(variant, {
      ...product,
      a: { tensor: dYTransposed, k1: O * P, k2: O, i: 1 },
      b: { tensor: xTransposed, k1: C * P, k2: C, i: 1 },
    }),
  ];
}
