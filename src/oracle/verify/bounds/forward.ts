import type { Tensor } from "../../../math/tensor.ts";
import type { Fields } from "../../fields.ts";
import { tensorField } from "../../tensors.ts";
import { type BoundsOf, given, type Model, perElement, timesOf } from "../model.ts";
import type { Approx } from "../rounding.ts";
import type { ApproxStep } from "../tables.ts";

/** The step of each sample of x. */
export function stepsOf(request: Fields, model: Model, x: Tensor): ApproxStep[] {
  const schedule = model.schedule(request);
  return timesOf(request, "t", x).map((t) => schedule.stepAt(t));
}

/** a·x + b·y for every element, with the coefficients of its sample. */
function combination(
  model: Model,
  x: Tensor,
  y: Tensor,
  coefficients: (n: number) => readonly [Approx, Approx],
): Approx[] {
  const { a } = model, ys = given(y);
  const each = perElement(x, (n) => coefficients(n).map((c) => model.enter(c)));
  return given(x).map((xi, i) => a.add(a.mul(each[i][0], xi), a.mul(each[i][1], ys[i])));
}

/** Bounds of `q_step`. */
export const qStepBounds: BoundsOf = {
  formula: "√α·x_prev + √β·noise",
  bounds: (request, model) => {
    const x = tensorField(request, "xPrev"), steps = stepsOf(request, model, x);
    const { c } = model;
    return {
      x: combination(
        model,
        x,
        tensorField(request, "noise"),
        (n) => [c.sqrt(steps[n].alpha), c.sqrt(steps[n].beta)],
      ),
    };
  },
};

/** Bounds of `q_sample`. */
export const qSampleBounds: BoundsOf = {
  formula: "√ᾱ·x_0 + √(1−ᾱ)·noise",
  bounds: (request, model) => {
    const x = tensorField(request, "x0"), steps = stepsOf(request, model, x);
    const { c } = model;
    return {
      x: combination(
        model,
        x,
        tensorField(request, "noise"),
        (n) => [c.sqrt(steps[n].level.alphaBar), c.sqrt(steps[n].level.oneMinusAlphaBar)],
      ),
    };
  },
};

/** Bounds of `q_mean_variance`. */
export const qMeanVarianceBounds: BoundsOf = {
  formula: "mean √ᾱ·x_0, variance 1−ᾱ, its logarithm",
  bounds: (request, model) => {
    const x = tensorField(request, "x0"), steps = stepsOf(request, model, x);
    const { a, c } = model;
    const signal = perElement(x, (n) => model.enter(c.sqrt(steps[n].level.alphaBar)));
    const noise = steps.map(({ level }) => level.oneMinusAlphaBar);
    return {
      mean: given(x).map((xi, i) => a.mul(signal[i], xi)),
      variance: noise.map((v) => model.enter(v)),
      logVariance: noise.map((v) => model.enter(c.log(v))),
    };
  },
};

/** Bounds of `q_posterior`. */
export const qPosteriorBounds: BoundsOf = {
  formula: "√ᾱ_prev·β/(1−ᾱ)·x_0 + √α(1−ᾱ_prev)/(1−ᾱ)·x_t; β̃ = (1−ᾱ_prev)/(1−ᾱ)·β",
  bounds: (request, model) => {
    const x = tensorField(request, "x0"), steps = stepsOf(request, model, x);
    return {
      mean: combination(
        model,
        x,
        tensorField(request, "xt"),
        (n) => [steps[n].coefX0, steps[n].coefXt],
      ),
      variance: steps.map(({ betaTilde }) => model.enter(betaTilde)),
      logVarianceClipped: steps.map((step) => model.enter(step.logBetaTildeClipped)),
    };
  },
};
