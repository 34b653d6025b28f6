/**
 * What a network is trained towards: what its output should be, and how much the error of each example
 * counts.
 *
 * @module
 */
import { checkShape, type Tensor, tensor } from "../math/tensor.ts";
import { weightAt, type Weighting } from "../reference/loss.ts";
import { vFromX0 } from "../reference/parameterisation.ts";
import type { Schedule } from "../reference/schedule.ts";
import { elementwise, forEachSample, stepAt } from "../reference/step.ts";
import type { TrainedPrediction } from "../spec/checkpoint.ts";

/** The weightings of the loss over time, by name: those of the reference, with the papers' numbers. */
export const LOSSES = {
  simple: { kind: "none" },
  vlb: { kind: "vlb", variance: "beta" },
  "min-snr": { kind: "minSnr", gamma: 5 },
  p2: { kind: "p2", k: 1, gamma: 1 },
} as const satisfies Record<string, Weighting>;

/** What a run is trained towards, for its whole life. */
export interface Objective {
  /** What the network's output stands for. */
  readonly prediction: TrainedPrediction;
  /** The weighting of the loss over time. */
  readonly loss: keyof typeof LOSSES;
}

/** L_simple (Ho et al. 2020, eq. 14). */
export const SIMPLE: Objective = { prediction: "epsilon", loss: "simple" };

/** Noised examples, as far as a target depends on them. */
interface Examples {
  readonly x0: Tensor;
  readonly times: readonly number[];
  readonly noise: Tensor;
}

/** What the network's output should be, shaped like `x0`: ε, x_0, or v (Salimans and Ho 2022, appendix D). */
export function targetOf(
  schedule: Schedule,
  { prediction }: Objective,
  { x0, times, noise }: Examples,
): Tensor {
  switch (prediction) {
    case "epsilon":
      return noise;
    case "x0":
      return x0;
    case "v":
      return elementwise(x0.shape, times, (t) => {
        const level = stepAt(schedule, t);
        return (i) => vFromX0(level, x0.data[i], noise.data[i]);
      });
  }
}

/**
 * The weight of each example's squared error. The weightings of the reference are of ‖ε − ε̂‖²; with
 * ‖v − v̂‖² = ‖ε − ε̂‖²/ᾱ and ‖x_0 − x̂_0‖² = ‖ε − ε̂‖²/SNR the same loss has the weight w·ᾱ or w·SNR of those.
 * `simple` counts every error of the output once, whatever it stands for.
 */
export function exampleWeights(
  schedule: Schedule,
  { prediction, loss }: Objective,
  times: readonly number[],
): number[] {
  return times.map((t) => {
    if (loss === "simple") return 1;
    const { alphaBar, snr } = stepAt(schedule, t);
    const ofOutput = { epsilon: 1, v: alphaBar, x0: snr }[prediction];
    return weightAt(schedule, t, LOSSES[loss]) * ofOutput;
  });
}

/** A loss, its gradient, and what each example adds. */
export interface BatchLoss {
  /** Weighted mean over all elements: what is trained on. */
  readonly mean: number;
  /** Mean squared error of each example, without its weight. */
  readonly losses: readonly number[];
  /** ∂mean/∂output. */
  readonly gradient: Tensor;
}

/** Σ_n w_n‖target_n − output_n‖² over the number of elements. @throws {ArgumentError} if shapes differ. */
export function weightedLoss(
  target: Tensor,
  output: Tensor,
  weights: readonly number[],
): BatchLoss {
  checkShape("output", output, target.shape);
  const size = target.data.length;
  const gradient = new Float64Array(size), losses: number[] = [];
  let sum = 0;
  forEachSample(target.shape, (n, start, end) => {
    let squares = 0;
    for (let i = start; i < end; i++) {
      const error = output.data[i] - target.data[i];
      squares += error * error;
      gradient[i] = 2 * weights[n] * error / size;
    }
    losses.push(squares / (end - start));
    sum += weights[n] * squares;
  });
  return { mean: sum / size, losses, gradient: tensor(target.shape, gradient) };
}
