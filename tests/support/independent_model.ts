/**
 * What a network's output means, by one affine form for every quantity, and the reverse distribution
 * that follows, with the error that the reference may make before it stores. Never imports the
 * reference.
 *
 * @module
 */
import fc from "fast-check";
import { U64 } from "../../src/math/float32.ts";
import type { Tensor } from "../../src/math/tensor.ts";
import { type Batch, real, tensorOf } from "./arbitraries.ts";
import type { IndependentStep } from "./independent_process.ts";

/** The quantities that determine x̂_0 given x_t. */
export const QUANTITIES = ["epsilon", "x0", "v", "score", "previousX"] as const;
/** One of {@linkcode QUANTITIES}. */
export type Quantity = typeof QUANTITIES[number];
/** What a network may predict. */
export const PREDICTIONS = ["epsilon", "x0", "v", "previousX"] as const;
/** The kinds of Σ. */
export const VARIANCES = ["beta", "betaTilde", "learned", "learnedRange"] as const;

/** A clip rule as the reference's options have it. */
export type Clip =
  | null
  | { readonly kind: "static"; readonly range: number }
  | { readonly kind: "dynamic"; readonly quantile: number; readonly max: number };

/**
 * Each quantity as x0·x_0 + xt·x_t at fixed t: ε = (x_t − √ᾱ x_0)/√(1−ᾱ), v = √ᾱ ε − √(1−ᾱ) x_0
 * = (√ᾱ x_t − x_0)/√(1−ᾱ), s = −ε/√(1−ᾱ), and the posterior mean.
 */
export function affine(quantity: Quantity, step: IndependentStep): { x0: number; xt: number } {
  const signal = Math.exp(step.logAlphaBar / 2), sigma = Math.sqrt(step.oneMinusAlphaBar);
  switch (quantity) {
    case "epsilon":
      return { x0: -signal / sigma, xt: 1 / sigma };
    case "x0":
      return { x0: 1, xt: 0 };
    case "v":
      return { x0: -1 / sigma, xt: signal / sigma };
    case "score":
      return { x0: signal / sigma ** 2, xt: -1 / sigma ** 2 };
    case "previousX":
      return { x0: step.coefX0, xt: step.coefXt };
  }
}

/** x_0 from a quantity, and the magnitude of the terms it is made of. */
export function solveX0(
  quantity: Quantity,
  step: IndependentStep,
  xt: number,
  value: number,
): { x0: number; size: number } {
  const form = affine(quantity, step);
  return {
    x0: (value - form.xt * xt) / form.x0,
    size: (Math.abs(value) + Math.abs(form.xt * xt)) / Math.abs(form.x0),
  };
}

/** The q-quantile by definition: between the order statistics around position q(n − 1). */
export function independentQuantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const position = q * (values.length - 1), share = position % 1;
  return (1 - share) * sorted[Math.floor(position)] + share * sorted[Math.ceil(position)];
}

/** One sample's x̂_0 after clipping. */
export function independentClip(x0: readonly number[], clip: Clip): number[] {
  if (clip === null) return [...x0];
  const limit = clip.kind === "static"
    ? clip.range
    : Math.max(1, Math.min(clip.max, independentQuantile(x0.map(Math.abs), clip.quantile)));
  const clipped = x0.map((x) => Math.abs(x) > limit ? Math.sign(x) * limit : x);
  return clip.kind === "static" ? clipped : clipped.map((x) => x / limit);
}

/** How an output is read. */
export interface ReadOptions {
  readonly prediction: typeof PREDICTIONS[number];
  readonly variance: typeof VARIANCES[number];
  readonly clip: Clip;
}

/** Moments of p_θ per element, and bounds on the reference's errors in them before storing. */
export interface IndependentReverse {
  readonly mean: number[];
  readonly meanError: number[];
  readonly variance: number[];
  /** Relative. */
  readonly varianceError: number[];
  readonly logVariance: number[];
  readonly logVarianceError: number[];
  readonly x0: number[];
  readonly x0Error: number[];
}

/** The mean half and the variance half of an output, per element of x_t. */
export function halves(
  output: Tensor,
  D: number,
  variance: ReadOptions["variance"],
): { mean: (i: number) => number; raw: (i: number) => number } {
  if (!variance.startsWith("learned")) return { mean: (i) => output.data[i], raw: () => NaN };
  const at = (i: number) => Math.floor(i / D) * 2 * D + i % D;
  return { mean: (i) => output.data[at(i)], raw: (i) => output.data[at(i) + D] };
}

