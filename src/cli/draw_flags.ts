/**
 * The flags of commands that draw requests.
 *
 * @module
 */
import { DEFAULT_RUNS, DEFAULT_SEED } from "../oracle/verify/mod.ts";
import type { Flag } from "./flags.ts";

/** Where draws begin. */
export const SEED_FLAG = {
  kind: "integer",
  min: 0,
  max: 2 ** 31 - 1,
  default: DEFAULT_SEED,
  help: "Seed of the draws.",
} as const satisfies Flag;

/** How much is drawn. */
export const RUNS_FLAG = {
  kind: "integer",
  min: 1,
  max: 1_000_000,
  default: DEFAULT_RUNS,
  help: "Requests per operation.",
} as const satisfies Flag;
