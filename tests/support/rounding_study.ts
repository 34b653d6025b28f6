/**
 * How far the rounding of stored values can carry: the bound of a whole float32 network.
 *
 * To first order the error of a result r is Σ_k ∂r/∂h_k·h_k·δ_k over all stored values h_k, with
 * |δ_k| ≤ u. Taking the δ_k as independent with mean zero (Higham and Mary 2019, model 2.1),
 * Hoeffding's inequality gives |error| ≤ λ·σ except with probability 2·exp(−λ²/2), where
 * σ² = Σ_k (∂r/∂h_k·h_k·u)². σ is also the standard deviation of r when every stored value is
 * multiplied by 1 ± u with a random sign, in double: so a few such runs estimate it, with no
 * knowledge of the network, and without a single float32 operation of the code under test.
 *
 * @module
 */
import { randomBits } from "../../src/math/philox.ts";
import type { Tensor } from "../../src/math/tensor.ts";
import type { UNetConfig } from "../../src/spec/unet_config.ts";
import type { Parameters } from "../../src/spec/unet_parameters.ts";
import { type TapeStep, walkBack } from "../../src/reference/tape.ts";
import { runUnet, type UNetOptions } from "../../src/reference/unet.ts";
import { Layers } from "../../src/reference/unet_layers.ts";
import { lossGradient } from "./loss.ts";

/** 2·n·exp(−λ²/2) < 1e−6 for the n < 10^6 values that a test compares. */
export const LAMBDA = Math.sqrt(2 * Math.log(2 * 1e6 / 1e-6));

/** Multiplies stored values by 1 ± u, the signs being words of a stream. */
class SignedPerturbation {
  #calls = 0;
  constructor(readonly u: number, readonly seed: number) {}

  apply(x: Tensor): Tensor {
    const words = randomBits(this.seed, this.#calls++, 0, Math.ceil(x.data.length / 32));
    const data = x.data.map((value, i) =>
      value * ((words[i >> 5] >>> (i & 31)) & 1 ? 1 + this.u : 1 - this.u)
    );
    return { shape: x.shape, data };
  }
}

class PerturbedLayers extends Layers {
  constructor(
    parameters: Parameters,
    steps: TapeStep[],
    readonly perturbation: SignedPerturbation,
  ) {
    super(parameters, steps);
  }
  protected override stored(y: Tensor): Tensor {
    return this.perturbation.apply(y);
  }
}

/** Everything that one pass of loss and gradients gives, by name: `output`, `grad_x` and each parameter. */
export function allResults(
  run: { output: Tensor; dX: Tensor; gradients: Parameters },
): Map<string, Tensor> {
  return new Map([["output", run.output], ["grad_x", run.dX], ...run.gradients]);
}

/**
 * σ of every result at unit roundoff u, by name. A value's own estimate from few runs can be too small by
 * chance, so it is floored by the root mean square over its tensor.
 */
export function roundingSpread(
  config: UNetConfig,
  parameters: Parameters,
  x: Tensor,
  timesteps: readonly number[],
  target: Tensor,
  exact: ReadonlyMap<string, Tensor>,
  { u, runs, options = {} }: { u: number; runs: number; options?: UNetOptions },
): Map<string, Float64Array> {
  const squares = new Map([...exact].map(([k, r]) => [k, new Float64Array(r.data.length)]));
  for (let seed = 1; seed <= runs; seed++) {
    const perturbation = new SignedPerturbation(u, seed);
    const steps: TapeStep[] = [];
    const layers = new PerturbedLayers(parameters, steps, perturbation);
    const output = runUnet(layers, config, x, timesteps, options);
    const stored = (gradient: Tensor): Tensor => perturbation.apply(gradient);
    const back = walkBack(steps, stored(lossGradient(output, target)), stored);
    const dX = back.inputs.get(x) as Tensor;
    for (const [k, r] of allResults({ output, dX, gradients: back.parameters })) {
      const sums = squares.get(k) as Float64Array, reference = exact.get(k) as Tensor;
      r.data.forEach((value, i) => sums[i] += (value - reference.data[i]) ** 2 / runs);
    }
  }
  for (const [k, sums] of squares) {
    const mean = sums.reduce((a, b) => a + b, 0) / sums.length;
    squares.set(k, sums.map((s) => Math.sqrt(Math.max(s, mean))));
  }
  return squares;
}
