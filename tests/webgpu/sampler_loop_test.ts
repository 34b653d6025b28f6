/**
 * Sampling loops on the device against the reference's with the same noise, within λ·σ of loops whose
 * roundings are random: those of the network (`rounded_layers.ts`) and those of the step.
 *
 * A step computes x̂_0 = a·x + b·output, clamped, and c·x̂_0 + d·x + e·output + σ·z with rounded
 * coefficients: three roundings of each of the first two products (coefficient, product, sum), three
 * more on x̂_0's way into the sum and at most five on that of the others; σ may be an exponential.
 */
import { assertEquals, assertRejects } from "@std/assert";
import { type Tensor, tensor } from "../../src/math/tensor.ts";
import { createSchedule, type Schedule } from "../../src/reference/schedule.ts";
import { type DdimOptions, ddimStep } from "../../src/reference/ddim.ts";
import { type DdpmOptions, ddpmStep } from "../../src/reference/ddpm.ts";
import { type Model, sampleDdim, sampleDdpm } from "../../src/reference/sample.ts";
import { runUnet, unet } from "../../src/reference/unet.ts";
import { DDPM_SCHEDULE } from "../../src/spec/schedule_config.ts";
import { type UNetConfig, unetConfig } from "../../src/spec/unet_config.ts";
import { GpuSampler, samplerTimes } from "../../src/webgpu/sampler.ts";
import {
  ROW,
  ROW_SIZE,
  type SamplerRowOptions,
  samplerRows,
} from "../../src/webgpu/sampler_rows.ts";
import { GpuTrainer } from "../../src/webgpu/trainer.ts";
import { defaultVariants } from "../../src/webgpu/variants.ts";
import { Bound } from "../support/bound.ts";
import { allInDouble, inDouble } from "../support/doubles.ts";
import { normals } from "../support/layers.ts";
import { RandomRounding } from "../support/random_rounding.ts";
import { RoundedLayers } from "../support/rounded_layers.ts";
import { checkResults, FORMULA, spreadOf } from "../support/webgpu_bounds.ts";
import { gpuTest } from "./gpu_test.ts";
import { liveParameters } from "./networks.ts";
import { testGpu } from "./run_launch.ts";

const SHAPE = [2, 2, 6, 4] as const;
const CLASSES = [2, 0];
const RUNS = 8;

function network(outChannels: number): UNetConfig {
  return unetConfig({
    ...{ inChannels: 2, outChannels, layersPerBlock: 1, normNumGroups: 4, numClassEmbeds: 3 },
    downBlockTypes: ["DownBlock2D", "AttnDownBlock2D"],
    upBlockTypes: ["AttnUpBlock2D", "UpBlock2D"],
    blockOutChannels: [8, 8],
  });
}

/** Six of a thousand times, unevenly spaced. */
const SCHEDULE: Schedule = createSchedule({
  ...DDPM_SCHEDULE,
  keep: [1, 60, 200, 420, 777, 1000],
});
const X_T = normals(7, 0, [...SHAPE]);

/** z of the step that starts at time t. */
function noiseAt(t: number): Tensor {
  return normals(7, t, [...SHAPE]);
}

