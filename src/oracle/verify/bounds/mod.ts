/**
 * The bound of every operation.
 *
 * @module
 */
import type { BoundsOf } from "../model.ts";
import { qMeanVarianceBounds, qPosteriorBounds, qSampleBounds, qStepBounds } from "./forward.ts";
import {
  convertBounds,
  ddimEncodeStepBounds,
  ddimStepBounds,
  ddpmStepBounds,
  pMeanVarianceBounds,
} from "./reverse.ts";
import { integerBounds, scheduleBounds } from "./schedule.ts";

/** Bounds by operation. */
export const BOUNDS: Readonly<Record<string, BoundsOf>> = {
  schedule: scheduleBounds,
  timesteps: integerBounds("integers by the rule of the spacing"),
  q_step: qStepBounds,
  q_sample: qSampleBounds,
  q_mean_variance: qMeanVarianceBounds,
  q_posterior: qPosteriorBounds,
  convert: convertBounds,
  p_mean_variance: pMeanVarianceBounds,
  ddpm_step: ddpmStepBounds,
  ddim_step: ddimStepBounds,
  ddim_encode_step: ddimEncodeStepBounds,
};
