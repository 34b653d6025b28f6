/**
 * diffusers' `scheduler_config.json`, read: the process that a network was trained on, what its output
 * stands for, and how the scheduler samples.
 *
 * @module
 */
import { checkFinite, checkInteger, unexpected } from "../math/errors.ts";
import { MAX_T } from "../reference/schedule.ts";
import type { Clip } from "../reference/clip.ts";
import type { Variance } from "../reference/reverse.ts";
import type { TrainedPrediction } from "../spec/checkpoint.ts";
import type { BetaSchedule, ScheduleConfig } from "../spec/schedule_config.ts";

/** How a scheduler of diffusers samples, in this package's words. */
export interface SchedulerSampling {
  /** The process: of `DDPMScheduler`, `DDIMScheduler` or `DPMSolverMultistepScheduler`. */
  readonly sampler: "ddpm" | "ddim" | "dpmSolver";
  /** Σ of DDPM's steps; `betaTilde` for the others, which do not use it. */
  readonly variance: Variance;
  /** How x̂_0 is kept in range. */
  readonly clip: Clip;
  /** The rule by which times are picked. */
  readonly spacing: "leading" | "trailing" | "linspace";
  /** Order of the multistep solver, for `dpmSolver`. */
  readonly order?: 1 | 2;
}

/** What a scheduler's config says. */
export interface SchedulerSettings {
  /** The process. */
  readonly schedule: ScheduleConfig;
  /** What the network's output stands for. */
  readonly prediction: TrainedPrediction;
  /** How it is sampled. */
  readonly sampling: SchedulerSampling;
}

/** The schedulers by class. */
export const SCHEDULERS = {
  ddpm: "DDPMScheduler",
  ddim: "DDIMScheduler",
  dpmSolver: "DPMSolverMultistepScheduler",
} as const satisfies Record<SchedulerSampling["sampler"], string>;

/** diffusers' names of what a network's output stands for. */
export const PREDICTION_TYPES = {
  epsilon: "epsilon",
  v: "v_prediction",
  x0: "sample",
} as const satisfies Record<TrainedPrediction, string>;

/** diffusers' names of the fixed and learned variances; it has two for β̃, which sample alike. */
export const VARIANCE_TYPES = {
  beta: "fixed_large",
  betaTilde: "fixed_small",
  learned: null,
  learnedRange: "learned_range",
} as const satisfies Record<Variance, string | null>;

/** The β rules that have a name in diffusers. */
export const BETA_SCHEDULES = {
  linear: "linear",
  quadratic: "scaled_linear",
  sigmoid: "sigmoid",
  cosine: "squaredcos_cap_v2",
} as const;

type Fields = Readonly<Record<string, unknown>>;

const COMMON: Fields = {
  num_train_timesteps: 1000,
  beta_start: 0.0001,
  beta_end: 0.02,
  beta_schedule: "linear",
  trained_betas: null,
  prediction_type: "epsilon",
  thresholding: false,
  dynamic_thresholding_ratio: 0.995,
  sample_max_value: 1,
  timestep_spacing: "leading",
  steps_offset: 0,
  rescale_betas_zero_snr: false,
};

/** Every field of each class with its default. */
export const SCHEDULER_DEFAULTS: Readonly<Record<SchedulerSampling["sampler"], Fields>> = {
  ddpm: { ...COMMON, variance_type: "fixed_small", clip_sample: true, clip_sample_range: 1 },
  ddim: { ...COMMON, clip_sample: true, clip_sample_range: 1, set_alpha_to_one: true },
  dpmSolver: {
    ...COMMON,
    timestep_spacing: "linspace",
    solver_order: 2,
    algorithm_type: "dpmsolver++",
    solver_type: "midpoint",
    lower_order_final: true,
    euler_at_final: false,
    use_karras_sigmas: false,
    use_exponential_sigmas: false,
    use_beta_sigmas: false,
    use_lu_lambdas: false,
    use_flow_sigmas: false,
    flow_shift: 1,
    final_sigmas_type: "zero",
    lambda_min_clipped: "-Infinity",
    variance_type: null,
    use_dynamic_shifting: false,
    time_shift_type: "exponential",
  },
};

/** Fields that are read one by one below; any other must have its default, for nothing else is supported. */
const READ = new Set([
  ...Object.keys(COMMON),
  "clip_sample",
  "clip_sample_range",
  "solver_order",
]);

/** Left over in configs of early versions, and of no effect. */
const INERT: Readonly<Record<string, readonly unknown[]>> = {
  timestep_values: [null],
  tensor_format: ["np", "pt"],
};

/**
 * Reads a `scheduler_config.json` of `DDPMScheduler`, `DDIMScheduler` or `DPMSolverMultistepScheduler`.
 * Missing fields get the class's defaults.
 *
 * @throws {ArgumentError} naming the first field that is unknown or whose value this package has nothing for.
 */
