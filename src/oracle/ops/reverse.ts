import type { Tensor } from "../../math/tensor.ts";
import { ddimEncodeStep, ddimStep } from "../../reference/ddim.ts";
import { ddpmStep } from "../../reference/ddpm.ts";
import {
  dpmSolverStep,
  type PastPrediction,
  type SolverOrder,
} from "../../reference/dpm_solver.ts";
import { guide } from "../../reference/guidance.ts";
import { convert, type Quantity } from "../../reference/parameterisation.ts";
import { pMeanVariance } from "../../reference/reverse.ts";
import type { Schedule } from "../../reference/schedule.ts";
import {
  booleanField,
  choiceField,
  type Fields,
  integerField,
  numberField,
  objectsField,
} from "../fields.ts";
import {
  clipField,
  noisePredictionField,
  reverseFields,
  scheduleField,
  tField,
  timesField,
} from "../options.ts";
import type { Result } from "../result.ts";
import { tensorField, tensorFieldLike } from "../tensors.ts";

const QUANTITIES: readonly Quantity[] = ["epsilon", "x0", "v", "score", "previousX"];

/** One quantity as another at the same x_t. */
export function convertOp(request: Fields): Result {
  const schedule = scheduleField(request);
  const xt = tensorField(request, "xt");
  const from = choiceField(request, "from", QUANTITIES);
  const to = choiceField(request, "to", QUANTITIES);
  const value = tensorFieldLike(request, "value", xt.shape);
  return { value: convert(schedule, tField(request, schedule, xt), xt, from, to, value) };
}

/** Moments of p_θ(x_{t−1} | x_t) and x̂_0. */
export function pMeanVarianceOp(request: Fields): Result {
  const schedule = scheduleField(request);
  const xt = tensorField(request, "xt"), output = tensorField(request, "modelOutput");
  const t = tField(request, schedule, xt);
  const p = pMeanVariance(schedule, t, xt, output, reverseFields(request));
  return { mean: p.mean, variance: p.variance, logVariance: p.logVariance, x0: p.x0 };
}

/** One step of ancestral sampling. */
export function ddpmStepOp(request: Fields): Result {
  const schedule = scheduleField(request);
  const xt = tensorField(request, "xt"), output = tensorField(request, "modelOutput");
  const t = tField(request, schedule, xt);
  const z = tensorFieldLike(request, "z", xt.shape);
  const finalNoise = booleanField(request, "finalNoise", false);
  const step = ddpmStep(schedule, t, xt, output, z, { ...reverseFields(request), finalNoise });
  return { x: step.x, x0: step.x0 };
}

/** One step of DDIM. */
export function ddimStepOp(request: Fields): Result {
  const schedule = scheduleField(request);
  const xt = tensorField(request, "xt"), output = tensorField(request, "modelOutput");
  const t = tField(request, schedule, xt);
  const tPrev = timesField(request, "tPrev", xt.shape, 0, schedule.T - 1);
  const z = tensorFieldLike(request, "z", xt.shape);
  const step = ddimStep(schedule, t, tPrev, xt, output, z, {
    prediction: noisePredictionField(request),
    clip: clipField(request),
    eta: numberField(request, "eta"),
    rederiveEpsilon: booleanField(request, "rederiveEpsilon", true),
    finalAlphaBar: numberField(request, "finalAlphaBar", 1),
  });
  return { x: step.x, x0: step.x0 };
}

/** One step of DDIM's inverse. */
export function ddimEncodeStepOp(request: Fields): Result {
  const schedule = scheduleField(request);
  const xt = tensorField(request, "xt"), output = tensorField(request, "modelOutput");
  const t = tField(request, schedule, xt);
  const tNext = timesField(request, "tNext", xt.shape, 2, schedule.T + 1);
  const x = ddimEncodeStep(schedule, t, tNext, xt, output, {
    prediction: noisePredictionField(request),
    clip: clipField(request),
    rederiveEpsilon: booleanField(request, "rederiveEpsilon", true),
  });
  return { x };
}

/** The predictions of earlier steps. */
function historyField(request: Fields, schedule: Schedule, xt: Tensor): PastPrediction[] {
  return objectsField(request, "history").map((past) => ({
    t: tField(past, schedule, xt),
    x0: tensorFieldLike(past, "x0", xt.shape),
  }));
}

/** One step of DPM-Solver++. */
export function dpmSolverStepOp(request: Fields): Result {
  const schedule = scheduleField(request);
  const xt = tensorField(request, "xt"), output = tensorField(request, "modelOutput");
  const t = tField(request, schedule, xt);
  const tPrev = timesField(request, "tPrev", xt.shape, 0, schedule.T - 1);
  const history = historyField(request, schedule, xt);
  const step = dpmSolverStep(schedule, t, tPrev, xt, output, history, {
    order: integerField(request, "order", 1, 3) as SolverOrder,
    prediction: noisePredictionField(request),
    clip: clipField(request),
  });
  return { x: step.x, x0: step.x0 };
}

/** Classifier-free guidance. */
export function guideOp(request: Fields): Result {
  const conditional = tensorField(request, "conditional");
  const unconditional = tensorFieldLike(request, "unconditional", conditional.shape);
  const scale = numberField(request, "scale"), rescale = numberField(request, "rescale");
  return { value: guide(conditional, unconditional, { scale, rescale }) };
}
