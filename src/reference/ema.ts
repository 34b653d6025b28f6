import { unexpected } from "../math/errors.ts";
import { checkShape, type Tensor } from "../math/tensor.ts";
import type { Parameters } from "../spec/unet_parameters.ts";
import { zerosLike } from "./nn/zeros_like.ts";

/**
 * Exponential moving average of weights: decay·ema + (1 − decay)·params (Ho et al. 2020, appendix B,
 * with decay 0.9999).
 *
 * @throws {ArgumentError} if the shapes differ or decay is outside [0, 1].
 */
export function emaStep(ema: Tensor, params: Tensor, decay: number): Tensor {
  checkShape("params", params, ema.shape);
  if (!(decay >= 0 && decay <= 1)) unexpected("decay in [0, 1]", decay);
  const next = zerosLike(ema);
  for (let i = 0; i < next.data.length; i++) {
    next.data[i] = decay * ema.data[i] + (1 - decay) * params.data[i];
  }
  return next;
}

/**
 * `emaStep` on every parameter of a model.
 *
 * @throws {ArgumentError} if a parameter is missing, or as `emaStep` does.
 */
export function emaStepAll(ema: Parameters, params: Parameters, decay: number): Parameters {
  return new Map(
    [...ema].map(([name, average]) => {
      const current = params.get(name) ?? unexpected(`params of ${name}`, undefined);
      return [name, emaStep(average, current, decay)];
    }),
  );
}
