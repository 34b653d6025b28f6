/**
 * Sampling loops on the device against the reference's with the same noise, guided or not, within λ·σ of
 * loops whose roundings are random (`sampling_cases.ts`); every state that a run shows on its way.
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { ArgumentError } from "../../src/math/errors.ts";
import { tensor } from "../../src/math/tensor.ts";
import { unetConfig } from "../../src/spec/unet_config.ts";
import { GpuSampler, type SampleRequest, type SamplerFrame } from "../../src/webgpu/sampler.ts";
import { GpuTrainer } from "../../src/webgpu/trainer.ts";
import { Bound } from "../support/bound.ts";
import { checkResults, FORMULA } from "../support/webgpu_bounds.ts";
import { gpuTest } from "./gpu_test.ts";
import { liveParameters } from "./networks.ts";
import { testGpu } from "./run_launch.ts";
import {
  CLASSES,
  expectedStates,
  type LoopCase,
  LOOPS,
  named,
  network,
  noiseAt,
  samplerOptions,
  SCHEDULE,
  X_T,
} from "./sampling_cases.ts";

const REQUEST: SampleRequest = { xT: X_T, noiseAt, classes: CLASSES };

/** A sampler for a case. */
async function samplerOf(loop: LoopCase, frames = false): Promise<GpuSampler> {
  const { config } = loop;
  const options = { ...samplerOptions(loop), frames };
  return await GpuSampler.create(await testGpu(), config, liveParameters(config, 5), options);
}

const CASES: Record<string, LoopCase> = {
  ...Object.fromEntries(
    Object.entries(LOOPS).map(([title, steps]) => {
      const learned = steps.kind === "ddpm" && steps.variance === "learnedRange";
      return [title, { config: network(learned ? 4 : 2), steps }];
    }),
  ),
  "DDIM, guided": {
    config: network(2),
    steps: LOOPS["DDIM, ε, η = 0, ε̂ derived again"],
    guidance: { scale: 2.5, rescale: 0 },
  },
  "DDPM with a learned range, guided and rescaled": {
    config: network(4),
    steps: LOOPS["DDPM, x_0, learned range"],
    guidance: { scale: 3, rescale: 0.75 },
  },
};

for (const [title, loop] of Object.entries(CASES)) {
  gpuTest(`every state of ${title}`, async () => {
    const expected = await expectedStates(loop);
    const frames: SamplerFrame[] = [];
    const sampler = await samplerOf(loop, true);
    const onFrame = (frame: SamplerFrame) => void frames.push(frame);
    const sample = await sampler.sample({ ...REQUEST, frames: { every: 1, onFrame } });
    sampler.destroy();
    assertEquals(frames.map(({ t }) => t), [...SCHEDULE.timesteps].reverse());
    assertEquals(frames.at(-1)?.x, sample);
    const found = new Map(frames.flatMap((frame) => named(frame.step, frame)));
    assertEquals([...found.keys()], [...expected.exact.keys()]);
    for (const kind of ["x after", "x0 of"]) {
      const bound = new Bound(FORMULA);
      checkResults(bound, new Map([...found].filter(([name]) => name.startsWith(kind))), expected);
      bound.settle(`${title}: ${kind}`);
    }
  });
}

gpuTest("frames come every so many steps and after the last, and change no bit", async () => {
  const [loop] = Object.values(CASES);
  const sampler = await samplerOf(loop, true), plain = await samplerOf(loop);
  const sample = await plain.sample(REQUEST);
  for (const [every, expected] of [[4, [4, 6]], [3, [3, 6]], [9, [6]]] as const) {
    const steps: number[] = [];
    const frames = { every, onFrame: ({ step }: SamplerFrame) => void steps.push(step) };
    assertEquals(await sampler.sample({ ...REQUEST, frames }), sample);
    assertEquals(steps, [...expected]);
  }
  assertEquals(plain.planned.x0, null);
  const frames = { every: 1, onFrame: () => {} };
  const without = await assertRejects(() => plain.sample({ ...REQUEST, frames }), ArgumentError);
  assertEquals(without.message, "Expected a sampler made with frames but got one without");
  const never = { ...frames, every: 0 };
  const none = await assertRejects(
    () => sampler.sample({ ...REQUEST, frames: never }),
    ArgumentError,
  );
  assertEquals(none.message, "Expected every in 1..2^53 - 1 but got 0");
  sampler.destroy();
  plain.destroy();
});

