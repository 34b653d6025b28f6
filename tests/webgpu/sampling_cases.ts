/**
 * Sampling loops that tests run on the device: a small network with classes, six steps of every kind, and
 * what they give in double, exactly or with random roundings.
 *
 * A step computes x̂_0 = a·x + b·output, clamped, and c·x̂_0 + d·x + e·output + σ·z with rounded
 * coefficients: three roundings of each of the first two products (coefficient, product, sum), three
 * more on x̂_0's way into the sum and at most five on that of the others; σ may be an exponential. The
 * reference's x̂_0 is stored once as well.
 *
 * @module
 */
import type { Tensor } from "../../src/math/tensor.ts";
import { type DdimOptions, ddimStep } from "../../src/reference/ddim.ts";
import { type DdpmOptions, ddpmStep, type StepResult } from "../../src/reference/ddpm.ts";
import { type Model, sampleDdim, sampleDdpm, type StepEvent } from "../../src/reference/sample.ts";
import { createSchedule, type Schedule } from "../../src/reference/schedule.ts";
import { runUnet, unet } from "../../src/reference/unet.ts";
import { DDPM_SCHEDULE } from "../../src/spec/schedule_config.ts";
import { type UNetConfig, unetConfig } from "../../src/spec/unet_config.ts";
import type { GuidanceOptions } from "../../src/webgpu/kernels/guidance.ts";
import { type GpuSamplerOptions, samplerTimes } from "../../src/webgpu/sampler.ts";
import {
  ROW,
  ROW_SIZE,
  type SamplerRowOptions,
  samplerRows,
} from "../../src/webgpu/sampler_rows.ts";
import { defaultVariants } from "../../src/webgpu/variants.ts";
import { allInDouble, inDouble } from "../support/doubles.ts";
import { normals } from "../support/layers.ts";
import { RandomRounding } from "../support/random_rounding.ts";
import { RoundedLayers } from "../support/rounded_layers.ts";
import { type Expected, type Results, spreadOf } from "../support/webgpu_bounds.ts";
import { liveParameters } from "./networks.ts";
import { DIVISION, SQRT } from "./wgsl_accuracy.ts";

/** Shape of the samples. */
export const SHAPE = [2, 2, 6, 4] as const;
/** Their classes, of 0..2. */
export const CLASSES: readonly number[] = [2, 0];
/** Label that stands for no class. */
export const NULL_CLASS = 1;
const RUNS = 8;

/** The network, with twice the output channels for a learned variance. */
export function network(outChannels: number): UNetConfig {
  return unetConfig({
    ...{ inChannels: 2, outChannels, layersPerBlock: 1, normNumGroups: 4, numClassEmbeds: 3 },
    downBlockTypes: ["DownBlock2D", "AttnDownBlock2D"],
    upBlockTypes: ["AttnUpBlock2D", "UpBlock2D"],
    blockOutChannels: [8, 8],
  });
}

/** Six of a thousand times, unevenly spaced. */
export const SCHEDULE: Schedule = createSchedule({
  ...DDPM_SCHEDULE,
  keep: [1, 60, 200, 420, 777, 1000],
});
/** Where the loops start. */
export const X_T: Tensor = normals(7, 0, [...SHAPE]);

/** z of the step that starts at time t. */
export function noiseAt(t: number): Tensor {
  return normals(7, t, [...SHAPE]);
}

/** Kinds of steps by title. */
export const LOOPS: Record<string, SamplerRowOptions> = {
  "DDPM, ε, σ² = β": {
    kind: "ddpm",
    prediction: "epsilon",
    variance: "beta",
    clipRange: 1,
  },
  "DDPM, v, σ² = β̃, not clipped": {
    kind: "ddpm",
    prediction: "v",
    variance: "betaTilde",
    clipRange: null,
  },
  "DDPM, x_0, learned range": {
    kind: "ddpm",
    prediction: "x0",
    variance: "learnedRange",
    clipRange: 2,
  },
  "DDIM, ε, η = 0, ε̂ derived again": {
    kind: "ddim",
    prediction: "epsilon",
    eta: 0,
    clipRange: 1,
    rederiveEpsilon: true,
  },
  "DDIM, x_0, η = 0.5": {
    kind: "ddim",
    prediction: "x0",
    eta: 0.5,
    clipRange: 1,
    rederiveEpsilon: false,
  },
  "DDIM, v, η = 0.5, not clipped": {
    kind: "ddim",
    prediction: "v",
    eta: 0.5,
    clipRange: null,
    rederiveEpsilon: false,
  },
};

/** A loop's options as the reference has them. */
function referenceOptions(
  { kind: _, clipRange, ...options }: SamplerRowOptions,
): DdpmOptions & DdimOptions {
  const clip = clipRange === null ? null : { kind: "static", range: clipRange } as const;
  return { ...options, clip } as DdpmOptions & DdimOptions;
}

/** What a loop is run with beside its steps. */
export interface LoopCase {
  readonly config: UNetConfig;
  readonly steps: SamplerRowOptions;
  readonly guidance?: GuidanceOptions;
}

/** Options of a sampler for a case. */
export function samplerOptions({ steps, guidance }: LoopCase): GpuSamplerOptions {
  return {
    ...{ batch: SHAPE[0], height: SHAPE[2], width: SHAPE[3], steps },
    times: samplerTimes(SCHEDULE),
    guidance: guidance && { ...guidance, nullClass: NULL_CLASS },
  };
}

/** What is compared of a state of a loop. */
export const named = (step: number, { x, x0 }: StepResult): readonly [string, Tensor][] => [
  [`x after step ${step}`, x],
  [`x0 of step ${step}`, x0],
];

/** Computes what the step is given from the network's output for some classes. */
type Guide = (outputOf: (classes: readonly number[]) => Tensor) => Tensor;

