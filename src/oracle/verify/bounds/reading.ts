/**
 * How a network's output is read: x̂_0 and ε̂ of one element on every road that a sensible
 * implementation takes, each with its rounding errors.
 *
 * @module
 */
import type { Tensor } from "../../../math/tensor.ts";
import type { Clip } from "../../../reference/clip.ts";
import type { Quantity } from "../../../reference/parameterisation.ts";
import { forEachSample } from "../../../reference/step.ts";
import { given, type Model, perElement } from "../model.ts";
import {
  type Approx,
  clampBetween,
  either,
  exact,
  magnitude,
  negative,
  type Rounding,
} from "../rounding.ts";
import type { ApproxStep } from "../tables.ts";

/** A step's coefficients as they meet tensors. */
export interface Coefficients {
  /** √ᾱ. */
  readonly signal: Approx;
  /** √(1−ᾱ). */
  readonly noise: Approx;
  /** 1 − ᾱ. */
  readonly noiseShare: Approx;
  /** 1/√ᾱ. */
  readonly inverseSignal: Approx;
  /** √(1/ᾱ − 1). */
  readonly inverseNoise: Approx;
  /** Coefficients of the posterior mean. */
  readonly coefX0: Approx;
  /** The one of x_t. */
  readonly coefXt: Approx;
  /** 1/√α. */
  readonly inverseAlpha: Approx;
  /** β/√(1−ᾱ). */
  readonly epsilonShare: Approx;
}

/** The coefficients of one step. */
export function coefficientsOf(step: ApproxStep, model: Model): Coefficients {
  const { c } = model, { alphaBar, oneMinusAlphaBar } = step.level;
  const inverse = c.div(exact(1), alphaBar);
  return {
    signal: model.enter(c.sqrt(alphaBar)),
    noise: model.enter(c.sqrt(oneMinusAlphaBar)),
    noiseShare: model.enter(oneMinusAlphaBar),
    inverseSignal: model.enter(c.sqrt(inverse)),
    inverseNoise: model.enter(c.sqrt(c.sub(inverse, exact(1)))),
    coefX0: model.enter(step.coefX0),
    coefXt: model.enter(step.coefXt),
    inverseAlpha: model.enter(c.sqrt(c.div(exact(1), step.alpha))),
    epsilonShare: model.enter(c.div(step.beta, c.sqrt(oneMinusAlphaBar))),
  };
}

/** x̂_0 by the formula of its quantity. */
function directX0(q: Quantity, k: Coefficients, a: Rounding, x: Approx, value: Approx): Approx {
  switch (q) {
    case "epsilon":
      return either(
        a.div(a.sub(x, a.mul(k.noise, value)), k.signal),
        a.sub(a.mul(k.inverseSignal, x), a.mul(k.inverseNoise, value)),
      );
    case "x0":
      return value;
    case "v":
      return a.sub(a.mul(k.signal, x), a.mul(k.noise, value));
    case "score":
      return a.div(a.add(x, a.mul(k.noiseShare, value)), k.signal);
    case "previousX":
      return a.div(a.sub(value, a.mul(k.coefXt, x)), k.coefX0);
  }
}

/** ε̂ of x̂_0. */
export function epsilonOfX0(k: Coefficients, a: Rounding, x: Approx, x0: Approx): Approx {
  return either(
    a.div(a.sub(x, a.mul(k.signal, x0)), k.noise),
    a.div(a.sub(a.mul(k.inverseSignal, x), x0), k.inverseNoise),
  );
}

/** x̂_0 of ε̂. */
function x0OfEpsilon(k: Coefficients, a: Rounding, x: Approx, epsilon: Approx): Approx {
  return directX0("epsilon", k, a, x, epsilon);
}

/** ε̂ by the formula of its quantity. */
function directEpsilon(
  q: Quantity,
  k: Coefficients,
  a: Rounding,
  x: Approx,
  value: Approx,
): Approx {
  switch (q) {
    case "epsilon":
      return value;
    case "v":
      return a.add(a.mul(k.signal, value), a.mul(k.noise, x));
    case "score":
      return negative(a.mul(k.noise, value));
    default:
      return epsilonOfX0(k, a, x, directX0(q, k, a, x, value));
  }
}

/** x̂_0 of any quantity, directly or by way of ε̂. */
export function x0Of(q: Quantity, k: Coefficients, a: Rounding, x: Approx, value: Approx): Approx {
  const direct = directX0(q, k, a, x, value);
  return q === "v" || q === "score"
    ? either(direct, x0OfEpsilon(k, a, x, directEpsilon(q, k, a, x, value)))
    : direct;
}

