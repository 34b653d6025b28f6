/**
 * How far the rounding errors of its layers can carry a whole network.
 *
 * To first order the error of a result r is Σ_k ∂r/∂e_k·e_k over the errors e_k of all layers, each at
 * most its bound b_k. Taken as independent with mean zero (Higham and Mary 2019, model 2.1), they give
 * |error| ≤ λ·σ with σ² = Σ_k (∂r/∂e_k·b_k)² except with probability 2·exp(−λ²/2) (Hoeffding's
 * inequality). σ is also the deviation of r when every e_k is ±b_k with a random sign: a few such runs in
 * double estimate it, through whatever network.
 *
 * @module
 */
import { U32 } from "../../../../math/float32.ts";
import { randomBits } from "../../../../math/philox.ts";
import type { Tensor } from "../../../../math/tensor.ts";
import { type StepGradients, type TapeStep, walkBack } from "../../../../reference/tape.ts";
import { runUnet } from "../../../../reference/unet.ts";
import { Layers } from "../../../../reference/unet_layers.ts";
import type { NetworkRun } from "../../../ops/unet.ts";
import type { Errors, GradientErrors, LayerErrors, Sign } from "./errors.ts";
import { AnalysedLayers } from "./layers.ts";

/** 2·n·exp(−λ²/2) < 1e−6 for n = 10^6 values. */
const LAMBDA = Math.sqrt(2 * Math.log(2 * 1e6 / 1e-6));
/** Runs from which σ is estimated. */
const RUNS = 8;
/** Words of a stream that are drawn at once. */
const WORDS = 1024;

/** What a run gives, by name: `output`, `loss`, and where gradients are asked for `grad.x` and `grad.PARAMETER`. */
export type Results = ReadonlyMap<string, Float64Array>;

/** Results in exact arithmetic and how far rounding may carry them. */
export interface Spread {
  /** The results in double. */
  readonly exact: Results;
  /** λ·σ. */
  readonly errors: Results;
}

function signs(seed: number): Sign {
  let words = new Uint32Array(0), bit = 0, call = 0;
  return () => {
    if (bit >> 5 >= words.length) {
      words = new Uint32Array(randomBits(seed, call++, 0, WORDS));
      bit = 0;
    }
    return (words[bit >> 5] >>> (bit++ & 31)) & 1 ? 1 : -1;
  };
}

function inDouble({ shape, data }: Tensor): Tensor {
  // Layers store results in the format of their inputs: with doubles nothing is rounded.
  return { shape, data: Float64Array.from(data) as unknown as Float32Array };
}

function widened(run: NetworkRun): NetworkRun {
  const { classLabels } = run.options;
  return {
    ...run,
    parameters: new Map([...run.parameters].map(([name, p]) => [name, inDouble(p)])),
    x: inDouble(run.x),
    target: run.target === null ? null : inDouble(run.target),
    options: classLabels !== undefined && "shape" in classLabels
      ? { classLabels: inDouble(classLabels) }
      : run.options,
  };
}

function shifted(y: Tensor, errors: Errors, sign: Sign): Tensor {
  const off = errors(sign);
  return { shape: y.shape, data: y.data.map((v, i) => v + off[i]) };
}

/** Layers whose outputs are off by their errors. */
class ShiftedLayers extends Layers {
  #calls = 0;
  readonly #errors: readonly LayerErrors[];
  readonly #sign: Sign;

  constructor(run: NetworkRun, steps: TapeStep[], errors: readonly LayerErrors[], sign: Sign) {
    super(run.parameters, steps);
    this.#errors = errors;
    this.#sign = sign;
  }

  protected override stored(y: Tensor): Tensor {
    return shifted(y, this.#errors[this.#calls++].forward, this.#sign);
  }
}

/** Loss and gradients of an output. `off` gives the errors of the loss's own arithmetic. */
function resultsOf(
  run: NetworkRun,
  steps: readonly TapeStep[],
  off: (size: number, roundings: number) => number,
): Results {
  const { output } = steps[steps.length - 1], { target, out, x } = run;
  const results = new Map([["output", Float64Array.from(output.data)]]);
  if (target === null) return results;
  const D = output.data.length;
  const difference = output.data.map((v, i) => v - target.data[i]);
  const loss = difference.reduce((sum, d) => sum + d * d, 0) / D;
  results.set("loss", Float64Array.of(loss + off(loss, D + 7)));
  if (out === null) return results;
  const gradient = difference.map((d) => 2 * d / D).map((g) => g + off(g, 6));
  const rounded = (g: Tensor): Tensor => ({ ...g, data: g.data.map((v) => v + off(v, 1)) });
  const back = walkBack(steps, { shape: output.shape, data: gradient }, rounded);
  const dX = back.inputs.get(x)?.data ?? new Float64Array(x.data.length);
  results.set("grad.x", Float64Array.from(dX));
  for (const [name, p] of run.parameters) {
    const g = back.parameters.get(name)?.data ?? new Float64Array(p.data.length);
    results.set(`grad.${name}`, Float64Array.from(g));
  }
  return results;
}

/** A tape whose gradients are passed on through `change`. */
function changed(
  steps: readonly TapeStep[],
  change: (k: number, dY: Tensor, gradients: StepGradients) => StepGradients,
): TapeStep[] {
  return steps.map(({ output, backward }, k) => ({
    output,
    backward: (dY) => change(k, dY, backward(dY)),
  }));
}

function shiftedGradients(g: StepGradients, errors: GradientErrors, sign: Sign): StepGradients {
  return {
    inputs: g.inputs.map(([x, dX], i) => [x, shifted(dX, errors.inputs[i], sign)] as const),
    parameters: g.parameters?.map(([name, d], i) =>
      [name, shifted(d, (errors.parameters ?? [])[i], sign)] as const
    ),
  };
}

/**
 * Results of a network and how far from them an implementation of unit roundoff `u`, and the reference,
 * may be.
 */
export function networkSpread(request: NetworkRun, u: number): Spread {
  const run = widened(request), { config, x, timesteps, options } = run;
  const steps: TapeStep[] = [], layers = new AnalysedLayers(run.parameters, steps, u);
  runUnet(layers, config, x, timesteps, options);
  const gradients: GradientErrors[] = [];
  const noted = changed(steps, (k, dY, passed) => {
    gradients[k] = layers.errors[k].backward(dY);
    return passed;
  });
  const exact = resultsOf(run, noted, () => 0);
  const squares = new Map([...exact].map(([name, v]) => [name, new Float64Array(v.length)]));
  for (let seed = 1; seed <= RUNS; seed++) {
    const sign = signs(seed), own: TapeStep[] = [];
    runUnet(new ShiftedLayers(run, own, layers.errors, sign), config, x, timesteps, options);
    const tape = changed(own, (k, _, passed) => shiftedGradients(passed, gradients[k], sign));
    const off = (size: number, roundings: number) => sign() * size * (roundings * u + U32);
    for (const [name, values] of resultsOf(run, tape, off)) {
      const sums = squares.get(name) as Float64Array, right = exact.get(name) as Float64Array;
      values.forEach((v, i) => sums[i] += (v - right[i]) ** 2 / RUNS);
    }
  }
  return { exact, errors: new Map([...squares].map(([name, s]) => [name, s.map(boundsOf)])) };
}

/** λ·σ; an estimate that is too small by chance is that of its tensor instead. */
function boundsOf(square: number, _: number, all: Float64Array): number {
  const mean = all.reduce((sum, s) => sum + s, 0) / all.length;
  return LAMBDA * Math.sqrt(Math.max(square, mean));
}
