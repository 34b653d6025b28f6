import {
  type Loss,
  lossSimple,
  lossWeighted,
  vlbWeight,
  type Weighting,
} from "../../reference/loss.ts";
import { choiceField, type Fields, numberField, numberOrNumbersField } from "../fields.ts";
import { scheduleField, tField, weightVarianceField } from "../options.ts";
import type { Result } from "../result.ts";
import { tensorField, tensorFieldLike } from "../tensors.ts";

function lossResult({ mean, sum, gradient }: Loss): Result {
  return { mean, sum, gradient };
}

/** L_simple. */
export function lossSimpleOp(request: Fields): Result {
  const epsilon = tensorField(request, "epsilon");
  return lossResult(lossSimple(epsilon, tensorFieldLike(request, "epsilonHat", epsilon.shape)));
}

/** w(t) of the bound. */
export function lossWeightOp(request: Fields): Result {
  const schedule = scheduleField(request);
  const variance = weightVarianceField(request);
  const t = numberOrNumbersField(request, "t");
  const w = (time: number) => vlbWeight(schedule, time, variance);
  return { w: typeof t === "number" ? w(t) : t.map(w) };
}

function weightingField(request: Fields): Weighting {
  const kind = choiceField(request, "weighting", ["none", "vlb", "minSnr", "p2"]);
  switch (kind) {
    case "none":
      return { kind };
    case "vlb":
      return { kind, variance: weightVarianceField(request) };
    case "minSnr":
      return { kind, gamma: numberField(request, "gamma", 5) };
    case "p2":
      return { kind, k: numberField(request, "p2K", 1), gamma: numberField(request, "p2Gamma", 1) };
  }
}

/** The squared error on ε with a weight per time. */
export function lossWeightedOp(request: Fields): Result {
  const schedule = scheduleField(request);
  const epsilon = tensorField(request, "epsilon");
  const epsilonHat = tensorFieldLike(request, "epsilonHat", epsilon.shape);
  const t = tField(request, schedule, epsilon);
  return lossResult(lossWeighted(schedule, t, epsilon, epsilonHat, weightingField(request)));
}
