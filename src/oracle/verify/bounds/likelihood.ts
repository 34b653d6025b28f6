import { normalCdf, normalCdfTanh } from "../../../math/special.ts";
import { EDGE, FLOOR, HALF_BIN, normalDensity } from "../../../reference/decoder.ts";
import type { Cdf } from "../../../reference/decoder.ts";
import { forEachSample } from "../../../reference/step.ts";
import type { Tensor } from "../../../math/tensor.ts";
import { cdfField } from "../../options.ts";
import { tensorField } from "../../tensors.ts";
import { type BoundsOf, given, type Model, perElement } from "../model.ts";
import { type Approx, exact, negative, type Rounding, scaled } from "../rounding.ts";
import { stepsOf } from "./forward.ts";
import { coefficientsOf, posteriorMeanOf } from "./reading.ts";
import { momentsOf } from "./reverse.ts";

/** KL of two Gaussians as it is written: terms that may cancel. */
function normalKlOf(
  mean1: Approx,
  logVariance1: Approx,
  mean2: Approx,
  logVariance2: Approx,
  a: Rounding,
): Approx {
  const ratio = a.sub(logVariance1, logVariance2), difference = a.sub(mean1, mean2);
  const square = a.mul(a.mul(difference, difference), a.exp(negative(logVariance2)));
  return scaled(a.sum([negative(ratio), a.exp(ratio), exact(-1), square]), 0.5);
}

/** Bounds of `normal_kl`. */
export const normalKlBounds: BoundsOf = {
  formula: "½(ln σ₂² − ln σ₁² + exp(ln σ₁² − ln σ₂²) − 1 + (μ₁−μ₂)²·exp(−ln σ₂²))",
  bounds: (request, model) => {
    const [mean1, log1, mean2, log2] = ["mean1", "logVariance1", "mean2", "logVariance2"]
      .map((name) => given(tensorField(request, name)));
    return {
      kl: mean1.map((m, i) => normalKlOf(m, log1[i], mean2[i], log2[i], model.a)),
    };
  },
};

/** Published approximations of erf are good to 1.5e−7, some 2.5 u of float32. */
const CDF_ERRORS = 16;
/** Beyond this many σ both edges have one Φ in every number format, and only the floor is left. */
const SATURATED = 9;

/** −ln of a bin's probability: Φ at its edges each off by its argument and by itself. */
function decoderNllOf(
  x0: Approx,
  mean: Approx,
  logScale: Approx,
  cdf: Cdf,
  a: Rounding,
): Approx {
  const phi = cdf === "erf" ? normalCdf : normalCdfTanh;
  const centered = a.sub(x0, mean), inverse = a.exp(negative(logScale));
  const half = a.of(HALF_BIN);
  const upper = a.mul(inverse, a.add(centered, half));
  const lower = a.mul(inverse, a.sub(centered, half));
  const top = x0.v > EDGE, bottom = x0.v < -EDGE;
  const probability = (top ? 1 : phi(upper.v)) - (bottom ? 0 : phi(lower.v));
  const outside = (bottom || lower.v + lower.e < -SATURATED) &&
    upper.v + upper.e < -SATURATED;
  const beyond = lower.v - lower.e > SATURATED && (top || upper.v - upper.e > SATURATED);
  const floor = { v: -Math.log(FLOOR), e: 4 * a.u * -Math.log(FLOOR) };
  if (outside || (beyond && (top || !bottom))) return floor;
  // The slope of Φ is largest where the interval comes nearest to 0.
  const edge = (z: Approx) =>
    z.e * normalDensity(Math.max(Math.abs(z.v) - z.e, 0)) * 1.1 + CDF_ERRORS * a.u;
  const error = (top ? 0 : edge(upper)) + (bottom ? 0 : edge(lower));
  const nll = (p: number) => -Math.log(Math.max(p, FLOOR));
  const v = nll(probability);
  return a.round({
    v,
    e: Math.max(nll(probability - error) - v, v - nll(probability + error)) + 8 * a.u,
  }, 4);
}

/** Bounds of `decoder_nll`. */
export const decoderNllBounds: BoundsOf = {
  formula: "−ln max(Φ((x_0−μ+1/255)/σ) − Φ((x_0−μ−1/255)/σ), 1e−12), Φ off by 16 u",
  bounds: (request, model) => {
    const x0 = given(tensorField(request, "x0")), mean = given(tensorField(request, "mean"));
    const logScale = given(tensorField(request, "logScale")), cdf = cdfField(request);
    return { nll: x0.map((x, i) => decoderNllOf(x, mean[i], logScale[i], cdf, model.a)) };
  },
};

/** Mean over each sample's elements of something in nats, in bits. */
function bitsPerDim(x: Tensor, nats: readonly Approx[], model: Model): Approx[] {
  const { a } = model, bits: Approx[] = [];
  forEachSample(x.shape, (_, start, end) => {
    const mean = a.div(a.sum(nats.slice(start, end)), exact(end - start));
    bits.push(a.div(mean, a.of(Math.LN2)));
  });
  return bits;
}

/** Bounds of `vlb_term`. */
export const vlbTermBounds: BoundsOf = {
  formula: "at the first step −ln of the decoder, else KL(q(x_prev|x_t,x_0) ‖ p), mean over a " +
    "sample, over ln 2",
  bounds: (request, model) => {
    const { a } = model, x0 = tensorField(request, "x0"), xt = tensorField(request, "xt");
    const p = momentsOf(request, model, xt), cdf = cdfField(request);
    const steps = stepsOf(request, model, x0);
    const each = perElement(x0, (n) => ({
      step: steps[n],
      k: coefficientsOf(steps[n], model),
      logVariance: model.enter(steps[n].logBetaTildeClipped),
    }));
    const xs = given(xt);
    const nats = given(x0).map((x, i) => {
      const { step, k, logVariance } = each[i];
      if (step.first) return decoderNllOf(x, p.mean[i], scaled(p.logVariance[i], 0.5), cdf, a);
      const mean = posteriorMeanOf(k, a, xs[i], x);
      return normalKlOf(mean, logVariance, p.mean[i], p.logVariance[i], a);
    });
    return { bitsPerDim: bitsPerDim(x0, nats, model) };
  },
};

/** Bounds of `prior_kl`. */
export const priorKlBounds: BoundsOf = {
  formula: "KL(N(√ᾱ_T·x_0, 1−ᾱ_T) ‖ N(0, 1)), mean over a sample, over ln 2",
  bounds: (request, model) => {
    const { a, c } = model, x0 = tensorField(request, "x0"), schedule = model.schedule(request);
    const { alphaBar, oneMinusAlphaBar } = schedule.levelOf(schedule.length - 1);
    const signal = model.enter(c.sqrt(alphaBar));
    const logVariance = model.enter(c.log(oneMinusAlphaBar));
    const nats = given(x0).map((x) =>
      normalKlOf(a.mul(signal, x), logVariance, exact(0), exact(0), a)
    );
    return { bitsPerDim: bitsPerDim(x0, nats, model) };
  },
};
