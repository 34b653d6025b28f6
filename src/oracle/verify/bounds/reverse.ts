import type { Tensor } from "../../../math/tensor.ts";
import { splitOutput } from "../../../reference/reverse.ts";
import type { Quantity } from "../../../reference/parameterisation.ts";
import { booleanField, type Fields, numberField, stringField } from "../../fields.ts";
import { clipField, noisePredictionField, reverseFields } from "../../options.ts";
import { tensorField } from "../../tensors.ts";
import { type BoundsOf, given, type Model, perElement, timesOf } from "../model.ts";
import { type Approx, either, exact, type Rounding, scaled } from "../rounding.ts";
import { type ApproxLevel, type ApproxStep, levelOfNumber } from "../tables.ts";
import { stepsOf } from "./forward.ts";
import {
  coefficientsOf,
  converted,
  epsilonMeanOf,
  epsilonOfX0,
  posteriorMeanOf,
  type Reading,
  readOutput,
} from "./reading.ts";

/** Bounds of `convert`. */
export const convertBounds: BoundsOf = {
  formula: "x̂_0 and ε̂ of the value, then the quantity of both",
  bounds: (request, model) => {
    const x = tensorField(request, "xt"), values = given(tensorField(request, "value"));
    const from = stringField(request, "from") as Quantity;
    const to = stringField(request, "to") as Quantity;
    const steps = stepsOf(request, model, x);
    const k = perElement(x, (n) => coefficientsOf(steps[n], model));
    return {
      value: given(x).map((xi, i) => converted(from, to, k[i], model.a, xi, values[i])),
    };
  },
};

/** Moments of p_θ(x_{t−1} | x_t), elementwise. */
export interface Moments {
  /** How the output was read. */
  readonly reading: Reading;
  /** μ_θ. */
  readonly mean: readonly Approx[];
  /** Σ_θ. */
  readonly variance: readonly Approx[];
  /** ln Σ_θ. */
  readonly logVariance: readonly Approx[];
}

/** ln Σ_θ of one element. */
function logVarianceOf(
  variance: "beta" | "betaTilde" | "learned" | "learnedRange",
  step: ApproxStep,
  raw: Approx,
  model: Model,
): Approx {
  const { a } = model;
  const large = model.enter(step.first ? step.logBetaTildeClipped : step.logBeta);
  switch (variance) {
    case "beta":
      return large;
    case "betaTilde":
      return model.enter(step.logBetaTildeClipped);
    case "learned":
      return raw;
    case "learnedRange": {
      const fraction = scaled(a.add(raw, exact(1)), 0.5);
      const top = model.enter(step.logBeta), bottom = model.enter(step.logBetaTildeClipped);
      const rest = a.sub(exact(1), fraction);
      // Or from the lower end by the share of the difference.
      return either(
        a.add(a.mul(fraction, top), a.mul(rest, bottom)),
        a.add(bottom, a.mul(fraction, a.sub(top, bottom))),
      );
    }
  }
}

/** The moments of a request with `xt`, `modelOutput` and the options of a reverse step. */
export function momentsOf(request: Fields, model: Model, x: Tensor): Moments {
  const { a } = model, { prediction, variance, clip } = reverseFields(request);
  const steps = stepsOf(request, model, x);
  const output = splitOutput(tensorField(request, "modelOutput"), x.shape, variance);
  const reading = readOutput(x, output.mean, steps, prediction, clip, model);
  const step = perElement(x, (n) => steps[n]);
  const raw = output.variance === null ? null : given(output.variance);
  const logVariance = step.map((s, i) => logVarianceOf(variance, s, raw?.[i] ?? exact(0), model));
  const mean = given(output.mean).map((value, i) => {
    if (prediction === "previousX") return value;
    const { k, x: xs, x0 } = reading;
    const posterior = posteriorMeanOf(k[i], a, xs[i], x0[i]);
    return prediction === "epsilon" && clip === null
      ? either(posterior, epsilonMeanOf(k[i], a, xs[i], value))
      : posterior;
  });
  return {
    reading,
    mean,
    variance: variance === "betaTilde"
      ? step.map(({ betaTilde }) => model.enter(betaTilde))
      : logVariance.map((l) => a.exp(l)),
    logVariance,
  };
}

/** Bounds of `p_mean_variance`. */
export const pMeanVarianceBounds: BoundsOf = {
  formula: "x̂_0 of the output, clipped; the posterior mean at x̂_0; ln Σ and its exponential",
  bounds: (request, model) => {
    const x = tensorField(request, "xt");
    const { reading, mean, variance, logVariance } = momentsOf(request, model, x);
    return { mean, variance, logVariance, x0: reading.x0 };
  },
};