const LOOPS: Record<string, SamplerRowOptions> = {
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

/** The reference's sample from a model. */
function referenceSample(steps: SamplerRowOptions, model: Model): Promise<Tensor> {
  const loop = steps.kind === "ddpm" ? sampleDdpm : sampleDdim;
  return loop(SCHEDULE, model, X_T, noiseAt, referenceOptions(steps));
}

/** The sample of a loop with random roundings in the network and in every step. */
function roundedSample(
  config: UNetConfig,
  steps: SamplerRowOptions,
  rounding: RandomRounding,
): Tensor {
  const parameters = allInDouble(liveParameters(config, 5));
  const variants = defaultVariants("software");
  const rows = samplerRows(samplerTimes(SCHEDULE).levels, steps);
  const options = referenceOptions(steps);
  const { timesteps } = SCHEDULE;
  const D = X_T.data.length / SHAPE[0];
  let x = inDouble(X_T);
  for (let k = timesteps.length - 1; k >= 0; k--) {
    const t = timesteps[k], z = noiseAt(t);
    const layers = new RoundedLayers(parameters, [], rounding, variants);
    const output = runUnet(layers, config, x, [t - 1, t - 1], { classLabels: CLASSES });
    const next = steps.kind === "ddpm"
      ? ddpmStep(SCHEDULE, t, x, output, z, options)
      : ddimStep(SCHEDULE, t, timesteps[k - 1] ?? 0, x, output, z, options);
    const row = rows.subarray((timesteps.length - 1 - k) * ROW_SIZE);
    const number = (name: keyof typeof ROW): number => row[ROW[name]];
    const channels = output.data.length / SHAPE[0];
    x = inDouble({
      ...x,
      data: next.x.data.map((value, i) => {
        // The mean part of a sample's output comes first.
        const predicted = output.data[Math.floor(i / D) * channels + i % D];
        const fromX = number("x0FromX") * x.data[i],
          fromOutput = number("x0FromOutput") * predicted;
        const x0 = Math.min(Math.abs(fromX + fromOutput), number("clipRange"));
        // What is clamped has lost its error.
        const read = x0 < number("clipRange") ? Math.abs(fromX) + Math.abs(fromOutput) : 0;
        const terms = 3 * Math.abs(number("fromX0")) * (read + x0) +
          5 * Math.abs(number("fromX") * x.data[i]) +
          5 * Math.abs(number("fromOutput") * predicted) +
          (k > 0 ? 10 * Math.abs(number("sigma") * z.data[i]) : 0);
        return value + rounding.error(terms);
      }),
    });
  }
  return x;
}

for (const [title, steps] of Object.entries(LOOPS)) {
  gpuTest(`samples of ${title}`, async () => {
    const learned = steps.kind === "ddpm" && steps.variance === "learnedRange";
    const config = network(learned ? 4 : 2);
    const parameters = liveParameters(config, 5);
    const wide = allInDouble(parameters);
    const model: Model = (x, t) =>
      unet(config, wide, inDouble(x), [t - 1, t - 1], { classLabels: CLASSES });
    const exact = new Map([["output", await referenceSample(steps, model)]]);
    const spread = spreadOf(
      exact,
      RUNS,
      (seed) => new Map([["output", roundedSample(config, steps, new RandomRounding(seed))]]),
    );

    const sampler = await GpuSampler.create(await testGpu(), config, parameters, {
      ...{ batch: SHAPE[0], height: SHAPE[2], width: SHAPE[3], steps },
      times: samplerTimes(SCHEDULE),
    });
    const sample = await sampler.sample({ xT: X_T, noiseAt, classes: CLASSES });
    sampler.destroy();
    assertEquals(sample.shape, [...SHAPE]);
    const bound = new Bound(FORMULA);
    checkResults(bound, new Map([["output", sample]]), { exact, spread });
    bound.settle(title);
  });
}

gpuTest(
  "noise is asked for once per step but the last, and steps are told as they are submitted",
  async () => {
    const config = network(2);
    const times = samplerTimes(SCHEDULE);
    const common = { batch: SHAPE[0], height: SHAPE[2], width: SHAPE[3], times };
    const parameters = liveParameters(config, 5);
    for (
      const [title, expected] of [
        ["DDPM, ε, σ² = β", [1000, 777, 420, 200, 60]],
        ["DDIM, ε, η = 0, ε̂ derived again", []],
      ] as const
    ) {
      const steps = LOOPS[title];
      const sampler = await GpuSampler.create(await testGpu(), config, parameters, {
        ...common,
        steps,
      });
      const asked: number[] = [], told: string[] = [];
      const run = (onStep?: (step: number) => void) =>
        sampler.sample({
          ...{ xT: X_T, classes: CLASSES },
          noiseAt: (t) => (asked.push(t), noiseAt(t)),
          onStep: ({ step, steps }) => (told.push(`${step}/${steps}`), onStep?.(step)),
          signal: abort.signal,
        });
      const abort = new AbortController();
      await run();
      assertEquals(asked, [...expected]);
      assertEquals(told, ["1/6", "2/6", "3/6", "4/6", "5/6", "6/6"]);
      told.length = 0;
      const reason = new Error("enough");
      await assertRejects(() => run((step) => step === 2 && abort.abort(reason)), Error, "enough");
      assertEquals(told, ["1/6", "2/6"]);
      sampler.destroy();
    }
  },
);

gpuTest(
  "a sampler can be used again, and takes a trainer's weights from the device",
  async () => {
    const config = network(2);
    const gpu = await testGpu();
    const times = samplerTimes(SCHEDULE);
    const options = {
      ...{ batch: SHAPE[0], height: SHAPE[2], width: SHAPE[3], times },
      steps: LOOPS["DDIM, ε, η = 0, ε̂ derived again"],
    };
    const request = { xT: X_T, noiseAt, classes: CLASSES };
    const weights = liveParameters(config, 5);
    const zeros = new Map([...weights].map(([name, { shape }]) => [name, tensor(shape)]));
    const owner = await GpuSampler.create(gpu, config, weights, options);
    const trainer = await GpuTrainer.create(
      gpu,
      config,
      { parameters: weights, moment1: zeros, moment2: zeros, ema: weights },
      options,
    );
    const shared = trainer.executor.buffers.ema as GPUBuffer;
    const borrower = await GpuSampler.create(gpu, config, shared, options);
    const first = await owner.sample(request);
    assertEquals((await owner.sample(request)).data, first.data);
    assertEquals((await borrower.sample(request)).data, first.data);
    assertEquals(borrower.planned.plan.sizes.staging, 0);
    borrower.destroy();
    assertEquals((await owner.sample(request)).data, first.data);
    owner.destroy();
    trainer.destroy();
  },
);
