/**
 * Requests and the results that follow from the equations by hand: numbers and closed forms, never a
 * call into what is tested.
 *
 * @module
 */
import type { Case } from "./case.ts";
import { conversionCases, forwardCases } from "./forward.ts";
import { layerCases } from "./layers.ts";
import { likelihoodCases } from "./likelihood.ts";
import { lossCases } from "./losses.ts";
import { networkCases } from "./network.ts";
import { randomCases } from "./random.ts";
import { reverseCases, stepCases } from "./reverse.ts";
import { scheduleCases } from "./schedules.ts";
import { guidanceCases, solverCases } from "./solver.ts";
import { trainingCases } from "./training.ts";

/** All of them; every operation has at least one. */
export const CASES: readonly Case[] = [
  ...scheduleCases(),
  ...forwardCases(),
  ...conversionCases(),
  ...reverseCases(),
  ...stepCases(),
  ...solverCases(),
  ...guidanceCases(),
  ...lossCases(),
  ...likelihoodCases(),
  ...layerCases(),
  ...networkCases(),
  ...trainingCases(),
  ...randomCases(),
];
