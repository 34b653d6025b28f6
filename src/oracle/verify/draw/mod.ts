/**
 * The requests that are drawn for every operation.
 *
 * @module
 */
import {
  qMeanVarianceCells,
  qPosteriorCells,
  qSampleCells,
  qStepCells,
  scheduleCells,
  timestepsCells,
} from "./forward.ts";
import type { Cell, Parts } from "./parts.ts";
import {
  convertCells,
  ddimEncodeStepCells,
  ddimStepCells,
  ddpmStepCells,
  pMeanVarianceCells,
} from "./reverse.ts";

/** Draws by operation, in the protocol's order. */
export const DRAWS: Readonly<Record<string, (parts: Parts) => Cell[]>> = {
  schedule: scheduleCells,
  timesteps: timestepsCells,
  q_step: qStepCells,
  q_sample: qSampleCells,
  q_mean_variance: qMeanVarianceCells,
  q_posterior: qPosteriorCells,
  convert: convertCells,
  p_mean_variance: pMeanVarianceCells,
  ddpm_step: ddpmStepCells,
  ddim_step: ddimStepCells,
  ddim_encode_step: ddimEncodeStepCells,
};
