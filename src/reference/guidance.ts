/**
 * Classifier-free guidance (Ho and Salimans 2022) and its rescaling (Lin et al. 2023).
 *
 * @module
 */
import { ArgumentError, checkFinite, unexpected } from "../math/errors.ts";
import { checkShape, type Tensor, tensor } from "../math/tensor.ts";
import type { Model } from "./sample.ts";
import { forEachSample } from "./step.ts";

/** How strongly the condition acts. */
export interface GuidanceOptions {
  /** s: 0 is the unconditional output, 1 the conditional one. The paper's w is s − 1. */
  readonly scale: number;
  /** φ in [0, 1]: share of the output brought back to the conditional one's spread. Default 0. */
  readonly rescale?: number;
}

/**
 * √Σ(x − x̄)² of one sample. Of equal float32 values it is exactly 0: their sum takes 24 bits and those of
 * their number.
 */
function spread(values: Float32Array | Float64Array): number {
  let sum = 0, squares = 0;
  for (const x of values) sum += x;
  const mean = sum / values.length;
  for (const x of values) squares += (x - mean) ** 2;
  return Math.sqrt(squares);
}

/**
 * g = u + s(c − u) (Ho and Salimans 2022, eq. 6, with s = 1 + w), then φ·g·std(c)/std(g) + (1 − φ)·g
 * (Lin et al. 2023, section 3.4). The standard deviations are those of each sample, over all its
 * elements; whether they divide by D − 1 or by D cancels in the ratio.
 *
 * Computed as (1 − s)·u + s·c, which is u at s = 0 and c at s = 1 to the bit.
 *
 * @param conditional c, the network's output with the condition, shape `[N, …]`.
 * @param unconditional u, its output without, shaped like `conditional`.
 * @returns the guided output, shaped like both.
 * @throws {ArgumentError} if the shapes differ, s is not finite, φ is outside [0, 1], or φ > 0 and a
 * standard deviation is 0.
 */
export function guide(
  conditional: Tensor,
  unconditional: Tensor,
  options: GuidanceOptions,
): Tensor {
  checkShape("unconditional", unconditional, conditional.shape);
  const scale = checkFinite("scale", options.scale);
  const rescale = checkFinite("rescale", options.rescale ?? 0);
  if (rescale < 0 || rescale > 1) unexpected("rescale in [0, 1]", rescale);
  const out = Float64Array.from(
    conditional.data,
    (c, i) => (1 - scale) * unconditional.data[i] + scale * c,
  );
  if (rescale === 0) return tensor(conditional.shape, out);
  forEachSample(conditional.shape, (n, start, end) => {
    const guided = out.subarray(start, end);
    const wanted = spread(conditional.data.subarray(start, end)), found = spread(guided);
    if (wanted === 0 || found === 0) {
      const which = wanted === 0 ? "conditional" : "guided";
      throw new ArgumentError(
        `Expected outputs that vary within each sample, to rescale them, but got a standard deviation of 0 for the ${which} output of sample ${n}`,
      );
    }
    const factor = rescale * (wanted / found) + (1 - rescale);
    out.set(guided.map((value) => factor * value), start);
  });
  return tensor(conditional.shape, out);
}

/**
 * A model that is asked twice, with the condition and without, and answers with the guided output
 * (Ho and Salimans 2022, algorithm 2): for every loop that takes a model.
 *
 * A learned variance among the output's channels would be guided as well; use a fixed one.
 *
 * @param model a network that was trained with conditions and without.
 * @param nullCondition what stands for no condition, such as one null class per sample.
 * @throws {ArgumentError} when called, as {@linkcode guide}, or if there is no condition.
 */
export function guidedModel<Condition>(
  model: Model<Condition>,
  nullCondition: NoInfer<Condition>,
  options: GuidanceOptions,
): Model<Condition> {
  return async (xt, t, condition) => {
    if (condition === undefined) unexpected("a condition for the guided model", condition);
    const conditional = await model(xt, t, condition);
    return guide(conditional, await model(xt, t, nullCondition), options);
  };
}
