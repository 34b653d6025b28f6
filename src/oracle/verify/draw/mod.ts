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
import { layerCells } from "./layers.ts";
import {
  decoderNllCells,
  guideCells,
  lossSimpleCells,
  lossWeightCells,
  lossWeightedCells,
  normalKlCells,
  priorKlCells,
} from "./losses.ts";
import { unetCells } from "./networks.ts";
import type { Cell, Parts } from "./parts.ts";
import {
  convertCells,
  ddimEncodeStepCells,
  ddimStepCells,
  ddpmStepCells,
  dpmSolverStepCells,
  pMeanVarianceCells,
  vlbTermCells,
} from "./reverse.ts";
import {
  adamStepCells,
  clipGradNormCells,
  emaStepCells,
  normalCells,
  randomBitsCells,
  timeEmbeddingCells,
} from "./training.ts";

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
  dpm_solver_step: dpmSolverStepCells,
  guide: guideCells,
  loss_simple: lossSimpleCells,
  loss_weight: lossWeightCells,
  loss_weighted: lossWeightedCells,
  normal_kl: normalKlCells,
  decoder_nll: decoderNllCells,
  vlb_term: vlbTermCells,
  prior_kl: priorKlCells,
  time_embedding: timeEmbeddingCells,
  layer: layerCells,
  unet: unetCells,
  adam_step: adamStepCells,
  ema_step: emaStepCells,
  clip_grad_norm: clipGradNormCells,
  random_bits: randomBitsCells,
  normal: normalCells,
};