export function readSchedulerConfig(json: unknown): SchedulerSettings {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    unexpected("the object of a scheduler_config.json", json);
  }
  const source = json as Fields;
  const sampler = samplerOf(source._class_name);
  const defaults = SCHEDULER_DEFAULTS[sampler];
  for (const [key, value] of Object.entries(source)) {
    if (key.startsWith("_")) continue;
    if (Object.hasOwn(INERT, key)) oneOf(key, value, INERT[key]);
    else if (!Object.hasOwn(defaults, key)) {
      unexpected(`a field of ${SCHEDULERS[sampler]}`, key);
    } else if (sampler === "ddpm" && key === "variance_type") {
      varianceOf(value);
    } else if (!READ.has(key)) oneOf(key, value, [defaults[key]]);
  }
  const fields = { ...defaults, ...source };
  const spacing = oneOf("timestep_spacing", fields.timestep_spacing, SPACINGS);
  // Only this rule looks at it.
  if (spacing === "leading") oneOf("steps_offset", fields.steps_offset, [0]);
  return {
    schedule: scheduleOf(fields),
    prediction: byName("prediction_type", PREDICTION_TYPES, fields.prediction_type),
    sampling: {
      sampler,
      variance: sampler === "ddpm" ? varianceOf(fields.variance_type) : "betaTilde",
      clip: clipOf(fields),
      spacing,
      ...(sampler === "dpmSolver"
        ? { order: oneOf("solver_order", fields.solver_order, [1, 2]) }
        : {}),
    },
  };
}

const SPACINGS = ["leading", "trailing", "linspace"] as const;

function samplerOf(name: unknown): SchedulerSampling["sampler"] {
  return byName("_class_name", SCHEDULERS, name);
}

function scheduleOf(fields: Fields): ScheduleConfig {
  const rescale = boolean("rescale_betas_zero_snr", fields.rescale_betas_zero_snr);
  const rule = ruleOf(fields);
  return rescale ? { ...rule, zeroTerminalSnr: true } : rule;
}

function ruleOf(fields: Fields): BetaSchedule {
  const { trained_betas: betas } = fields;
  if (betas !== null) {
    if (!Array.isArray(betas) || betas.length === 0 || betas.length > MAX_T) {
      unexpected(`a list of 1..${MAX_T} numbers, or null, for trained_betas`, betas);
    }
    // diffusers would take the times from one and the values from the other.
    oneOf("num_train_timesteps", fields.num_train_timesteps, [betas.length]);
    return {
      kind: "betas",
      betas: betas.map((beta) => betaOf("every one of trained_betas", beta)),
    };
  }
  const kind = byName("beta_schedule", BETA_SCHEDULES, fields.beta_schedule);
  const T = checkInteger("num_train_timesteps", fields.num_train_timesteps, 1, MAX_T);
  if (kind === "cosine") return { kind, T };
  return {
    kind,
    T,
    betaStart: betaOf("beta_start", fields.beta_start),
    betaEnd: betaOf("beta_end", fields.beta_end),
  };
}

function betaOf(name: string, value: unknown): number {
  const beta = checkFinite(name, value);
  return beta > 0 && beta <= 1 ? beta : unexpected(`${name} in (0, 1]`, value);
}

/** Thresholding goes before plain clipping, as in diffusers. */
function clipOf(fields: Fields): Clip {
  if (boolean("thresholding", fields.thresholding)) {
    const quantile = checkFinite("dynamic_thresholding_ratio", fields.dynamic_thresholding_ratio);
    if (quantile < 0 || quantile > 1) {
      unexpected("dynamic_thresholding_ratio in [0, 1]", quantile);
    }
    const max = checkFinite("sample_max_value", fields.sample_max_value);
    if (max < 1) unexpected("sample_max_value of at least 1", max);
    return { kind: "dynamic", quantile, max };
  }
  if (fields.clip_sample === undefined || !boolean("clip_sample", fields.clip_sample)) return null;
  const range = checkFinite("clip_sample_range", fields.clip_sample_range);
  return range > 0 ? { kind: "static", range } : unexpected("clip_sample_range above 0", range);
}

function varianceOf(value: unknown): Variance {
  if (value === "fixed_small_log") return "betaTilde";
  return byName("variance_type", VARIANCE_TYPES, value);
}

function boolean(key: string, value: unknown): boolean {
  return typeof value === "boolean" ? value : unexpected(`true or false for ${key}`, value);
}

function oneOf<const T>(key: string, value: unknown, values: readonly T[]): T {
  const index = values.findIndex((known) => known === value);
  if (index < 0) {
    unexpected(`${key} to be ${values.map((known) => JSON.stringify(known)).join(" or ")}`, value);
  }
  return values[index];
}

/** The key of a table whose entry is `value`. */
function byName<K extends string>(
  key: string,
  table: Readonly<Record<K, string | null>>,
  value: unknown,
): K {
  const entries = Object.entries(table) as [K, string | null][];
  const found = entries.find(([, name]) => name !== null && name === value);
  if (found !== undefined) return found[0];
  const names = entries.flatMap(([, name]) => name === null ? [] : [name]);
  return unexpected(`${key} to be ${names.join(" or ")}`, value);
}
