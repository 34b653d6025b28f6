/**
 * What a network's output should be, and how far float32 can be from it: as in `webgpu_bounds.ts`, without the
 * way back.
 *
 * @module
 */
import { U32 } from "../../src/math/float32.ts";
import type { Tensor } from "../../src/math/tensor.ts";
import { runUnet } from "../../src/reference/unet.ts";
import { Layers } from "../../src/reference/unet_layers.ts";
import { defaultVariants, type Variants } from "../../src/webgpu/variants.ts";
import { allInDouble, inDouble } from "../support/doubles.ts";
import { RandomRounding } from "../support/random_rounding.ts";
import { RoundedLayers } from "../support/rounded_layers.ts";
import { type NetworkCase, spreadOf } from "../support/webgpu_bounds.ts";

/** The reference's output in double, and σ of every element of it in float32. */
export interface ExpectedOutput {
  readonly exact: Tensor;
  readonly sigma: Float64Array;
}

/** How σ is estimated. */
export interface SpreadOptions {
  /** From how many runs with random roundings. */
  readonly runs: number;
  /** Of which kernels. */
  readonly variants?: Variants;
  /** Called before every run: 0 is the exact one. */
  readonly onRun?: (run: number) => void;
}

/** The output of a network without dropout. Class labels are numbers. */
export function expectedOutput(
  { config, parameters, x, timesteps, options = {} }: Omit<NetworkCase, "target">,
  { runs, variants = defaultVariants("software"), onRun = () => {} }: SpreadOptions,
): ExpectedOutput {
  const wide = allInDouble(parameters), wideX = inDouble(x);
  const output = (layers: Layers) =>
    new Map([["output", runUnet(layers, config, wideX, timesteps, options)]]);
  onRun(0);
  const exact = output(new Layers(wide, []));
  const spread = spreadOf(exact, runs, (seed) => {
    onRun(seed);
    return output(new RoundedLayers(wide, [], new RandomRounding(seed, U32), variants));
  });
  return {
    exact: exact.get("output") as Tensor,
    sigma: spread.get("output") as Float64Array,
  };
}