/**
 * ln Σ and a bound on the reference's error in it: the relative error of β or β̃, and the rounding of
 * the logarithm.
 */
export function independentLogVariance(
  kind: ReadOptions["variance"],
  step: IndependentStep,
  raw: number,
  n: number,
): { value: number; error: number } {
  const low = step.logVarianceClipped, high = Math.log(step.beta);
  const lost = (log: number) => (n + 2 * Math.abs(log)) * U64;
  if (kind === "learned") return { value: raw, error: 0 };
  if (kind === "betaTilde" || (kind === "beta" && step.first)) {
    return { value: low, error: lost(low) };
  }
  if (kind === "beta") return { value: high, error: lost(high) };
  // The middle of the range is at v = 0, its ends at ±1.
  return {
    value: (low + high) / 2 + raw * (high - low) / 2,
    error: (1 + Math.abs(raw)) * (lost(low) + lost(high)),
  };
}

/** The reverse distribution of a batch. */
export function independentReverse(
  { process, D, steps, stepOf }: Pick<Batch, "process" | "D" | "steps" | "stepOf">,
  xt: Tensor,
  output: Tensor,
  { prediction, variance, clip }: ReadOptions,
): IndependentReverse {
  const n = process.n * U64;
  const half = halves(output, D, variance);
  const solved = Array.from(
    xt.data,
    (x, i) => solveX0(prediction, stepOf(i), x, half.mean(i)),
  );
  // Clipping is 1-Lipschitz in each element; dividing by s ≥ 1, itself off by the worst, doubles it.
  const x0: number[] = [], x0Error: number[] = [];
  steps.forEach((_, k) => {
    const sample = solved.slice(k * D, (k + 1) * D);
    const worst = n * Math.max(...sample.map((s) => s.size));
    x0.push(...independentClip(sample.map((s) => s.x0), clip));
    x0Error.push(
      ...sample.map((s) => clip?.kind === "dynamic" ? 2 * worst + 8 * U64 : n * s.size),
    );
  });
  const logs = x0.map((_, i) =>
    independentLogVariance(variance, stepOf(i), half.raw(i), process.n)
  );
  const mean = x0.map((x, i) =>
    prediction === "previousX" ? half.mean(i) : stepOf(i).coefX0 * x + stepOf(i).coefXt * xt.data[i]
  );
  const meanError = x0.map((x, i) => {
    if (prediction === "previousX") return 0;
    const { coefX0, coefXt } = stepOf(i);
    return coefX0 * x0Error[i] + n * (Math.abs(coefX0 * x) + Math.abs(coefXt * xt.data[i]));
  });
  const logVarianceError = logs.map(({ error }) => error);
  return {
    mean,
    meanError,
    variance: logs.map(({ value }, i) =>
      variance === "betaTilde" ? stepOf(i).posteriorVariance : Math.exp(value)
    ),
    varianceError: logVarianceError.map((error) => error + 4 * U64),
    logVariance: logs.map(({ value }) => value),
    logVarianceError,
    x0,
    x0Error,
  };
}

/** No clipping, a fixed range or a quantile of |x̂_0|. */
export const clip: fc.Arbitrary<Clip> = fc.oneof(
  fc.constant(null),
  fc.record({ kind: fc.constant("static" as const), range: real(0.25, 3) }),
  fc.record({
    kind: fc.constant("dynamic" as const),
    quantile: fc.oneof(real(0, 1).map(Math.sqrt), fc.constantFrom(0, 1, 0.995)),
    max: fc.oneof(real(1, 8), fc.constant(1)),
  }),
);

/** A batch with a network output for it and how the output is read. */
export interface Reading extends Batch {
  readonly output: Tensor;
  readonly options: ReadOptions;
}

/** Draws an output of the right number of channels for every batch of `batches`. */
export function readingOf(batches: fc.Arbitrary<Batch>): fc.Arbitrary<Reading> {
  return fc.tuple(
    batches,
    fc.record({
      prediction: fc.constantFrom(...PREDICTIONS),
      variance: fc.constantFrom(...VARIANCES),
      clip,
    }),
  ).chain(([drawn, options]) => {
    const [N, C, ...rest] = drawn.shape;
    const channels = options.variance.startsWith("learned") ? 2 * C : C;
    return tensorOf([N, channels, ...rest]).map((output) => ({ ...drawn, output, options }));
  }).filter(({ options, steps }) =>
    options.prediction !== "epsilon" || steps.every((step) => step.alphaBar > 0)
  );
}
