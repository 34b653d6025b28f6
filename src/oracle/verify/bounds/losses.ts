import type { Tensor } from "../../../math/tensor.ts";
import type { WeightVariance } from "../../../reference/loss.ts";
import { type Fields, numberField, numberOrNumbersField, stringField } from "../../fields.ts";
import { weightVarianceField } from "../../options.ts";
import { tensorField } from "../../tensors.ts";
import { type Bounds, type BoundsOf, given, type Model, perElement } from "../model.ts";
import { type Approx, clampBetween, either, exact, type Rounding, scaled } from "../rounding.ts";
import type { ApproxStep } from "../tables.ts";
import { stepsOf } from "./forward.ts";

/** Σ w·(ε̂ − ε)², its mean over elements and that mean's gradient. */
function squares(
  epsilon: Tensor,
  epsilonHat: Tensor,
  weight: readonly Approx[],
  model: Model,
): Bounds {
  const { a } = model, target = given(epsilon), size = exact(target.length);
  const errors = given(epsilonHat).map((e, i) => a.sub(e, target[i]));
  const sum = a.sum(errors.map((e, i) => a.mul(weight[i], a.mul(e, e))));
  return {
    mean: [a.div(sum, size)],
    sum: [sum],
    gradient: errors.map((e, i) => a.div(a.mul(weight[i], scaled(e, 2)), size)),
  };
}

/** Bounds of `loss_simple`. */
export const lossSimpleBounds: BoundsOf = {
  formula: "Σ(ε̂−ε)² in any order, its mean, 2(ε̂−ε)/size",
  bounds: (request, model) => {
    const epsilon = tensorField(request, "epsilon");
    const weight = given(epsilon).map(() => exact(1));
    return squares(epsilon, tensorField(request, "epsilonHat"), weight, model);
  },
};

/** β²/(2σ²α(1−ᾱ)). */
function vlbWeight(step: ApproxStep, variance: WeightVariance, c: Rounding): Approx {
  const sigma2 = variance === "beta"
    ? step.beta
    : variance === "betaTilde"
    ? step.betaTilde
    : c.of(variance.sigma2);
  const bottom = c.mul(c.mul(sigma2, step.alpha), step.level.oneMinusAlphaBar);
  return c.div(c.mul(step.beta, step.beta), scaled(bottom, 2));
}

/** Bounds of `loss_weight`. */
export const lossWeightBounds: BoundsOf = {
  formula: "β²/(2σ²·α(1−ᾱ))",
  bounds: (request, model) => {
    const t = numberOrNumbersField(request, "t"), schedule = model.schedule(request);
    const variance = weightVarianceField(request);
    const times = typeof t === "number" ? [t] : t;
    return {
      w: times.map((time) => model.enter(vlbWeight(schedule.stepAt(time), variance, model.c))),
    };
  },
};

function weightOf(request: Fields, step: ApproxStep, c: Rounding): Approx {
  const { snr } = step;
  switch (stringField(request, "weighting")) {
    case "vlb":
      return vlbWeight(step, weightVarianceField(request), c);
    case "minSnr":
      return c.div(clampBetween(snr, exact(0), c.of(numberField(request, "gamma", 5))), snr);
    case "p2": {
      const gamma = numberField(request, "p2Gamma", 1);
      const base = c.add(c.of(numberField(request, "p2K", 1)), snr);
      const v = base.v ** -gamma;
      return c.round({ v, e: v * Math.expm1(gamma * base.e / (base.v - base.e)) }, 16);
    }
    default:
      return exact(1);
  }
}

/** Bounds of `loss_weighted`. */
export const lossWeightedBounds: BoundsOf = {
  formula: "Σ w(t)(ε̂−ε)² in any order, its mean, 2w(t)(ε̂−ε)/size",
  bounds: (request, model) => {
    const epsilon = tensorField(request, "epsilon");
    const steps = stepsOf(request, model, epsilon);
    const weight = perElement(epsilon, (n) => model.enter(weightOf(request, steps[n], model.c)));
    return squares(epsilon, tensorField(request, "epsilonHat"), weight, model);
  },
};

/** u + s(c−u) of one element, in either order. */
function guided(conditional: Approx, unconditional: Approx, s: Approx, a: Rounding): Approx {
  return either(
    a.add(unconditional, a.mul(s, a.sub(conditional, unconditional))),
    a.sub(a.mul(s, conditional), a.mul(a.sub(s, exact(1)), unconditional)),
  );
}

/** The unbiased standard deviation of a sample. */
function deviation(values: readonly Approx[], a: Rounding): Approx {
  const n = exact(values.length), mean = a.div(a.sum(values), n);
  const squares = values.map((v) => {
    const d = a.sub(v, mean);
    return a.mul(d, d);
  });
  return a.sqrt(a.div(a.sum(squares), exact(values.length - 1)));
}

/** Bounds of `guide`. */
export const guideBounds: BoundsOf = {
  formula: "u + s(c−u); φ·std(c)/std(value)·value + (1−φ)·value",
  bounds: (request, model) => {
    const { a } = model, c = tensorField(request, "conditional");
    const conditional = given(c), unconditional = given(tensorField(request, "unconditional"));
    const s = model.number(numberField(request, "scale"));
    const value = conditional.map((ci, i) => guided(ci, unconditional[i], s, a));
    const phi = numberField(request, "rescale", 0);
    if (phi === 0) return { value };
    const D = value.length / c.shape[0], mix = model.number(phi);
    const factors = Array.from({ length: c.shape[0] }, (_, n) => {
      const sample = (x: readonly Approx[]) => x.slice(n * D, (n + 1) * D);
      const ratio = a.div(deviation(sample(conditional), a), deviation(sample(value), a));
      return a.add(a.mul(mix, ratio), a.sub(exact(1), mix));
    });
    return {
      value: value.map((v, i) => {
        const product = a.mul(factors[Math.floor(i / D)], v);
        // Two products and a sum instead of one factor.
        return a.round(product, 3);
      }),
    };
  },
};
