/**
 * What of the kernels is left unchanged, and why no test of a kernel could notice a change.
 *
 * @module
 */

const GROUPING =
  "how invocations are grouped; shader and launch take the number from the same place";
const FIGURE = "a figure for tables, not part of a result";
const DEPTH = "an error bound's argument, for tests";
const TABLE = "places that host and shader take from this one table";
const ELSEWHERE = "needs an adapter with subgroups: tests/browser runs it";
const CHOICE = "a choice among variants that compute the same";

/** Reasons by the names of units. */
export const LEFT: Readonly<Record<string, string>> = {
  WORKGROUP: GROUPING,
  MOST_PER_INVOCATION: GROUPING,
  LANES: GROUPING,
  TOTAL_LANES: GROUPING,
  GROUP_LANES: GROUPING,
  GUIDANCE_LANES: GROUPING,
  CHANNEL_LANES: GROUPING,
  SUM_LANES: GROUPING,
  ROW_LANES: GROUPING,
  PARTS_PER_WORKGROUP: GROUPING,
  SUMS_PER_WORKGROUP: GROUPING,
  ROWS_PER_WORKGROUP: GROUPING,
  CHANNELS_PER_WORKGROUP: GROUPING,
  SIDE: GROUPING,
  DEPTH: GROUPING,
  REGISTER_TILES: CHOICE,
  LOAD: CHOICE,
  TURN: CHOICE,
  KEPT: CHOICE,
  KEEP: CHOICE,
  START: CHOICE,
  CARRY: CHOICE,
  runsOfTiles: CHOICE,
  registerCost: CHOICE,
  registerLaunch: CHOICE,
  ENOUGH_WORKGROUPS: CHOICE,
  workgroupLaunch: CHOICE,
  VARIANTS: CHOICE,
  subgroupTotal: ELSEWHERE,
  STEP: TABLE,
  STEP_SIZE: "any size beyond the last place will do",
  ROW: TABLE,
  POINTS: "any distinct points make the algorithm; these keep its errors small",
  isShared: CHOICE,
  kernelName: FIGURE,
  gemmFlops: FIGURE,
  gemmBytes: FIGURE,
  costOf: FIGURE,
  flopsOf: FIGURE,
  multiplications: FIGURE,
  normDepth: DEPTH,
  lossDepth: DEPTH,
  sumDepth: DEPTH,
  rowDepth: DEPTH,
};
