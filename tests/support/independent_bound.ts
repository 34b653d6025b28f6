/**
 * The terms of the variational bound per element, their slopes, and what the reference may lose in
 * them. Never imports the reference.
 *
 * @module
 */
import { U64 } from "../../src/math/float32.ts";
import type { Tensor } from "../../src/math/tensor.ts";
import type { Batch } from "./arbitraries.ts";
import { binOf, type Cdf, nllOf } from "./independent_decoder.ts";
import { affine, independentReverse, type ReadOptions } from "./independent_model.ts";
import { expectation } from "./quadrature.ts";

/** One element's term in nats with its slopes by μ_θ and ln Σ_θ, and errors. */
export interface Term {
  readonly nats: number;
  readonly error: number;
  readonly dMean: number;
  readonly dMeanError: number;
  readonly dLogVariance: number;
  readonly dLogVarianceError: number;
  /** ∂μ_θ/∂output. */
  readonly meanSlope: number;
  /** ∂ln Σ_θ/∂output, for a learned variance. */
  readonly logVarianceSlope: number;
  readonly logVarianceSlopeError: number;
}

/** E ln(p₁/p₂) over p₁: quadrature is exact for the quadratic that the log-ratio is. */
export function klByDefinition(m1: number, l1: number, m2: number, l2: number): number {
  // Around m1, so that only the distance of the means enters.
  const log = (x: number, m: number, l: number) => -((x - m) ** 2) / (2 * Math.exp(l)) - l / 2;
  return expectation((x) => log(x, 0, l1) - log(x, m2 - m1, l2), 0, Math.exp(l1));
}

/** The decoder's term; μ and ln σ are off themselves, so that it moves by its slopes. */
function decoderTerm(
  data: number,
  mean: number,
  meanError: number,
  log: number,
  logError: number,
  cdf: Cdf,
): Omit<Term, "meanSlope" | "logVarianceSlope" | "logVarianceSlopeError"> {
  const bin = binOf(data, mean, log / 2, cdf), nll = nllOf(bin);
  if (bin.probability < 1e-12) {
    // Under the floor nothing moves.
    return {
      nats: nll.value,
      error: nll.error,
      dMean: 0,
      dMeanError: 0,
      dLogVariance: 0,
      dLogVarianceError: 0,
    };
  }
  const sigma = Math.exp(log / 2), moved = meanError / sigma + logError;
  // The slopes' own slopes, in units of σ, are at most the square of these.
  const steep = 2 + Math.abs(bin.dMean) * sigma + Math.abs(bin.dLogScale);
  return {
    nats: nll.value,
    error: nll.error + Math.abs(bin.dMean) * meanError + Math.abs(bin.dLogScale) * logError,
    dMean: bin.dMean,
    dMeanError: bin.dMeanError + steep ** 2 * moved / sigma,
    dLogVariance: bin.dLogScale / 2,
    dLogVarianceError: bin.dLogScaleError + steep ** 2 * moved,
  };
}

/** Terms of a batch for data `x0`, whose last tensor is x_t. */
export function independentTerms(
  batch: Pick<Batch, "process" | "D" | "steps" | "stepOf">,
  x0: Tensor,
  xt: Tensor,
  output: Tensor,
  options: ReadOptions & { readonly cdf: Cdf },
): Term[] {
  const p = independentReverse(batch, xt, output, options);
  const n = batch.process.n * U64;
  return Array.from(x0.data, (data, i): Term => {
    const step = batch.stepOf(i);
    const meanSlope = options.prediction === "previousX"
      ? 1
      : step.coefX0 / affine(options.prediction, step).x0;
    const learned = options.variance === "learned";
    const high = Math.log(step.beta), low = step.logVarianceClipped;
    const shared = {
      meanSlope,
      logVarianceSlope: learned ? 1 : (high - low) / 2,
      // Two logarithms, of nearly equal numbers late in the process.
      logVarianceSlopeError: learned ? 0 : n + (Math.abs(high) + Math.abs(low)) * U64,
    };
    const log = p.logVariance[i], logError = p.logVarianceError[i];
    if (step.first) {
      return {
        ...shared,
        ...decoderTerm(data, p.mean[i], p.meanError[i], log, logError, options.cdf),
      };
    }
    const own = step.logVarianceClipped;
    const mean = step.coefX0 * data + step.coefXt * xt.data[i];
    const meanError = p.meanError[i] +
      n * (Math.abs(step.coefX0 * data) + Math.abs(step.coefXt * xt.data[i]));
    const apart = mean - p.mean[i], precision = Math.exp(-log), ratio = Math.exp(own - log);
    const relative = logError + n + (4 + 2 * Math.abs(own) + 2 * Math.abs(log)) * U64;
    const square = apart * apart * precision;
    const squareError = (2 * Math.abs(apart) * meanError + meanError ** 2) * precision +
      square * relative;
    return {
      ...shared,
      nats: klByDefinition(mean, own, p.mean[i], log),
      error: squareError + relative * (1 + ratio) +
        16 * U64 * (1 + ratio + square + Math.abs(own) + Math.abs(log)),
      dMean: -apart * precision,
      dMeanError: (meanError + Math.abs(apart) * (relative + 4 * U64)) * precision,
      dLogVariance: (1 - ratio - square) / 2,
      dLogVarianceError: squareError + relative * (1 + ratio) + 8 * U64 * (1 + ratio + square),
    };
  });
}
