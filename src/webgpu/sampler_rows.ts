/**
 * The numbers of every step of a sampling loop, in double on the host, so that on the device a DDPM step
 * and a DDIM step are the same few products.
 *
 * @module
 */
import { ArgumentError, unexpected } from "../math/errors.ts";

/** The signal and noise share of a time: x_t = √ᾱ x_0 + √(1−ᾱ) ε. */
export interface NoiseLevel {
  /** ᾱ, 1 at time 0. */
  readonly alphaBar: number;
  /** 1 − ᾱ, 0 at time 0; given on its own because 1 − ᾱ cancels for early times. */
  readonly oneMinusAlphaBar: number;
}

/** How a network's output is read. */
export interface ReadOptions {
  /** Clipping of x̂_0 to ±range, or null for none. */
  readonly clipRange: number | null;
}

/** A DDPM step (Ho et al. 2020, algorithm 2). */
export interface DdpmRowOptions extends ReadOptions {
  /** Which step it is. */
  readonly kind: "ddpm";
  /** What the output stands for. */
  readonly prediction: "epsilon" | "x0" | "v" | "previousX";
  /** Σ_θ; with a learned one the output has 2C channels. */
  readonly variance: "beta" | "betaTilde" | "learned" | "learnedRange";
}

/** A DDIM step (Song et al. 2021, eq. 12). */
export interface DdimRowOptions extends ReadOptions {
  /** Which step it is. */
  readonly kind: "ddim";
  /** What the output stands for. */
  readonly prediction: "epsilon" | "x0" | "v";
  /** η ≥ 0. */
  readonly eta: number;
  /** Whether ε̂ is derived again from the clipped x̂_0. */
  readonly rederiveEpsilon: boolean;
}

/** How every step is taken. */
export type SamplerRowOptions = DdpmRowOptions | DdimRowOptions;

/** Places of a step's numbers in its row. */
export const ROW = {
  /** x̂_0 = x0FromX·x_t + x0FromOutput·output, … */
  x0FromX: 0,
  x0FromOutput: 1,
  /** … clamped to ±clipRange. */
  clipRange: 2,
  /** x_prev = fromX0·x̂_0 + fromX·x_t + fromOutput·output + … */
  fromX0: 3,
  fromX: 4,
  fromOutput: 5,
  /** … sigma·exp(sigmaSlope·(the output's variance part))·z. */
  sigma: 6,
  sigmaSlope: 7,
} as const;

/** Numbers per step. */
export const ROW_SIZE = 8;

/** A range that clips no finite float32. */
const NO_CLIPPING = 3.4e38;

type Row = Record<keyof typeof ROW, number>;

/**
 * Rows of the loop's steps in the order in which they are taken, from the last kept time down to time 0.
 *
 * @param levels of the kept times, ascending.
 * @returns `[levels, 8]`, places as in {@linkcode ROW}.
 * @throws {ArgumentError} at ᾱ = 0 for a prediction of ε, or if η is too large.
 */
export function samplerRows(
  levels: readonly NoiseLevel[],
  options: SamplerRowOptions,
): Float32Array<ArrayBuffer> {
  const rows = levels.map((level, k) => {
    const previous = k === 0 ? { alphaBar: 1, oneMinusAlphaBar: 0 } : levels[k - 1];
    return options.kind === "ddpm"
      ? ddpmRow(level, previous, options)
      : ddimRow(level, previous, options);
  }).reverse();
  const places = Object.entries(ROW) as [keyof Row, number][];
  const numbers = new Array<number>(ROW_SIZE * rows.length);
  rows.forEach((row, k) => {
    for (const [name, place] of places) numbers[k * ROW_SIZE + place] = row[name];
  });
  // The one rounding of the steps' numbers to float32.
  return Float32Array.from(numbers);
}

/** x̂_0 = x0FromX·x_t + x0FromOutput·output. */
function x0Of(
  { alphaBar, oneMinusAlphaBar }: NoiseLevel,
  prediction: DdimRowOptions["prediction"],
): Pick<Row, "x0FromX" | "x0FromOutput"> {
  const signal = Math.sqrt(alphaBar), noise = Math.sqrt(oneMinusAlphaBar);
  switch (prediction) {
    case "epsilon":
      if (signal === 0) {
        throw new ArgumentError(
          "Expected a time with ᾱ > 0 but got one with ᾱ = 0: x_0 from epsilon is undefined at ᾱ = 0",
        );
      }
      return { x0FromX: 1 / signal, x0FromOutput: -noise / signal };
    case "v":
      return { x0FromX: signal, x0FromOutput: -noise };
    case "x0":
      return { x0FromX: 0, x0FromOutput: 1 };
  }
}

