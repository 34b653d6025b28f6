/**
 * The table of operations: what the oracle serves, by the protocol's names.
 *
 * @module
 */
import { qMeanVarianceOp, qPosteriorOp, qSampleOp, qStepOp } from "./forward.ts";
import { layerOp } from "./layer.ts";
import { decoderNllOp, normalKlOp, priorKlOp, vlbTermOp } from "./likelihood.ts";
import { lossSimpleOp, lossWeightedOp, lossWeightOp } from "./loss.ts";
import type { Op } from "./op.ts";
import { normalOp, randomBitsOp } from "./random.ts";
import {
  convertOp,
  ddimEncodeStepOp,
  ddimStepOp,
  ddpmStepOp,
  dpmSolverStepOp,
  guideOp,
  pMeanVarianceOp,
} from "./reverse.ts";
import { scheduleOp, timestepsOp } from "./schedule.ts";
import { timeEmbeddingOp } from "./time_embedding.ts";
import { adamStepOp, clipGradNormOp, emaStepOp } from "./training.ts";
import { unetOp } from "./unet.ts";

/** Every operation by its name in the protocol, in the protocol's order. */
export const ops: Readonly<Record<string, Op>> = {
  schedule: scheduleOp,
  timesteps: timestepsOp,
  q_step: qStepOp,
  q_sample: qSampleOp,
  q_mean_variance: qMeanVarianceOp,
  q_posterior: qPosteriorOp,
  convert: convertOp,
  p_mean_variance: pMeanVarianceOp,
  ddpm_step: ddpmStepOp,
  ddim_step: ddimStepOp,
  ddim_encode_step: ddimEncodeStepOp,
  dpm_solver_step: dpmSolverStepOp,
  guide: guideOp,
  loss_simple: lossSimpleOp,
  loss_weight: lossWeightOp,
  loss_weighted: lossWeightedOp,
  normal_kl: normalKlOp,
  decoder_nll: decoderNllOp,
  vlb_term: vlbTermOp,
  prior_kl: priorKlOp,
  time_embedding: timeEmbeddingOp,
  layer: layerOp,
  unet: unetOp,
  adam_step: adamStepOp,
  ema_step: emaStepOp,
  clip_grad_norm: clipGradNormOp,
  random_bits: randomBitsOp,
  normal: normalOp,
};