gpuTest("guidance of scale 1 is none", async () => {
  const { guidance: _, ...plain } = CASES["DDIM, guided"];
  const one = await samplerOf({ ...plain, guidance: { scale: 1, rescale: 0 } });
  const none = await samplerOf(plain);
  assertEquals(await one.sample(REQUEST), await none.sample(REQUEST));
  assertEquals(one.planned.plan.launches.length, none.planned.plan.launches.length);
  one.destroy();
  none.destroy();
});

gpuTest("a step is one submission, guided or not", async () => {
  const { queue } = (await testGpu()).device;
  for (const title of ["DDIM, ε, η = 0, ε̂ derived again", "DDIM, guided"]) {
    const sampler = await samplerOf(CASES[title]);
    let submissions = 0;
    queue.submit = (buffers) => (submissions++, GPUQueue.prototype.submit.call(queue, buffers));
    try {
      await sampler.sample(REQUEST);
    } finally {
      delete (queue as Partial<GPUQueue>).submit;
    }
    sampler.destroy();
    // And one that reads the result.
    assertEquals(submissions, SCHEDULE.timesteps.length + 1, title);
  }
});

gpuTest("guidance that does not fit the network or the classes is refused", async () => {
  const { config, steps } = CASES["DDIM, guided"];
  const parameters = liveParameters(config, 5), gpu = await testGpu();
  const guided = (guidance: { scale?: number; rescale?: number; nullClass?: number }) => ({
    ...samplerOptions({ config, steps }),
    guidance: { scale: 2, rescale: 0, nullClass: 1, ...guidance },
  });
  const without = unetConfig({ ...config, numClassEmbeds: null });
  for (
    const [given, guidance, message] of [
      [config, { scale: NaN }, "Expected a finite number for guidance scale but got NaN"],
      [config, { rescale: 1.5 }, "Expected a guidance rescale in 0..1 but got 1.5"],
      [config, { nullClass: 3 }, "Expected nullClass in 0..2 but got 3"],
      [without, {}, "Expected a config with class labels for guidance but got one without"],
    ] as const
  ) {
    const create = () => GpuSampler.create(gpu, given, parameters, guided(guidance));
    const error = await assertRejects(create, ArgumentError);
    assertEquals(error.message, message);
  }
  const sampler = await GpuSampler.create(gpu, config, parameters, guided({}));
  for (const classes of [undefined, [0], tensor([2, 32])]) {
    const run = () => sampler.sample({ ...REQUEST, classes });
    const error = await assertRejects(run, ArgumentError);
    assert(error.message.startsWith("Expected 2 class labels for guidance but got"), error.message);
  }
  sampler.destroy();
});

gpuTest(
  "noise is asked for once per step but the last, and steps are told as they are submitted",
  async () => {
    for (
      const [title, expected] of [
        ["DDPM, ε, σ² = β", [1000, 777, 420, 200, 60]],
        ["DDIM, ε, η = 0, ε̂ derived again", []],
      ] as const
    ) {
      const sampler = await samplerOf(CASES[title]);
      const asked: number[] = [], told: string[] = [];
      const run = (onStep?: (step: number) => void) =>
        sampler.sample({
          ...REQUEST,
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
    const options = samplerOptions({ config, steps: LOOPS["DDIM, ε, η = 0, ε̂ derived again"] });
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
    const first = await owner.sample(REQUEST);
    assertEquals((await owner.sample(REQUEST)).data, first.data);
    assertEquals((await borrower.sample(REQUEST)).data, first.data);
    assertEquals(borrower.planned.plan.sizes.staging, 0);
    borrower.destroy();
    assertEquals((await owner.sample(REQUEST)).data, first.data);
    owner.destroy();
    trainer.destroy();
  },
);
