/**
 * One strided, batched matrix product that 1x1 convolutions, linear layers, attention, Winograd's
 * products, im2col convolutions and all their gradients are made of.
 *
 * @module
 */
import type { Launch } from "../kernel.ts";
import { gemmNaive } from "./gemm_naive.ts";
import { type GemmProblem, transposed } from "./gemm_problem.ts";
import { gemmRegister, type RegisterTile, runsOfTiles, tileFits } from "./gemm_register.ts";
import { gemmWorkgroup, type WorkgroupTile } from "./gemm_workgroup.ts";

export type { Factor, GemmProblem, Placed } from "./gemm_problem.ts";

/**
 * How a product is computed: `naive`, one invocation per element; `register`, for software adapters;
 * `workgroup`, for GPUs. Every variant adds up each element of C in the same order of k.
 */
export type GemmVariant =
  | { readonly kind: "naive" }
  | { readonly kind: "register"; readonly tiles: readonly RegisterTile[] }
  | { readonly kind: "workgroup"; readonly tiles: readonly WorkgroupTile[] };

/** Each tile of the software adapters' variant compiles once; the product's sizes choose among them. */
export const REGISTER_TILES: readonly RegisterTile[] = [
  { V: 16, T: 16, keep: 128 },
  { V: 8, T: 16, keep: 128 },
  { V: 16, T: 16 },
  { V: 8, T: 16 },
  { V: 16, T: 4 },
  { V: 4, T: 4 },
];

/** The default for software adapters. */
export const REGISTER: GemmVariant = { kind: "register", tiles: REGISTER_TILES };

/** The default for GPUs: large tiles where they are filled, small ones elsewhere. */
export const WORKGROUP: GemmVariant = {
  kind: "workgroup",
  tiles: [{ V: 8, T: 8 }, { V: 4, T: 4 }],
};

/**
 * Costs in fused multiply-adds of one vector (measured): of a load from a buffer inside a loop, and a
 * loop's turn.
 */
const LOAD = 13, TURN = 9;

/**
 * Likewise where rows are kept: of a load from a private array, a copy from a buffer to that array, the
 * beginning of a tile per sum, and a sum's way to C and back.
 */
const KEPT = 2, KEEP = 16, START = 11, CARRY = 30;

/** Vector operations per k of all tiles that cover M by N. */
function registerCost(tile: RegisterTile, problem: GemmProblem<unknown>): number {
  const { V, T, keep } = tile;
  const { M, N, K2 } = problem;
  const blocks = Math.ceil(M / (8 * V));
  const tiles = blocks * Math.ceil(N / T);
  const columns = tiles * (V * T + LOAD * T + TURN);
  if (keep === undefined) return columns + tiles * LOAD * V;
  const perSum = START + CARRY * (Math.ceil(K2 / keep) - 1);
  return columns + tiles * (KEPT * V + perSum * V * T / K2) +
    blocks * runsOfTiles(tile, problem) * KEEP * V;
}

function registerLaunch<T>(tiles: readonly RegisterTile[], problem: GemmProblem<T>): Launch<T> {
  const choices = [problem, transposed(problem)].flatMap((problem) =>
    tiles.filter((tile) => tileFits(tile, problem)).map((tile) => ({
      tile,
      problem,
      cost: registerCost(tile, problem),
    }))
  );
  const best = choices.reduce((x, y) => y.cost < x.cost ? y : x);
  return gemmRegister(best.tile, best.problem);
}

/** Workgroups that a GPU should be given at least, before tiles grow at the expense of their number. */
const ENOUGH_WORKGROUPS = 64;

function workgroupLaunch<T>(tiles: readonly WorkgroupTile[], problem: GemmProblem<T>): Launch<T> {
  const { B1 = 1, B2 = 1, c } = problem;
  const along = c.m === 1 && c.n !== 1 ? transposed(problem) : problem;
  const large = tiles.find(({ V, T }) =>
    B1 * B2 * Math.floor(along.M / (16 * V)) * Math.floor(along.N / (16 * T)) >= ENOUGH_WORKGROUPS
  );
  const smallest = tiles.reduce((x, y) => y.V * y.T < x.V * x.T ? y : x);
  return gemmWorkgroup(large ?? smallest, along);
}

/**
 * The launch for a product.
 *
 * Sizes choose the tile, and whether rows and columns are exchanged; that cannot show in the result,
 * because the order of each sum is the same.
 *
 * @throws {ArgumentError} if a size or stride is no u32, or the product needs too many workgroups.
 */
export function gemm<T>(variant: GemmVariant, problem: GemmProblem<T>): Launch<T> {
  switch (variant.kind) {
    case "naive":
      return gemmNaive(problem);
    case "register":
      return registerLaunch(variant.tiles, problem);
    case "workgroup":
      return workgroupLaunch(variant.tiles, problem);
  }
}
