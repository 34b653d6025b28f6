/**
 * Transforms of 3 × 3 kernels: of the weights to planes, and of planes to the weights' gradient.
 *
 * @module
 */
import { type Launch, linearGrid } from "../kernel.ts";
import {
  declared,
  elements,
  type PlaneStrides,
  shader,
  storeInLoop,
  WORKGROUP,
} from "./winograd_code.ts";
import type { Matrix } from "./winograd_matrices.ts";

/** Where kernels of 3 × 3 weights (or their transforms) lie: tap·xi + row·c + column·n from `offset`. */
export interface KernelStrides<T> extends PlaneStrides {
  readonly tensor: T;
  readonly offset: number;
}

/**
 * L·d·Lᵀ of every kernel d in a matrix of rows × columns kernels: the transform of the weights, and of
 * their gradient back.
 *
 * @param turned whether d is the kernel turned by 180°.
 * @param half whether the result is kept as float16.
 */
export function transformKernels<T>(
  name: string,
  L: Matrix,
  rows: number,
  columns: number,
  from: KernelStrides<T>,
  to: KernelStrides<T>,
  options: { turned?: boolean; accumulate?: boolean; half?: boolean } = {},
): Launch<T> {
  const inner = L[0].length;
  const { turned = false, accumulate = false, half = false } = options;
  const type = half ? "f16" : "f32";
  const { names, values } = declared({
    count: rows * columns,
    columns,
    elements: L.length ** 2,
    // A turned kernel is read from its last tap backwards: the stride wraps around below zero.
    fromOffset: from.offset + (turned ? (inner ** 2 - 1) * from.xi : 0),
    fromXi: turned ? 2 ** 32 - from.xi : from.xi,
    fromC: from.c,
    fromN: from.n,
    toOffset: to.offset,
    toXi: to.xi,
    toC: to.c,
    toN: to.n,
  });
  const body = `  let c = index / p.columns;
  let n = index - c * p.columns;
  let source = p.fromOffset + c * p.fromC + n * p.fromN;
${
    elements(
      inner,
      inner,
      (i, j) => `let d${i}_${j} = X[source + ${i * inner + j}u * p.fromXi];`,
    )
  }
${
    storeInLoop(
      L,
      "Y",
      "p.toOffset + c * p.toC + n * p.toN",
      "p.toXi",
      accumulate ? "+=" : "=",
      type,
    )
  }`;
  return {
    kernel: `winograd.${name}`,
    wgsl: shader(names, { X: "f32", Y: type }, body),
    params: values,
    operands: [
      { tensor: from.tensor, access: "read" },
      { tensor: to.tensor, access: accumulate ? "update" : "write" },
    ],
    workgroups: linearGrid(Math.ceil(rows * columns / WORKGROUP)),
    flops: 0,
    bytes: rows * columns *
      (4 * inner ** 2 + (half ? 2 : 4) * L.length ** 2 * (accumulate ? 2 : 1)),
  };
}