/** ε̂ of any quantity, directly or by way of x̂_0. */
export function epsilonOf(
  q: Quantity,
  k: Coefficients,
  a: Rounding,
  x: Approx,
  value: Approx,
): Approx {
  return either(
    directEpsilon(q, k, a, x, value),
    epsilonOfX0(k, a, x, directX0(q, k, a, x, value)),
  );
}

/** The posterior mean at x̂_0. */
export function posteriorMeanOf(k: Coefficients, a: Rounding, x: Approx, x0: Approx): Approx {
  return a.add(a.mul(k.coefX0, x0), a.mul(k.coefXt, x));
}

/** The mean in closed form, (x − β/√(1−ᾱ)·ε̂)/√α. */
export function epsilonMeanOf(
  k: Coefficients,
  a: Rounding,
  x: Approx,
  epsilon: Approx,
): Approx {
  return a.mul(k.inverseAlpha, a.sub(x, a.mul(k.epsilonShare, epsilon)));
}

/** One quantity as another. */
export function converted(
  from: Quantity,
  to: Quantity,
  k: Coefficients,
  a: Rounding,
  x: Approx,
  value: Approx,
): Approx {
  const x0 = x0Of(from, k, a, x, value), epsilon = epsilonOf(from, k, a, x, value);
  switch (to) {
    case "x0":
      return x0;
    case "epsilon":
      return epsilon;
    case "v":
      return a.sub(a.mul(k.signal, epsilon), a.mul(k.noise, x0));
    case "score":
      return negative(a.div(epsilon, k.noise));
    case "previousX":
      return from === "epsilon"
        ? either(posteriorMeanOf(k, a, x, x0), epsilonMeanOf(k, a, x, value))
        : posteriorMeanOf(k, a, x, x0);
  }
}

/** The q-quantile of one sample's |x̂_0|: order statistics move no more than the values. */
function quantileOf(values: readonly Approx[], q: number, a: Rounding): Approx {
  const sorted = values.map(({ v }) => v).toSorted((x, y) => x - y);
  const position = q * (sorted.length - 1), below = Math.floor(position);
  const at = (k: number) => sorted[Math.min(Math.max(k, 0), sorted.length - 1)];
  const v = at(below) + (position - below) * (at(below + 1) - at(below));
  // The position is rounded too, and moves along the widest gap beside it.
  const gap = Math.max(at(below + 1) - at(below), at(below + 2) - at(below + 1));
  const gapBelow = at(below) - at(below - 1);
  const moved = 4 * a.u * (position + 1) * Math.max(gap, gapBelow);
  return a.round({ v, e: Math.max(...values.map(({ e }) => e)) + moved }, 6);
}

function clipSample(x0: readonly Approx[], clip: Clip, model: Model): readonly Approx[] {
  if (clip === null) return x0;
  const { a } = model;
  if (clip.kind === "static") {
    const range = model.number(clip.range);
    return x0.map((x) => clampBetween(x, negative(range), range));
  }
  const quantile = quantileOf(x0.map(magnitude), clip.quantile, a);
  const s = clampBetween(quantile, exact(1), model.number(clip.max));
  return x0.map((x) => a.div(clampBetween(x, negative(s), s), s));
}

/** A tensor of approximations clipped sample by sample. */
export function clipped(x: Tensor, x0: readonly Approx[], clip: Clip, model: Model): Approx[] {
  const out: Approx[] = [];
  forEachSample(x.shape, (_, start, end) => {
    out.push(...clipSample(x0.slice(start, end), clip, model));
  });
  return out;
}

/** What a network's output says of every element. */
export interface Reading {
  /** The coefficients of each element's step. */
  readonly k: readonly Coefficients[];
  /** x_t. */
  readonly x: readonly Approx[];
  /** x̂_0, clipped. */
  readonly x0: readonly Approx[];
  /** ε̂ as predicted. */
  readonly epsilon: readonly Approx[];
}

/** Reads an output. */
export function readOutput(
  x: Tensor,
  output: Tensor,
  steps: readonly ApproxStep[],
  prediction: Quantity,
  clip: Clip,
  model: Model,
): Reading {
  const { a } = model, xs = given(x), values = given(output);
  const k = perElement(x, (n) => coefficientsOf(steps[n], model));
  const raw = xs.map((xi, i) => x0Of(prediction, k[i], a, xi, values[i]));
  return {
    k,
    x: xs,
    x0: clipped(x, raw, clip, model),
    epsilon: xs.map((xi, i) => epsilonOf(prediction, k[i], a, xi, values[i])),
  };
}
