/**
 * How far the device's float32 arithmetic can carry a deterministic DDIM loop over a whole network: σ
 * of x_0 from runs with random roundings, as in `webgpu_bounds.ts`, of the network and of the steps.
 *
 * @module
 */
import { U32 } from "../../src/math/float32.ts";
import type { Tensor } from "../../src/math/tensor.ts";
import { sampleDdim } from "../../src/reference/sample.ts";
import type { Schedule } from "../../src/reference/schedule.ts";
import { runUnet, unet } from "../../src/reference/unet.ts";
import type { UNetConfig } from "../../src/spec/unet_config.ts";
import type { Parameters } from "../../src/spec/unet_parameters.ts";
import type { Variants } from "../../src/webgpu/variants.ts";
import { allInDouble, inDouble } from "./doubles.ts";
import { RandomRounding } from "./random_rounding.ts";
import { RoundedLayers } from "./rounded_layers.ts";
import { type Expected, spreadOf } from "./webgpu_bounds.ts";

/** Runs from which σ is estimated. */
const RUNS = 8;

/** A loop with η = 0, a prediction of ε and no clipping, and everything that it is run on. */
export interface LoopCase {
  readonly config: UNetConfig;
  readonly parameters: Parameters;
  readonly schedule: Schedule;
  readonly xT: Tensor;
}

/** The network's time t − 1 for every sample. */
function timesOf({ shape: [N] }: Tensor, t: number): number[] {
  return new Array(N).fill(t - 1);
}

/**
 * One run with random roundings. x_prev = √ᾱ_prev·x̂_0 + √(1−ᾱ_prev)·ε̂ with x̂_0 = (x_t − √(1−ᾱ_t)·ε̂)/√ᾱ_t:
 * every product has a coefficient that was rounded and is rounded itself, and the reference stores x_prev
 * in float32 as well.
 */
function roundedLoop(net: LoopCase, rounding: RandomRounding, variants: Variants): Tensor {
  const { config, schedule } = net;
  const { timesteps, alphaBar, oneMinusAlphaBar } = schedule;
  const parameters = allInDouble(net.parameters);
  const sum = (a: number, b: number) => rounding.sum(2, a + b, a * a + b * b, 2);
  let x = inDouble(net.xT);
  for (let k = timesteps.length - 1; k >= 0; k--) {
    const layers = new RoundedLayers(parameters, [], rounding, variants);
    const epsHat = runUnet(layers, config, x, timesOf(x, timesteps[k]), {});
    const signal = Math.sqrt(alphaBar[k]), noise = Math.sqrt(oneMinusAlphaBar[k]);
    const forward = k === 0 ? 1 : Math.sqrt(alphaBar[k - 1]);
    const direction = k === 0 ? 0 : Math.sqrt(oneMinusAlphaBar[k - 1]);
    const data = x.data.map((value, i) => {
      const x0 = sum(value / signal, -noise / signal * epsHat.data[i]);
      return rounding.rounded(sum(forward * x0, direction * epsHat.data[i]));
    });
    x = { shape: x.shape, data };
  }
  return x;
}

/** The reference's x_0, its network in double, with the spread of the device's. */
export async function expectedSample(
  net: LoopCase,
  variants: Variants,
  runs = RUNS,
): Promise<Expected> {
  const { config, schedule, xT } = net;
  const parameters = allInDouble(net.parameters);
  const model = (x: Tensor, t: number) => unet(config, parameters, inDouble(x), timesOf(x, t));
  const options = { eta: 0, clip: null, rederiveEpsilon: false };
  const exact = new Map([["x0", await sampleDdim(schedule, model, xT, () => xT, options)]]);
  const run = (seed: number) =>
    new Map([["x0", roundedLoop(net, new RandomRounding(seed, U32), variants)]]);
  return { exact, spread: spreadOf(exact, runs, run) };
}