/** 1 − ᾱ/ᾱ_prev, from whichever of the two shares cancels less. */
function addedVariance(level: NoiseLevel, previous: NoiseLevel): number {
  return level.oneMinusAlphaBar < previous.alphaBar
    ? (level.oneMinusAlphaBar - previous.oneMinusAlphaBar) / previous.alphaBar
    : 1 - level.alphaBar / previous.alphaBar;
}

/**
 * x_prev = μ̃(x_t, x̂_0) + σ·z with the posterior mean's coefficients √ᾱ_prev·β/(1−ᾱ) and
 * √α·(1−ᾱ_prev)/(1−ᾱ) (Ho et al. 2020, eq. 7); no noise in the step that ends at time 0.
 */
function ddpmRow(level: NoiseLevel, previous: NoiseLevel, options: DdpmRowOptions): Row {
  const beta = addedVariance(level, previous);
  const alpha = level.alphaBar / previous.alphaBar;
  const betaTilde = beta * previous.oneMinusAlphaBar / level.oneMinusAlphaBar;
  const fromX0 = Math.sqrt(previous.alphaBar) * beta / level.oneMinusAlphaBar;
  const fromX = Math.sqrt(alpha) * previous.oneMinusAlphaBar / level.oneMinusAlphaBar;
  const noise = previous.oneMinusAlphaBar === 0
    ? { sigma: 0, sigmaSlope: 0 }
    : ddpmNoise(options.variance, beta, betaTilde);
  const shared = { clipRange: options.clipRange ?? NO_CLIPPING, ...noise };
  if (options.prediction === "previousX") {
    // The output is the mean; x̂_0 is eq. 7 solved for x_0.
    const x0 = { x0FromX: -fromX / fromX0, x0FromOutput: 1 / fromX0 };
    return { ...x0, fromX0: 0, fromX: 0, fromOutput: 1, ...shared };
  }
  return { ...x0Of(level, options.prediction), fromX0, fromX, fromOutput: 0, ...shared };
}

/** σ = √Σ; learned, ln Σ = v, or (1+v)/2·ln β + (1−v)/2·ln β̃ (Nichol and Dhariwal 2021, eq. 15). */
function ddpmNoise(
  variance: DdpmRowOptions["variance"],
  beta: number,
  betaTilde: number,
): Pick<Row, "sigma" | "sigmaSlope"> {
  switch (variance) {
    case "beta":
      return { sigma: Math.sqrt(beta), sigmaSlope: 0 };
    case "betaTilde":
      return { sigma: Math.sqrt(betaTilde), sigmaSlope: 0 };
    case "learned":
      return { sigma: 1, sigmaSlope: 1 / 2 };
    case "learnedRange":
      return {
        sigma: Math.sqrt(Math.sqrt(beta) * Math.sqrt(betaTilde)),
        sigmaSlope: Math.log(beta / betaTilde) / 4,
      };
  }
}

/**
 * x_prev = √ᾱ_prev·x̂_0 + d·ε̂ + σ·z with σ = η·√((1−ᾱ_prev)/(1−ᾱ))·√(1−ᾱ/ᾱ_prev) and d² = 1−ᾱ_prev−σ². With
 * ε̂ = (x_t − √ᾱ·x̂_0)/√(1−ᾱ) put in, x̂_0 and x_t have one coefficient each, and nothing is divided by a
 * small √(1−ᾱ) in float32.
 */
function ddimRow(level: NoiseLevel, previous: NoiseLevel, options: DdimRowOptions): Row {
  const { eta, rederiveEpsilon, prediction } = options;
  const signal = Math.sqrt(level.alphaBar), noise = Math.sqrt(level.oneMinusAlphaBar);
  const added = addedVariance(level, previous), target = previous.oneMinusAlphaBar;
  const sigma = eta * Math.sqrt(target / level.oneMinusAlphaBar) * Math.sqrt(added);
  const kept = target * level.alphaBar / (previous.alphaBar * level.oneMinusAlphaBar);
  const square = target * ((1 - eta * eta) + eta * eta * kept);
  if (!(square >= 0)) unexpected("eta with σ² ≤ 1−ᾱ at the end of the step", eta);
  const direction = Math.sqrt(square), forward = Math.sqrt(previous.alphaBar);
  const shared = {
    ...x0Of(level, prediction),
    clipRange: options.clipRange ?? NO_CLIPPING,
    sigma,
    sigmaSlope: 0,
  };
  if (rederiveEpsilon) {
    return {
      ...shared,
      fromX0: forward - direction * signal / noise,
      fromX: direction / noise,
      fromOutput: 0,
    };
  }
  // ε̂ = fromX·x_t + fromOutput·output, as the network meant it.
  const [fromX, fromOutput] = prediction === "epsilon"
    ? [0, 1]
    : prediction === "v"
    ? [noise, signal]
    : [1 / noise, -signal / noise];
  return {
    ...shared,
    fromX0: forward,
    fromX: direction * fromX,
    fromOutput: direction * fromOutput,
  };
}
