/**
 * How far the float32 arithmetic of the device can carry a whole network's results: its output, the
 * loss, and every gradient.
 *
 * As in `rounding_study.ts`, σ is estimated from a few runs in double whose roundings are random, and
 * |error| ≤ λ·σ except with probability 2·exp(−λ²/2) (Hoeffding). What is rounded differs: not one store
 * per layer, but every partial sum, transform and builtin of the kernels (`rounded_layers.ts`).
 *
 * @module
 */
import { type Tensor, tensor } from "../../src/math/tensor.ts";
import { U32 } from "../../src/math/float32.ts";
import { unetBackward, unetForward, type UNetOptions } from "../../src/reference/unet.ts";
import { runUnet } from "../../src/reference/unet.ts";
import { walkBack } from "../../src/reference/tape.ts";
import type { TapeStep } from "../../src/reference/tape.ts";
import type { UNetConfig } from "../../src/spec/unet_config.ts";
import type { Parameters } from "../../src/spec/unet_parameters.ts";
import { lossDepth } from "../../src/webgpu/kernels/loss.ts";
import { defaultVariants, type Variants } from "../../src/webgpu/variants.ts";
import type { Bound } from "./bound.ts";
import { allInDouble, doubles, inDouble } from "./doubles.ts";
import { lossGradient, meanSquare } from "./loss.ts";
import { RandomRounding } from "./random_rounding.ts";
import { RoundedLayers } from "./rounded_layers.ts";
import { allResults, LAMBDA } from "./rounding_study.ts";

/** The bound of everything that this file compares. */
export const FORMULA = "λ·σ of runs with random roundings";

/** Runs from which σ is estimated. */
const RUNS = 8;

/** A network with everything that one step is run on. */
export interface NetworkCase {
  readonly config: UNetConfig;
  readonly parameters: Parameters;
  readonly x: Tensor;
  readonly target: Tensor;
  readonly timesteps: readonly number[];
  readonly options?: UNetOptions;
}

/** Results by name: `output`, `grad_x`, `loss`, `sample losses` and every parameter's gradient. */
export type Results = ReadonlyMap<string, Tensor>;

/** The same case with every number in double. */
function widened<C extends NetworkCase>(net: C): C {
  const labels = net.options?.classLabels;
  const wideLabels = labels !== undefined && "shape" in labels ? inDouble(labels) : labels;
  return {
    ...net,
    parameters: allInDouble(net.parameters),
    x: inDouble(net.x),
    target: inDouble(net.target),
    options: wideLabels === undefined ? net.options : { ...net.options, classLabels: wideLabels },
  };
}

/** Adds the loss to a pass's results, and that of every sample. */
function withLosses(
  results: Map<string, Tensor>,
  { target }: NetworkCase,
  output: Tensor,
  stored: (loss: number) => number = (loss) => loss,
): Map<string, Tensor> {
  const N = output.shape[0], D = output.data.length / N;
  const sample = ({ data }: Tensor, n: number): Tensor =>
    doubles([D], data.subarray(n * D, (n + 1) * D));
  const losses = Array.from(
    { length: N },
    (_, n) => stored(meanSquare(sample(output, n), sample(target, n))),
  );
  return results
    .set("sample losses", doubles([N], losses))
    .set("loss", doubles([1], [stored(meanSquare(output, target))]));
}

/** The reference's results in double: nothing is rounded between layers. */
export function exactResults(net: NetworkCase): Results {
  const { config, parameters, x, timesteps, target, options } = widened(net);
  const { output, tape } = unetForward(config, parameters, x, timesteps, options);
  const { dX, gradients } = unetBackward(tape, lossGradient(output, target));
  return withLosses(allResults({ output, dX, gradients }), widened(net), output);
}

