/**
 * Training on the device: ten steps against the reference's trainer within λ·σ of runs with random
 * roundings, batches in parts, and runs that are saved and go on.
 */
import {
  assert,
  assertEquals,
  assertNotEquals,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { ArgumentError } from "../../src/math/errors.ts";
import { type Tensor, tensor } from "../../src/math/tensor.ts";
import { NonFiniteLossError } from "../../src/webgpu/errors.ts";
import type { OptimizerStep } from "../../src/webgpu/kernels/optimizer_step.ts";
import { GpuTrainer, type TrainingBatch, type TrainingState } from "../../src/webgpu/trainer.ts";
import { Bound } from "../support/bound.ts";
import { normals } from "../support/layers.ts";
import { RandomRounding } from "../support/random_rounding.ts";
import {
  stateName,
  trained,
  type TrainingCase,
  type TrainingResults,
  type TrainingStepCase,
} from "../support/rounded_training.ts";
import {
  checkResults,
  expectedResults,
  FORMULA,
  type NetworkCase,
  scalar,
  spreadOf,
} from "../support/webgpu_bounds.ts";
import { gpuTest } from "./gpu_test.ts";
import { ANY_STEP, NETWORKS, sizesOf, trainingBatch, trainingState } from "./networks.ts";
import { testGpu } from "./run_launch.ts";

const PARTS = ["parameters", "moment1", "moment2", "ema"] as const;
const RUNS = 5;

/** Step k of a run over a case's network, from 1: other images, times and dropout in every step. */
function stepOf(net: NetworkCase, k: number, optimizer: Partial<OptimizerStep>): TrainingStepCase {
  const { x, target, timesteps, options = {} } = net;
  const { dropout } = options;
  return {
    batch: {
      x: normals(20, k, x.shape),
      target: normals(21, k, target.shape),
      timesteps: timesteps.map((t) => (t + 97 * k) % 1000),
      options: dropout === undefined
        ? options
        : { ...options, dropout: { ...dropout, items: dropout.items.map((i) => i + 10 * k) } },
    },
    // The learning rate of the first steps of a warmup.
    optimizer: { ...ANY_STEP, step: k, lr: 1e-3 * k / 10, ...optimizer },
  };
}

function runOf(net: NetworkCase, steps: number, optimizer: Partial<OptimizerStep>): TrainingCase {
  const { config, parameters } = net;
  const numbers = Array.from({ length: steps }, (_, i) => i + 1);
  return { config, parameters, steps: numbers.map((k) => stepOf(net, k, optimizer)) };
}

function createTrainer(
  net: NetworkCase,
  state: TrainingState = trainingState(net.parameters),
): Promise<GpuTrainer> {
  return testGpu().then((gpu) => GpuTrainer.create(gpu, net.config, state, sizesOf(net)));
}

/** Takes steps of a run on a trainer, none of which waits for the one before. */
async function take(
  trainer: GpuTrainer,
  { config, parameters }: TrainingCase,
  steps: readonly TrainingStepCase[],
): Promise<Map<string, Tensor>> {
  const pending = steps.map(({ batch, optimizer }) =>
    trainer.step([trainingBatch({ ...batch, config, parameters })], optimizer)
  );
  const results = new Map<string, Tensor>();
  (await Promise.all(pending)).forEach(({ loss, gradientNorm }, i) => {
    const { step } = steps[i].optimizer;
    results.set(`loss of step ${step}`, scalar(loss));
    results.set(`norm of step ${step}`, scalar(gradientNorm));
  });
  return results;
}

/** A state by the names that `trained` gives it. */
function named(state: TrainingState): Map<string, Tensor> {
  return new Map(
    PARTS.flatMap((part) =>
      [...state[part]].map(([name, value]) => [stateName(part, name), value] as const)
    ),
  );
}

/** Results of one kind. */
function ofKind(results: TrainingResults, kind: string): TrainingResults {
  return new Map([...results].filter(([name]) => name.startsWith(kind)));
}

const [CLASSES, TIMES] = [...NETWORKS.values()];

for (
  const [title, net, optimizer] of [
    ["Adam, clipped, with dropout and classes", CLASSES, { decoupled: false, maxNorm: 0.5 }],
    ["AdamW, not clipped", TIMES, { decoupled: true, weightDecay: 0.1, maxNorm: null }],
    [
      "Adam with decay in the gradient",
      CLASSES,
      { decoupled: false, weightDecay: 0.02, maxNorm: 2, emaDecay: 0.5 },
    ],
  ] as const
) {
  gpuTest(`ten steps of ${title} are the reference's`, async () => {
    const run = runOf(net, 10, optimizer);
    const exact = trained(run, null);
    const spread = spreadOf(exact, RUNS, (seed) => trained(run, new RandomRounding(seed)));
    const trainer = await createTrainer(net);
    const found = new Map([
      ...await take(trainer, run, run.steps),
      ...named(await trainer.download()),
    ]);
    trainer.destroy();
    assertEquals([...found.keys()].sort(), [...exact.keys()].sort());
    for (const kind of ["loss", "norm", ...PARTS]) {
      const bound = new Bound(FORMULA);
      checkResults(bound, ofKind(found, kind), { exact, spread });
      bound.settle(`${title}: ${kind}`);
    }
  });
}

gpuTest("a state comes back as it was uploaded", async () => {
  const like = (seed: number) =>
    new Map(
      [...TIMES.parameters].map(([name, { shape }], k) => [name, normals(seed, k, shape)]),
    );
  const state = { parameters: like(1), moment1: like(2), moment2: like(3), ema: like(4) };
  const trainer = await createTrainer(TIMES, state);
  assertEquals(named(await trainer.download()), named(state));
  trainer.destroy();
});

/** A device that tells of its calls, the queue's among them. */
function watched(device: GPUDevice, onCall: (name: string, result: unknown) => void): GPUDevice {
  const watch = <T extends object>(object: T): T =>
    new Proxy(object, {
      get(target, key) {
        const value = Reflect.get(target, key, target);
        if (key === "queue") return watch(value as object);
        if (typeof value !== "function") return value;
        return (...args: unknown[]) => {
          const result = Reflect.apply(value, target, args);
          onCall(String(key), result);
          return result;
        };
      },
    });
  return watch(device);
}

gpuTest(
  "a state that is a function is asked for once, when the device has the shaders",
  async () => {
    const state = trainingState(TIMES.parameters);
    const calls: string[] = [];
    const gpu = await testGpu();
    const device = watched(gpu.device, (name) => calls.push(name));
    const create = () => {
      calls.push("asked");
      return state;
    };
    const trainer = await GpuTrainer.create(
      { ...gpu, device },
      TIMES.config,
      create,
      sizesOf(TIMES),
    );
    assertEquals(calls.filter((name) => name === "asked").length, 1);
    assert(calls.lastIndexOf("createComputePipeline") < calls.indexOf("submit"));
    assert(calls.indexOf("submit") < calls.indexOf("asked"));
    assertEquals(named(await trainer.download()), named(state));
    trainer.destroy();
  },
);

gpuTest("a state that cannot be had, or does not fit, leaves nothing allocated", async () => {
  const gpu = await testGpu();
  const wrong = { ...trainingState(TIMES.parameters), moment2: new Map() };
  for (
    const [ask, message] of [
      [() => wrong, "Expected a parameter conv_in.weight but got none"],
      [() => {
        throw new ArgumentError("no such file");
      }, "no such file"],
    ] as const
  ) {
    let buffers = 0;
    const device = watched(gpu.device, (name, result) => {
      if (name !== "createBuffer") return;
      buffers++;
      const buffer = result as GPUBuffer, destroy = buffer.destroy.bind(buffer);
      buffer.destroy = () => (buffers--, destroy());
    });
    await assertRejects(
      () => GpuTrainer.create({ ...gpu, device }, TIMES.config, ask, sizesOf(TIMES)),
      ArgumentError,
      message,
    );
    assertEquals(buffers, 0);
  }
});

gpuTest("two parts of a batch give the gradients of the whole", async () => {
  const part = CLASSES;
  const [N, ...rest] = part.x.shape;
  const { dropout } = part.options!;
  const whole: NetworkCase = {
    ...part,
    x: normals(30, 0, [2 * N, ...rest]),
    target: normals(30, 1, [2 * N, ...rest]),
    timesteps: [1, 30, 500, 900],
    options: { classLabels: [0, 4, 4, 2], dropout: { ...dropout!, items: [1, 2, 3, 4] } },
  };
  const half = (i: number): NetworkCase => {
    const images = (x: Tensor) => {
      const size = x.data.length / 2;
      return tensor([N, ...rest], x.data.slice(i * size, (i + 1) * size));
    };
    const items = <T>(values: readonly T[]): T[] => values.slice(i * N, (i + 1) * N);
    return {
      ...whole,
      x: images(whole.x),
      target: images(whole.target),
      timesteps: items(whole.timesteps),
      options: {
        classLabels: items(whole.options!.classLabels as number[]),
        dropout: { seed: dropout!.seed, items: items([1, 2, 3, 4]) },
      },
    };
  };
  const expected = expectedResults(whole);
  const gpu = await testGpu();
  const state = trainingState(part.parameters);
  const options = { ...sizesOf(part), accumulation: 2 };
  const trainer = await GpuTrainer.create(gpu, part.config, state, options);
  // A step before it: what it leaves in the gradients must not count.
  await trainer.step([trainingBatch(half(1)), trainingBatch(half(1))], ANY_STEP);
  trainer.upload(state);
  const parts = [trainingBatch(half(0)), trainingBatch(half(1))];
  const { loss, sampleLosses } = await trainer.step(parts, ANY_STEP);
  const found = new Map([
    ["loss", scalar(loss)],
    ["sample losses", tensor([2 * N], sampleLosses)],
    ...await trainer.gradients(),
  ]);
  const bound = new Bound(FORMULA);
  checkResults(bound, found, expected);
  bound.settle("two parts");

  // And of the same optimiser step.
  const single = await GpuTrainer.create(gpu, part.config, state, sizesOf(whole));
  const together = await single.step([trainingBatch(whole)], ANY_STEP);
  assertEquals(together.sampleLosses, sampleLosses);
  checkResults(
    new Bound(FORMULA),
    new Map([["loss", scalar(together.loss)], ...await single.gradients()]),
    expected,
  );
  trainer.destroy();
  single.destroy();
});

gpuTest("weights of samples weigh their losses", async () => {
  const trainer = await createTrainer(TIMES);
  const batch = trainingBatch(TIMES);
  const plain = await trainer.step([batch], ANY_STEP);
  trainer.upload(trainingState(TIMES.parameters));
  const only = await trainer.step([{ ...batch, weights: [0, 3, 0] }], ANY_STEP);
  trainer.destroy();
  assertEquals(
    only.sampleLosses,
    plain.sampleLosses,
    "each sample's own loss is without its weight",
  );
  // (1/3)·3·loss: rounded three times, the sum of zeros and it exact.
  const { sampleLosses: [, second] } = plain;
  assert(Math.abs(only.loss - second) <= 3 * 2 ** -24 * second, `${only.loss} and ${second}`);
});

gpuTest("a run that is saved and loaded goes on with the bits of one that is not", async () => {
  const run = runOf(CLASSES, 6, { maxNorm: 1 });
  const whole = await createTrainer(CLASSES);
  const early = await take(whole, run, run.steps.slice(0, 3));
  const saved = await whole.download();
  const late = await take(whole, run, run.steps.slice(3));
  const end = named(await whole.download());
  whole.destroy();

  const resumed = await createTrainer(CLASSES, saved);
  assertEquals(await take(resumed, run, run.steps.slice(3)), late);
  assertEquals(named(await resumed.download()), end);
  resumed.destroy();

  // The same seed twice: the same bits; another batch: others.
  const again = await createTrainer(CLASSES);
  assertEquals(await take(again, run, run.steps.slice(0, 3)), early);
  assertEquals(named(await again.download()), named(saved));
  const other = await take(again, run, [stepOf(CLASSES, 9, { step: 4 })]);
  assertNotEquals(other.get("loss of step 4"), late.get("loss of step 4"));
  again.destroy();
});

gpuTest(
  "a loss or gradient that is not finite spoils a trainer until it is given a state",
  async () => {
    const trainer = await createTrainer(TIMES);
    const clean = trainingBatch(TIMES);
    const step = (batch: TrainingBatch, number: number) =>
      trainer.step([batch], { ...ANY_STEP, step: number });
    const weighted = (weight: number) => ({ ...clean, weights: [weight, 1, 1] });
    const first = await step(clean, 1);
    for (
      const [bad, what, value] of [
        [
          { ...clean, target: { ...clean.target, data: clean.target.data.map(() => NaN) } },
          "loss",
          NaN,
        ],
        [weighted(Infinity), "loss", Infinity],
        // The loss is finite, squares of its gradient overflow.
        [weighted(2 ** 110), "gradient norm", Infinity],
      ] as const
    ) {
      trainer.upload(trainingState(TIMES.parameters));
      assertEquals(await step(clean, 1), first);
      // Submitted before anything is known of the step that fails.
      const failing = [step(bad, 2), step(clean, 3)], state = trainer.download();
      const errors = await Promise.all(
        [...failing, state].map((result) => assertRejects(() => result, NonFiniteLossError)),
      );
      const [error] = errors;
      assertEquals(errors, [error, error, error]);
      assertEquals(
        error.message,
        `Expected a finite ${what} at step 2 but got ${value}: try a lower learning rate, from a ` +
          "state before that step",
      );
      assertEquals(error.step, 2);
      assertEquals(what === "loss" ? error.loss : error.gradientNorm, value);
      // And after.
      assertStrictEquals(await assertRejects(() => step(clean, 4)), error);
      assertStrictEquals(await assertRejects(() => trainer.download()), error);
    }
    // Results of a spoilt run that come late do not spoil the next one.
    trainer.upload(trainingState(TIMES.parameters));
    const late = assertRejects(() => step(weighted(Infinity), 2), NonFiniteLossError);
    trainer.upload(trainingState(TIMES.parameters));
    assertEquals(await step(clean, 1), first);
    await late;
    await trainer.download();
    trainer.destroy();
  },
);
