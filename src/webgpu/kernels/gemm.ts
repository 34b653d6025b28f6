/**
 * One strided, batched matrix product that 1x1 convolutions, linear layers, attention, Winograd's
 * products, im2col convolutions and all their gradients are made of.
 *
 * @module
 */
import type { Launch } from "../kernel.ts";
import { gemmNaive } from "./gemm_naive.ts";
import { gemmRegister, type RegisterTile } from "./gemm_register.ts";
import { type GemmProblem, transposed } from "./gemm_problem.ts";

export type { Factor, GemmProblem, Placed } from "./gemm_problem.ts";

/** How a product is computed. Every variant adds up each element of C in the same order of k. */
export type GemmVariant =
  | { readonly kind: "naive" }
  | { readonly kind: "register"; readonly tiles: readonly RegisterTile[] };

/** Each tile of the software adapters' variant compiles once; the product's sizes choose among them. */
export const REGISTER_TILES: readonly RegisterTile[] = [
  { V: 16, T: 16 },
  { V: 16, T: 4 },
  { V: 4, T: 4 },
];

/** The default for software adapters. */
export const REGISTER: GemmVariant = { kind: "register", tiles: REGISTER_TILES };

/** Cost of a load inside a loop, and of a loop's turn, in fused multiply-adds of one vector (measured). */
const LOAD = 13;
const TURN = 9;

/** Vector operations per k of all tiles that cover M by N. */
function registerCost({ V, T }: RegisterTile, M: number, N: number): number {
  const tiles = Math.ceil(M / (8 * V)) * Math.ceil(N / T);
  return tiles * (V * T + LOAD * (V + T) + TURN);
}

/**
 * The launch for a product.
 *
 * The register variant lays its lanes along m or n and takes the tile that wastes least; the choice
 * cannot show in the result, because the order of each sum is the same.
 *
 * @throws {ArgumentError} if a size or stride is no u32, or the product needs too many workgroups.
 */
export function gemm<T>(variant: GemmVariant, problem: GemmProblem<T>): Launch<T> {
  if (variant.kind === "naive") return gemmNaive(problem);
  const { M, N } = problem;
  const choices = variant.tiles.flatMap((tile) => [
    { tile, problem, cost: registerCost(tile, M, N) },
    { tile, problem: transposed(problem), cost: registerCost(tile, N, M) },
  ]);
  const best = choices.reduce((x, y) => y.cost < x.cost ? y : x);
  return gemmRegister(best.tile, best.problem);
}
