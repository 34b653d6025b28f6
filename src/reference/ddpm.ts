/**
 * The DDPM sampling step (Ho et al. 2020, algorithm 2).
 *
 * @module
 */
import { checkShape, type Tensor, tensor } from "../math/tensor.ts";
import { checkReverseOptions, reverseDoubles, type ReverseOptions } from "./reverse.ts";
import type { Schedule } from "./schedule.ts";
import { elementwise, stepAt, type Times } from "./step.ts";

/** Options of {@linkcode ddpmStep}. */
export interface DdpmOptions extends ReverseOptions {
  /** Whether z also acts in the step that ends at time 0. Default false, as in algorithm 2. */
  readonly finalNoise?: boolean;
}

/** What a sampling step returns. */
export interface StepResult {
  /** The sample at the time the step ends. */
  readonly x: Tensor;
  /** x̂_0 after clipping, as the model sees it from x_t. */
  readonly x0: Tensor;
}

/**
 * x_{t−1} = μ_θ(x_t, t) + σ_t·z with σ_t = exp(½ ln Σ_θ); z is left out in the step that ends at
 * time 0 (Ho et al. 2020, algorithm 2, lines 3 and 4). In a respaced process the step ends at the
 * next lower kept time, never at t − T/N.
 *
 * @param t kept times in 1..T.
 * @param xt shape `[N, C, …]`.
 * @param modelOutput shaped like `xt`, or with 2C channels for a learned variance.
 * @param z standard normal noise shaped like `xt`.
 * @throws {ArgumentError} at ᾱ_t = 0 for ε; for unknown options or times, or wrong shapes.
 */
export function ddpmStep(
  schedule: Schedule,
  t: Times,
  xt: Tensor,
  modelOutput: Tensor,
  z: Tensor,
  options: DdpmOptions = {},
): StepResult {
  checkShape("z", z, xt.shape);
  const checked = checkReverseOptions(options);
  const p = reverseDoubles(schedule, t, xt, modelOutput, checked);
  const x = elementwise(xt.shape, t, (tn) => {
    const noisy = !stepAt(schedule, tn).first || options.finalNoise === true;
    return noisy ? (i) => p.mean[i] + Math.exp(p.logVariance[i] / 2) * z.data[i] : (i) => p.mean[i];
  });
  return { x, x0: tensor(xt.shape, p.x0) };
}