/** u + s·(c − u), and its share φ brought to the standard deviation of c: of the channels that x has. */
function guide({ scale, rescale }: GuidanceOptions, rounding: RandomRounding): Guide {
  const [N, C, H, W] = SHAPE, D = C * H * W;
  const deviation = (values: readonly number[]): number => {
    const sum = (terms: readonly number[], perTerm: number): number =>
      rounding.sum(
        terms.length,
        terms.reduce((a, b) => a + b, 0),
        terms.reduce((a, b) => a + b * b, 0),
        perTerm,
      );
    // The factor 1/D is rounded, and so is its product; a difference, and its square.
    const mean = rounding.rounded(sum(values, 0) / D, 2);
    const differences = values.map((v) => rounding.rounded(v - mean));
    return Math.sqrt(sum(differences.map((d) => d * d), 1));
  };
  return (outputOf) => {
    const c = outputOf(CLASSES), u = outputOf(CLASSES.map(() => NULL_CLASS));
    const output = inDouble(c), own = c.data.length / N;
    for (let n = 0; n < N; n++) {
      const sample = ({ data }: Tensor) => [...data.subarray(n * own, n * own + D)];
      const conditional = sample(c);
      const g = sample(u).map((value, i) => {
        const step = rounding.rounded(scale * (conditional[i] - value), 2);
        return rounding.rounded(value + step);
      });
      const ratio = rescale === 0 ? 1 : deviation(conditional) / deviation(g);
      // A quotient's root; its product with φ, what is kept of g, and their sum.
      const built = rounding.builtin(ratio, DIVISION / 2 + SQRT);
      const factor = rescale === 0
        ? 1
        : rounding.rounded(rounding.rounded(rescale * built) + 1 - rescale);
      g.forEach((value, i) => output.data[n * own + i] = rounding.rounded(factor * value));
    }
    return output;
  };
}

function guideOf({ guidance }: LoopCase, rounding: RandomRounding): Guide {
  return guidance === undefined ? (outputOf) => outputOf(CLASSES) : guide(guidance, rounding);
}

/** Every state of the reference's loop, its network in double. */
async function exactStates(loop: LoopCase): Promise<Map<string, Tensor>> {
  const { config, steps } = loop;
  const parameters = allInDouble(liveParameters(config, 5));
  const guided = guideOf(loop, new RandomRounding(0, 0));
  const model: Model = (x, t) =>
    guided((classLabels) => unet(config, parameters, inDouble(x), [t - 1, t - 1], { classLabels }));
  const states = new Map<string, Tensor>();
  const onStep = (event: StepEvent) => {
    for (const [name, value] of named(event.step, event)) states.set(name, value);
  };
  const sample = steps.kind === "ddpm" ? sampleDdpm : sampleDdim;
  await sample(SCHEDULE, model, X_T, noiseAt, { ...referenceOptions(steps), onStep });
  return states;
}

/** Every state of a loop with random roundings in the network and in every step. */
function roundedStates(loop: LoopCase, rounding: RandomRounding): Map<string, Tensor> {
  const { config, steps } = loop;
  const parameters = allInDouble(liveParameters(config, 5));
  const variants = defaultVariants("software");
  const guided = guideOf(loop, rounding);
  const rows = samplerRows(samplerTimes(SCHEDULE).levels, steps);
  const options = referenceOptions(steps);
  const { timesteps } = SCHEDULE;
  const D = X_T.data.length / SHAPE[0];
  const states = new Map<string, Tensor>();
  let x = inDouble(X_T);
  for (let k = timesteps.length - 1; k >= 0; k--) {
    const t = timesteps[k], z = noiseAt(t), before = x;
    const output = guided((classLabels) => {
      const layers = new RoundedLayers(parameters, [], rounding, variants);
      return runUnet(layers, config, before, [t - 1, t - 1], { classLabels });
    });
    const next = steps.kind === "ddpm"
      ? ddpmStep(SCHEDULE, t, x, output, z, options)
      : ddimStep(SCHEDULE, t, timesteps[k - 1] ?? 0, x, output, z, options);
    const row = rows.subarray((timesteps.length - 1 - k) * ROW_SIZE);
    const number = (name: keyof typeof ROW): number => row[ROW[name]];
    const channels = output.data.length / SHAPE[0];
    const x0 = inDouble(next.x0);
    x = inDouble({
      ...x,
      data: next.x.data.map((value, i) => {
        // The mean part of a sample's output comes first.
        const predicted = output.data[Math.floor(i / D) * channels + i % D];
        const fromX = number("x0FromX") * before.data[i],
          fromOutput = number("x0FromOutput") * predicted;
        const size = Math.min(Math.abs(fromX + fromOutput), number("clipRange"));
        // What is clamped has lost its error.
        const read = size < number("clipRange") ? Math.abs(fromX) + Math.abs(fromOutput) : 0;
        x0.data[i] += rounding.error(4 * read);
        const terms = 3 * Math.abs(number("fromX0")) * (read + size) +
          5 * Math.abs(number("fromX") * before.data[i]) +
          5 * Math.abs(number("fromOutput") * predicted) +
          (k > 0 ? 10 * Math.abs(number("sigma") * z.data[i]) : 0);
        return value + rounding.error(terms);
      }),
    });
    for (const [name, value] of named(timesteps.length - k, { x, x0 })) states.set(name, value);
  }
  return states;
}

/** Every state of a loop, with the spread of the device's. */
export async function expectedStates(loop: LoopCase): Promise<Expected> {
  const exact: Results = await exactStates(loop);
  const run = (seed: number) => roundedStates(loop, new RandomRounding(seed));
  return { exact, spread: spreadOf(exact, RUNS, run) };
}