/** Bounds of `ddpm_step`. */
export const ddpmStepBounds: BoundsOf = {
  formula: "μ_θ + exp(½ ln Σ)·z",
  bounds: (request, model) => {
    const { a } = model, x = tensorField(request, "xt"), z = given(tensorField(request, "z"));
    const { reading, mean, logVariance } = momentsOf(request, model, x);
    const steps = stepsOf(request, model, x);
    const finalNoise = booleanField(request, "finalNoise", false);
    const noisy = perElement(x, (n) => !steps[n].first || finalNoise);
    return {
      x: mean.map((m, i) =>
        noisy[i] ? a.add(m, a.mul(a.exp(scaled(logVariance[i], 0.5)), z[i])) : m
      ),
      x0: reading.x0,
    };
  },
};

/** ε̂ of a DDIM step: re-derived from x̂_0, or as predicted. */
function ddimEpsilon(request: Fields, reading: Reading, a: Rounding): Approx[] {
  const { k, x, x0, epsilon } = reading;
  const rederived = x.map((xi, i) => epsilonOfX0(k[i], a, xi, x0[i]));
  if (!booleanField(request, "rederiveEpsilon", true)) return [...epsilon];
  // Where nothing was clipped both are the same number.
  return clipField(request) === null ? rederived.map((r, i) => either(r, epsilon[i])) : rederived;
}

/** σ and the share of ε̂, as the paper writes them. */
export function ddimCoefficients(
  eta: Approx,
  level: ApproxLevel,
  previous: ApproxLevel,
  c: Rounding,
): { readonly sigma: Approx; readonly direction: Approx } {
  const added = level.alphaBar.v === previous.alphaBar.v
    ? exact(0)
    : c.sub(exact(1), c.div(level.alphaBar, previous.alphaBar));
  const ratio = c.div(previous.oneMinusAlphaBar, level.oneMinusAlphaBar);
  const sigma = eta.v === 0 ? exact(0) : c.mul(eta, c.sqrt(c.mul(ratio, added)));
  return {
    sigma,
    direction: c.sqrt(c.sub(previous.oneMinusAlphaBar, c.mul(sigma, sigma))),
  };
}

/** Bounds of `ddim_step`. */
export const ddimStepBounds: BoundsOf = {
  formula: "√ᾱ_prev·x̂_0 + √(1−ᾱ_prev−σ²)·ε̂ + σ·z, σ = η√((1−ᾱ_prev)/(1−ᾱ))√(1−ᾱ/ᾱ_prev)",
  bounds: (request, model) => {
    const { a, c } = model, x = tensorField(request, "xt"), z = given(tensorField(request, "z"));
    const steps = stepsOf(request, model, x), schedule = model.schedule(request);
    const reading = readOutput(
      x,
      tensorField(request, "modelOutput"),
      steps,
      noisePredictionField(request),
      clipField(request),
      model,
    );
    const eta = c.of(numberField(request, "eta"));
    const final = levelOfNumber(numberField(request, "finalAlphaBar", 1), c);
    const ends = timesOf(request, "tPrev", x).map((t) => t === 0 ? final : schedule.levelAt(t));
    const coefficients = perElement(x, (n) => {
      const { sigma, direction } = ddimCoefficients(eta, steps[n].level, ends[n], c);
      return {
        signal: model.enter(c.sqrt(ends[n].alphaBar)),
        direction: model.enter(direction),
        sigma: model.enter(sigma),
      };
    });
    const epsilon = ddimEpsilon(request, reading, a);
    return {
      x: coefficients.map(({ signal, direction, sigma }, i) =>
        a.add(
          a.add(a.mul(signal, reading.x0[i]), a.mul(direction, epsilon[i])),
          a.mul(sigma, z[i]),
        )
      ),
      x0: reading.x0,
    };
  },
};

/** Bounds of `ddim_encode_step`. */
export const ddimEncodeStepBounds: BoundsOf = {
  formula: "√ᾱ_next·x̂_0 + √(1−ᾱ_next)·ε̂",
  bounds: (request, model) => {
    const { a, c } = model, x = tensorField(request, "xt");
    const steps = stepsOf(request, model, x), schedule = model.schedule(request);
    const reading = readOutput(
      x,
      tensorField(request, "modelOutput"),
      steps,
      noisePredictionField(request),
      clipField(request),
      model,
    );
    const ends = timesOf(request, "tNext", x).map((t) => schedule.levelAt(t));
    const coefficients = perElement(x, (n) => ({
      signal: model.enter(c.sqrt(ends[n].alphaBar)),
      noise: model.enter(c.sqrt(ends[n].oneMinusAlphaBar)),
    }));
    const epsilon = ddimEpsilon(request, reading, a);
    return {
      x: coefficients.map(({ signal, noise }, i) =>
        a.add(a.mul(signal, reading.x0[i]), a.mul(noise, epsilon[i]))
      ),
    };
  },
};
