import type { Shape, Tensor } from "../../../math/tensor.ts";
import { given } from "../model.ts";
import type { Approx } from "../rounding.ts";

/** Values with their shape. */
export interface Grid {
  /** Sizes per dimension. */
  readonly shape: Shape;
  /** Row-major values. */
  readonly values: readonly Approx[];
}

/** A tensor of a request. */
export function gridOf(x: Tensor): Grid {
  return { shape: x.shape, values: given(x) };
}

/** y, and the gradients of a layer given dY, by name. */
export interface Layer {
  /** The output. */
  readonly y: readonly Approx[];
  /** Gradients by name. */
  readonly backward: (dY: Grid) => Readonly<Record<string, readonly Approx[]>>;
}

/** Lists of terms, one per element. */
export function lists(count: number): Approx[][] {
  return Array.from({ length: count }, () => []);
}
