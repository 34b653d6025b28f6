/**
 * diffusers' `scheduler_config.json`, written.
 *
 * @module
 */
import { unexpected } from "../math/errors.ts";
import { CLIP_TO_DATA } from "../reference/clip.ts";
import { betas } from "../reference/schedule.ts";
import type { ScheduleConfig } from "../spec/schedule_config.ts";
import {
  BETA_SCHEDULES,
  PREDICTION_TYPES,
  SCHEDULER_DEFAULTS,
  SCHEDULERS,
  type SchedulerSampling,
  type SchedulerSettings,
  VARIANCE_TYPES,
} from "./scheduler_config.ts";

/** How a model is sampled where nothing says otherwise: as this package's `sample` does by default. */
export const DEFAULT_SAMPLING: SchedulerSampling = {
  sampler: "ddpm",
  variance: "betaTilde",
  clip: CLIP_TO_DATA,
  spacing: "trailing",
};

/**
 * The `scheduler_config.json` that says the same: every field of the scheduler's class. A β rule that diffusers
 * has no name for is written as its values, in `trained_betas`.
 *
 * @throws {ArgumentError} for a schedule that keeps only some times, a learned log-variance, or a clipping that
 * the scheduler lacks.
 */
export function writeSchedulerConfig(settings: SchedulerSettings): Record<string, unknown> {
  const { schedule, prediction, sampling } = settings;
  const { sampler, clip, variance } = sampling;
  if (schedule.keep !== undefined) {
    unexpected(
      "a schedule with every time, for diffusers has no word for one that keeps some,",
      schedule.keep,
    );
  }
  const fields = {
    ...SCHEDULER_DEFAULTS[sampler],
    ...processFields(schedule, sampler),
    prediction_type: PREDICTION_TYPES[prediction],
    rescale_betas_zero_snr: schedule.zeroTerminalSnr ?? false,
    timestep_spacing: sampling.spacing,
  };
  const clipFields = clip?.kind === "dynamic"
    ? {
      thresholding: true,
      dynamic_thresholding_ratio: clip.quantile,
      sample_max_value: clip.max,
    }
    : sampler === "dpmSolver"
    ? clip === null ? {} : unexpected("dynamic clipping or none for dpmSolver", clip.kind)
    : { clip_sample: clip !== null, clip_sample_range: clip?.range ?? 1 };
  const ownFields = sampler === "ddpm"
    ? {
      variance_type: VARIANCE_TYPES[variance] ??
        unexpected("a variance that diffusers' DDPMScheduler has", variance),
    }
    : sampler === "dpmSolver"
    ? { solver_order: sampling.order ?? 2 }
    : {};
  return { _class_name: SCHEDULERS[sampler], ...fields, ...clipFields, ...ownFields };
}

function processFields(
  schedule: ScheduleConfig,
  sampler: SchedulerSampling["sampler"],
): Record<string, unknown> {
  switch (schedule.kind) {
    case "sigmoid":
      // Of the three, only DDPMScheduler knows it.
      if (sampler !== "ddpm") return betaFields(schedule);
      /* falls through */
    case "linear":
    case "quadratic":
      return {
        num_train_timesteps: schedule.T,
        beta_schedule: BETA_SCHEDULES[schedule.kind],
        beta_start: schedule.betaStart,
        beta_end: schedule.betaEnd,
      };
    case "cosine": {
      const { T, s = 0.008, maxBeta = 0.999 } = schedule;
      if (s !== 0.008 || maxBeta !== 0.999) return betaFields(schedule);
      return { num_train_timesteps: T, beta_schedule: BETA_SCHEDULES.cosine };
    }
    default:
      return betaFields(schedule);
  }
}

function betaFields(schedule: ScheduleConfig): Record<string, unknown> {
  const values = [...betas(schedule)];
  return { num_train_timesteps: values.length, trained_betas: values };
}
