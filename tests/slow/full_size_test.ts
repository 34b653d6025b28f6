/**
 * The 35.7-million-parameter CIFAR-10 model on the device against the reference in double, and five
 * training steps of a mid-size net. The reference takes minutes; `deno task test:slow` runs it.
 */
import { assert, assertEquals } from "@std/assert";
import type { Tensor } from "../../src/math/tensor.ts";
import { CIFAR10, MNIST_CLASSES } from "../../src/spec/unet_presets.ts";
import { unetParameterCount } from "../../src/spec/unet_parameters.ts";
import { GpuTrainer } from "../../src/webgpu/trainer.ts";
import { Bound } from "../support/bound.ts";
import { formulaImages, formulaParameters } from "../support/golden_unets.ts";
import { normals } from "../support/layers.ts";
import { print } from "../support/print.ts";
import { RandomRounding } from "../support/random_rounding.ts";
import { trained, type TrainingCase } from "../support/rounded_training.ts";
import {
  checkResults,
  excess,
  expectedResults,
  FORMULA,
  type NetworkCase,
  scalar,
  spreadOf,
} from "../support/webgpu_bounds.ts";
import { gpuTest } from "../webgpu/gpu_test.ts";
import {
  ANY_STEP,
  devicePrediction,
  deviceResults,
  liveParameters,
  sizesOf,
  trainingBatch,
  trainingState,
} from "../webgpu/networks.ts";
import { testGpu } from "../webgpu/run_launch.ts";

const SHAPE = [2, 3, 32, 32] as const;

/** The full size with the formula's weights and images, without dropout as the original is in evaluation. */
const FULL: NetworkCase = {
  config: { ...CIFAR10, dropout: 0 },
  parameters: formulaParameters(CIFAR10),
  x: formulaImages("input.x", [...SHAPE]),
  target: formulaImages("input.target", [...SHAPE]),
  timesteps: [3, 700],
};

/** Figures by which an output can be recognised elsewhere. */
function checksum({ data }: Tensor): string {
  let sum = 0, squares = 0, weighted = 0;
  data.forEach((v, i) => {
    sum += v;
    squares += v * v;
    weighted += v * Math.sin(i);
  });
  const first = [...data.subarray(0, 3)].map((v) => v.toPrecision(8)).join(", ");
  const sums = [sum, Math.sqrt(squares), weighted].map((v) => v.toPrecision(8)).join(", ");
  return `first values ${first}; Σy, ‖y‖, Σy·sin(i) = ${sums}`;
}

gpuTest("full size, batch 2: output and every gradient with the formula's weights", async () => {
  assertEquals(unetParameterCount(CIFAR10), 35_746_307);
  const found = await deviceResults(FULL);
  const prediction = await devicePrediction(FULL);
  print(`on the device: ${checksum(prediction)}`);
  // Few runs, and the floor of each tensor's own mean square: one takes half a minute.
  const expected = expectedResults(FULL, { runs: 5 });
  print(`the reference: ${checksum(expected.exact.get("output") as Tensor)}`);
  const bound = new Bound(FORMULA);
  checkResults(bound, found, expected);
  checkResults(bound, new Map([["output", prediction]]), expected);
  for (
    const [name, ratio] of [...excess(found, expected)].sort((a, b) => b[1] - a[1]).slice(0, 5)
  ) {
    print(`${ratio.toFixed(3)} of its bound: ${name}`);
  }
  bound.settle("full size");
});

gpuTest(
  "full size, batch 8: one training step, with each sample's loss of a batch of 2",
  async () => {
    const { config, parameters, x } = FULL;
    const repeated = (value: Tensor, seed: number): Tensor => {
      const data = normals(seed, 0, [8, ...SHAPE.slice(1)]).data.slice();
      data.set(value.data);
      return { shape: [8, ...SHAPE.slice(1)], data };
    };
    const eight: NetworkCase = {
      ...FULL,
      x: repeated(x, 1),
      target: repeated(FULL.target, 2),
      timesteps: [3, 700, 0, 1, 10, 400, 800, 999],
    };
    const gpu = await testGpu();
    const state = trainingState(parameters);
    const step = async (net: NetworkCase) => {
      const trainer = await GpuTrainer.create(gpu, config, state, sizesOf(net));
      const result = await trainer.step([trainingBatch(net)], ANY_STEP);
      const weights = (await trainer.download()).parameters;
      trainer.destroy();
      return { ...result, weights };
    };
    const { loss, sampleLosses: losses, gradientNorm, weights } = await step(eight);
    const mean = losses.reduce((a, b) => a + b, 0) / 8;
    assert(Math.abs(loss - mean) <= 16 * 2 ** -24 * mean, `${loss} is not the mean ${mean}`);
    assert(gradientNorm > 0 && Number.isFinite(gradientNorm));
    assertEquals((await step(FULL)).sampleLosses, losses.slice(0, 2));
    for (const [name, value] of weights) {
      const { data } = parameters.get(name) as Tensor;
      const largest = data.reduce((most, w, i) => Math.max(most, Math.abs(value.data[i] - w)), 0);
      // The first step of Adam moves weights by lr·g/(|g| + ε), and θ is rounded.
      const moved = largest / ANY_STEP.lr;
      assert(largest > 0 && moved < 1 + 2 ** -10, `${name}: moved by ${moved} learning rates`);
    }
    print(`loss ${loss}, gradient norm ${gradientNorm}`);
  },
);

gpuTest("a mid-size net: five steps' losses, norms and weights are the reference's", async () => {
  const [N, C, H, W] = [4, 1, 28, 28];
  const config = MNIST_CLASSES, parameters = liveParameters(config, 1);
  const run: TrainingCase = {
    config,
    parameters,
    steps: [1, 2, 3, 4, 5].map((k) => ({
      batch: {
        x: normals(40, k, [N, C, H, W]),
        target: normals(41, k, [N, C, H, W]),
        timesteps: [k, 100 * k, 150 * k, 199 * k],
        options: { classLabels: [k, 10, 0, 5] },
      },
      optimizer: { ...ANY_STEP, step: k, lr: 2e-4 * k },
    })),
  };
  const exact = trained(run, null);
  const spread = spreadOf(exact, 4, (seed) => trained(run, new RandomRounding(seed)));
  const options = { batch: N, height: H, width: W };
  const trainer = await GpuTrainer.create(
    await testGpu(),
    config,
    trainingState(parameters),
    options,
  );
  const found = new Map<string, Tensor>();
  for (const { batch, optimizer } of run.steps) {
    const result = await trainer.step(
      [trainingBatch({ ...batch, config, parameters })],
      optimizer,
    );
    found.set(`loss of step ${optimizer.step}`, scalar(result.loss));
    found.set(`norm of step ${optimizer.step}`, scalar(result.gradientNorm));
  }
  for (const [name, value] of (await trainer.download()).parameters) {
    found.set(`parameters ${name}`, value);
  }
  trainer.destroy();
  const bound = new Bound(FORMULA);
  checkResults(bound, found, { exact, spread });
  bound.settle("five steps");
});
