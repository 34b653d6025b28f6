/**
 * The bound of every operation.
 *
 * @module
 */
import type { BoundsOf } from "../model.ts";
import { qMeanVarianceBounds, qPosteriorBounds, qSampleBounds, qStepBounds } from "./forward.ts";
import { layerBounds } from "./layers.ts";
import { decoderNllBounds, normalKlBounds, priorKlBounds, vlbTermBounds } from "./likelihood.ts";
import { guideBounds, lossSimpleBounds, lossWeightBounds, lossWeightedBounds } from "./losses.ts";
import {
  convertBounds,
  ddimEncodeStepBounds,
  ddimStepBounds,
  ddpmStepBounds,
  pMeanVarianceBounds,
} from "./reverse.ts";
import { integerBounds, scheduleBounds } from "./schedule.ts";
import { dpmSolverStepBounds } from "./solver.ts";
import { normalBounds, timeEmbeddingBounds } from "./sources.ts";
import { adamStepBounds, clipGradNormBounds, emaStepBounds } from "./training.ts";
import { unetBounds } from "./unet.ts";

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
  dpm_solver_step: dpmSolverStepBounds,
  guide: guideBounds,
  loss_simple: lossSimpleBounds,
  loss_weight: lossWeightBounds,
  loss_weighted: lossWeightedBounds,
  normal_kl: normalKlBounds,
  decoder_nll: decoderNllBounds,
  vlb_term: vlbTermBounds,
  prior_kl: priorKlBounds,
  time_embedding: timeEmbeddingBounds,
  layer: layerBounds,
  unet: unetBounds,
  adam_step: adamStepBounds,
  ema_step: emaStepBounds,
  clip_grad_norm: clipGradNormBounds,
  random_bits: integerBounds("the words of Philox 4x32-10"),
  normal: normalBounds,
};