/** The results of one run with random roundings. */
export function roundedResults(
  net: NetworkCase,
  rounding: RandomRounding,
  variants: Variants = defaultVariants("software"),
): Results {
  const { config, parameters, x, timesteps, target, options } = widened(net);
  const steps: TapeStep[] = [];
  const layers = new RoundedLayers(parameters, steps, rounding, variants);
  const output = runUnet(layers, config, x, timesteps, options ?? {});
  const stored = (gradient: Tensor): Tensor => ({
    ...gradient,
    data: gradient.data.map((v) => rounding.rounded(v)),
  });
  // A difference, and a factor that was rounded itself.
  const back = walkBack(steps, stored(stored(lossGradient(output, target))), stored);
  const dX = back.inputs.get(x) as Tensor;
  // Three roundings of each square, and those of its sums over elements and samples.
  const N = x.shape[0];
  const depth = 3 + lossDepth(variants.other, 1, output.data.length / N) + N;
  const results = allResults({ output, dX, gradients: back.parameters });
  return withLosses(results, widened(net), output, (loss) => rounding.shallowSum(depth, loss));
}

/**
 * σ of every result by name, from the mean squares of `runs` runs' distances from the exact results. An
 * element's own estimate can be too small by chance, so it is floored by its tensor's.
 */
export function spreadOf(
  exact: Results,
  runs: number,
  run: (seed: number) => Results,
): Map<string, Float64Array> {
  const squares = new Map([...exact].map(([k, r]) => [k, new Float64Array(r.data.length)]));
  for (let seed = 1; seed <= runs; seed++) {
    for (const [k, r] of run(seed)) {
      const sums = squares.get(k) as Float64Array, reference = exact.get(k) as Tensor;
      r.data.forEach((value, i) => sums[i] += (value - reference.data[i]) ** 2 / runs);
    }
  }
  return new Map([...squares].map(([k, sums]) => {
    const mean = sums.reduce((a, b) => a + b, 0) / sums.length;
    return [k, sums.map((s) => Math.sqrt(Math.max(s, mean)))];
  }));
}

/** What a step of a network should give, and how far from it the device may be. */
export interface Expected {
  readonly exact: Results;
  readonly spread: ReadonlyMap<string, Float64Array>;
}

/** The exact results of a case with the spread of the device's. */
export function expectedResults(
  net: NetworkCase,
  { variants = defaultVariants("software"), runs = RUNS }: { variants?: Variants; runs?: number } =
    {},
): Expected {
  const exact = exactResults(net);
  const run = (seed: number) => roundedResults(net, new RandomRounding(seed, U32), variants);
  return { exact, spread: spreadOf(exact, runs, run) };
}

/** Kinds of results whose worst errors are kept apart. A loss is one number and may be exact by chance. */
export function kindOf(name: string): string {
  return ["output", "loss", "sample losses"].includes(name) ? "output" : "gradients";
}

/** λ for as many values as there are: {@linkcode LAMBDA} is for less than a million. */
function lambdaFor(results: Results): number {
  const count = [...results.values()].reduce((n, { data }) => n + data.length, 0);
  return Math.max(LAMBDA, Math.sqrt(2 * Math.log(2 * count / 1e-6)));
}

/** Checks every result under its bound λ·σ, by name. */
export function checkResults(bound: Bound, found: Results, { exact, spread }: Expected): void {
  const lambda = lambdaFor(exact);
  for (const [name, { data }] of found) {
    const expected = exact.get(name) as Tensor, sigma = spread.get(name) as Float64Array;
    if (data.length !== expected.data.length) throw new RangeError(`Expected ${name} whole`);
    data.forEach((value, i) =>
      bound.check(value, expected.data[i], lambda * sigma[i], kindOf(name), `${name}[${i}]`)
    );
  }
}

/** The largest error in units of its bound, by name of the result. */
export function excess(found: Results, { exact, spread }: Expected): Map<string, number> {
  const lambda = lambdaFor(exact);
  return new Map([...found].map(([name, { data }]) => {
    const expected = exact.get(name) as Tensor, sigma = spread.get(name) as Float64Array;
    const ratios = Array.from(
      data,
      (value, i) => Math.abs(value - expected.data[i]) / (lambda * sigma[i]),
    );
    return [name, ratios.reduce((a, b) => Math.max(a, b), 0)];
  }));
}

/** A number as a result. */
export function scalar(value: number): Tensor {
  return tensor([1], [value]);
}
