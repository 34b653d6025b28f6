/**
 * What a forward pass remembers so that the chain rule can be walked backwards.
 *
 * @module
 */
import type { Tensor } from "../math/tensor.ts";
import { add } from "./nn/add.ts";

/** What one step passes on: gradients of its input tensors, and of the parameters it used, by name. */
export interface StepGradients {
  /** Each input tensor with its gradient, of its shape. */
  readonly inputs: readonly (readonly [x: Tensor, dX: Tensor])[];
  /** Each parameter's name with its gradient. Default none. */
  readonly parameters?: readonly (readonly [name: string, d: Tensor])[];
}

/** One layer's output with the way back from its gradient. */
export interface TapeStep {
  /** What the layer computed. */
  readonly output: Tensor;
  /** The chain rule through the layer, given the gradient dY of its output, of its shape. */
  readonly backward: (dY: Tensor) => StepGradients;
}

/** The gradients that a backward pass collects. */
export interface CollectedGradients {
  /** By tensor: what no step of the tape computed, so the network's inputs. */
  readonly inputs: ReadonlyMap<Tensor, Tensor>;
  /** By parameter name. */
  readonly parameters: ReadonlyMap<string, Tensor>;
}

/**
 * Walks the steps from the last to the first. A tensor's gradient is complete when the step that
 * computed it is reached, for all its uses came later: it is the sum over those uses.
 *
 * @param dOutput gradient of the last step's output.
 * @param stored what becomes of a gradient before it is used; the identity but in studies of rounding.
 */
export function walkBack(
  steps: readonly TapeStep[],
  dOutput: Tensor,
  stored: (gradient: Tensor) => Tensor = (gradient) => gradient,
): CollectedGradients {
  const tensors = new Map(steps.slice(-1).map(({ output }) => [output, dOutput]));
  const parameters = new Map<string, Tensor>();
  for (const { output, backward } of steps.toReversed()) {
    const dY = tensors.get(output);
    if (dY === undefined) continue;
    tensors.delete(output);
    const step = backward(dY);
    for (const [x, dX] of step.inputs) addTo(tensors, x, stored(dX), stored);
    for (const [name, d] of step.parameters ?? []) addTo(parameters, name, stored(d), stored);
  }
  return { inputs: tensors, parameters };
}

function addTo<K>(
  gradients: Map<K, Tensor>,
  key: K,
  gradient: Tensor,
  stored: (gradient: Tensor) => Tensor,
): void {
  const before = gradients.get(key);
  gradients.set(key, before === undefined ? gradient : stored(add(before, gradient)));
}
