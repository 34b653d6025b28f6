/**
 * The parts that many operations share: the schedule, times, and how a network's output is read.
 *
 * @module
 */
import { ArgumentError, checkInteger, show } from "../math/errors.ts";
import { type Shape, type Tensor } from "../math/tensor.ts";
import type { Clip } from "../reference/clip.ts";
import type { Cdf } from "../reference/decoder.ts";
import type { WeightVariance } from "../reference/loss.ts";
import type { Prediction } from "../reference/parameterisation.ts";
import type { CheckedReverseOptions } from "../reference/reverse.ts";
import type { Schedule } from "../reference/schedule.ts";
import { samplesOf, type Times } from "../reference/step.ts";
import type { BetaSchedule } from "../spec/schedule_config.ts";
import {
  booleanField,
  choiceField,
  type Fields,
  nameOf,
  numberField,
  numberOrNumbersField,
  numbersField,
  objectField,
  optionalObjectField,
  unexpectedField,
  valueOf,
} from "./fields.ts";

const KINDS = [
  "linear",
  "quadratic",
  "sigmoid",
  "cosine",
  "constant",
  "inverse",
  "sigmoidAlphaBar",
  "betas",
] as const;

/** The tables of the request's `schedule`. */
export function scheduleField(request: Fields): Schedule {
  const fields = objectField(request, "schedule");
  const rule = readRule(fields);
  const zeroTerminalSnr = booleanField(fields, "zeroTerminalSnr", false);
  const keep = valueOf(fields, "keep") === undefined ? undefined : numbersField(fields, "keep");
  return request.context.schedules.get({ ...rule, zeroTerminalSnr, keep });
}

function readRule(fields: Fields): BetaSchedule {
  const kind = choiceField(fields, "kind", KINDS);
  const number = (name: string, fallback?: number) => numberField(fields, name, fallback);
  if (kind === "betas") return { kind, betas: numbersField(fields, "betas") };
  const T = number("T");
  switch (kind) {
    case "linear":
    case "quadratic":
    case "sigmoid":
      return { kind, T, betaStart: number("betaStart"), betaEnd: number("betaEnd") };
    case "cosine":
      return { kind, T, s: number("s", 0.008), maxBeta: number("maxBeta", 0.999) };
    case "constant":
      return { kind, T, beta: number("beta") };
    case "inverse":
      return { kind, T };
    case "sigmoidAlphaBar":
      return {
        kind,
        T,
        start: number("start"),
        end: number("end"),
        tau: number("tau"),
        maxBeta: number("maxBeta"),
      };
  }
}

/** Times in `min`..`max`: one for the batch, or one per sample of a tensor of `shape`. */
export function timesField(
  fields: Fields,
  name: string,
  shape: Shape,
  min: number,
  max: number,
): Times {
  const times = numberOrNumbersField(fields, name);
  const what = nameOf(fields, name);
  if (typeof times === "number") return checkInteger(what, times, min, max);
  const N = samplesOf(shape);
  if (times.length !== N) {
    throw new ArgumentError(
      `Expected one ${what}, or one per sample (${N}), but got ${show(times)}`,
    );
  }
  return times.map((t) => checkInteger(what, t, min, max));
}

/** The `t` of a request: times in 1..T, which the equations hold against the kept ones. */
export function tField(request: Fields, schedule: Schedule, x: Tensor): Times {
  return timesField(request, "t", x.shape, 1, schedule.T);
}

const PREDICTIONS = ["epsilon", "x0", "v", "previousX"] as const;
const VARIANCES = ["beta", "betaTilde", "learned", "learnedRange"] as const;

const WEIGHT_VARIANCES = ["beta", "betaTilde"] as const;

/** `prediction`. */
export function predictionField(request: Fields): Prediction {
  return choiceField(request, "prediction", PREDICTIONS);
}

/** `prediction`, where there has to be an ε. */
export function noisePredictionField(request: Fields): Exclude<Prediction, "previousX"> {
  return choiceField(request, "prediction", ["epsilon", "x0", "v"]);
}

/** `clip`; absent is null. */
export function clipField(request: Fields): Clip {
  const fields = optionalObjectField(request, "clip");
  if (fields === null) return null;
  const kind = choiceField(fields, "kind", ["static", "dynamic"]);
  if (kind === "static") return { kind, range: numberField(fields, "range", 1) };
  const quantile = numberField(fields, "quantile", 0.995);
  return { kind, quantile, max: numberField(fields, "max", 1) };
}

/** `prediction`, `variance` and `clip`. */
export function reverseFields(request: Fields): CheckedReverseOptions {
  return {
    prediction: predictionField(request),
    variance: choiceField(request, "variance", VARIANCES),
    clip: clipField(request),
  };
}

/** `cdf`. */
export function cdfField(request: Fields): Cdf {
  return choiceField(request, "cdf", ["erf", "tanh"]);
}

/** σ² of a loss weight: `variance` or `sigma2`, one of them. */
export function weightVarianceField(request: Fields): WeightVariance {
  const named = valueOf(request, "variance"), sigma2 = valueOf(request, "sigma2");
  if (named !== undefined && sigma2 !== undefined) {
    throw new ArgumentError("Expected either variance or sigma2 but got both");
  }
  if (named !== undefined) return choiceField(request, "variance", WEIGHT_VARIANCES);
  if (sigma2 !== undefined) return { sigma2: numberField(request, "sigma2") };
  return unexpectedField("beta or betaTilde for variance, or a number for sigma2", undefined);
}
