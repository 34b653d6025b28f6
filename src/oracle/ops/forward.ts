import { qMeanVariance, qSample, qStep } from "../../reference/forward.ts";
import { qPosterior } from "../../reference/posterior.ts";
import type { Fields } from "../fields.ts";
import { scheduleField, tField } from "../options.ts";
import type { Result } from "../result.ts";
import { tensorField } from "../tensors.ts";

/** x_t from x_{t−1}. */
export function qStepOp(request: Fields): Result {
  const schedule = scheduleField(request);
  const xPrev = tensorField(request, "xPrev"), noise = tensorField(request, "noise");
  return { x: qStep(schedule, tField(request, schedule, xPrev), xPrev, noise) };
}

/** x_t from x_0. */
export function qSampleOp(request: Fields): Result {
  const schedule = scheduleField(request);
  const x0 = tensorField(request, "x0"), noise = tensorField(request, "noise");
  return { x: qSample(schedule, tField(request, schedule, x0), x0, noise) };
}

/** Moments of q(x_t | x_0). */
export function qMeanVarianceOp(request: Fields): Result {
  const schedule = scheduleField(request);
  const x0 = tensorField(request, "x0");
  const q = qMeanVariance(schedule, tField(request, schedule, x0), x0);
  return { mean: q.mean, variance: q.variance, logVariance: q.logVariance };
}

/** Moments of q(x_{t−1} | x_t, x_0). */
export function qPosteriorOp(request: Fields): Result {
  const schedule = scheduleField(request);
  const x0 = tensorField(request, "x0"), xt = tensorField(request, "xt");
  const q = qPosterior(schedule, tField(request, schedule, x0), x0, xt);
  return { mean: q.mean, variance: q.variance, logVarianceClipped: q.logVarianceClipped };
}
