/**
 * What the bits of a result do not depend on: how often it was computed, the batch and the position in it,
 * and whatever the arena held before.
 */
import { assertEquals, assertNotEquals } from "@std/assert";
import { type Tensor, tensor } from "../../src/math/tensor.ts";
import { type UNetConfig, unetConfig } from "../../src/spec/unet_config.ts";
import type { Parameters } from "../../src/spec/unet_parameters.ts";
import type { Executor } from "../../src/webgpu/executor.ts";
import { GpuSampler } from "../../src/webgpu/sampler.ts";
import { GpuTrainer } from "../../src/webgpu/trainer.ts";
import { GpuUNet, type GpuUNetOptions } from "../../src/webgpu/unet.ts";
import { normals } from "../support/layers.ts";
import { gpuTest } from "./gpu_test.ts";
import {
  ANY_STEP,
  liveParameters,
  NETWORKS,
  sizesOf,
  trainingBatch,
  trainingState,
} from "./networks.ts";
import { testGpu } from "./run_launch.ts";

/** Two levels with attention, strided and doubling convolutions, and classes. */
const CONFIG: UNetConfig = unetConfig({
  downBlockTypes: ["DownBlock2D", "AttnDownBlock2D"],
  upBlockTypes: ["AttnUpBlock2D", "UpBlock2D"],
  blockOutChannels: [8, 12],
  layersPerBlock: 1,
  normNumGroups: 4,
  attentionHeadDim: 6,
  numClassEmbeds: 4,
});
const PARAMETERS: Parameters = liveParameters(CONFIG, 11);
// Large enough for every Winograd tile: the first level takes F(4x4), the second F(2x2).
const SIZE = [16, 18] as const;
const SHAPE = [3, ...SIZE];
const D = 3 * SIZE[0] * SIZE[1];
const SAMPLES = 5;
const TIMES = [999, 1, 250, 500, 0];
const CLASSES = [3, 0, 2, 1, 3];

/** Samples `first`…`first + count − 1` of a tensor of all of them. */
function part({ shape, data }: Tensor, first: number, count: number): Tensor {
  return tensor([count, ...shape.slice(1)], data.slice(first * D, (first + count) * D));
}

/** The bits of float32 values: unlike values, they tell zeros apart and NaNs alike. */
function bits(x: Tensor | Float32Array): Uint32Array {
  const data = "shape" in x ? x.data : x;
  return new Uint32Array(data.slice().buffer);
}

/** Results of parts of five samples, each from its first sample on, in batches of one size. */
type InParts = (batch: number, firsts: readonly number[]) => Promise<readonly Tensor[]>;

/** Asserts the same bits twice, and in batches of 1, 2 and 5 at any position. */
async function assertIndependent(compute: InParts): Promise<void> {
  const [whole, again] = await compute(SAMPLES, [0, 0]);
  assertEquals(bits(again), bits(whole), "computed twice");
  for (const [batch, firsts] of [[1, [0, 1, 2, 3, 4]], [2, [0, 1, 2, 3]]] as const) {
    const results = await compute(batch, firsts);
    firsts.forEach((first, k) => {
      const expected = bits(part(whole, first, batch));
      assertEquals(bits(results[k]), expected, `samples from ${first} on in a batch of ${batch}`);
    });
  }
  // The comparison can fail: samples differ.
  assertNotEquals(bits(part(whole, 0, 1)), bits(part(whole, 4, 1)));
}

function options(batch: number): GpuUNetOptions {
  return { batch, height: SIZE[0], width: SIZE[1] };
}

gpuTest("a prediction's bits depend neither on the batch nor on the position in it", async () => {
  const gpu = await testGpu();
  const x = normals(1, 0, [SAMPLES, ...SHAPE]);
  await assertIndependent(async (batch, firsts) => {
    const model = await GpuUNet.create(gpu, CONFIG, PARAMETERS, options(batch));
    const outputs = [];
    for (const first of firsts) {
      const times = TIMES.slice(first, first + batch),
        classes = CLASSES.slice(first, first + batch);
      outputs.push(await model.predict(part(x, first, batch), times, classes));
    }
    model.destroy();
    return outputs;
  });
});

const GUIDANCE = { scale: 2, rescale: 0.5, nullClass: 1 };

for (const [kind, guidance] of [["sample", undefined], ["guided sample", GUIDANCE]] as const) {
  gpuTest(`a ${kind}'s bits depend neither on the batch nor on the position in it`, async () => {
    const gpu = await testGpu();
    const timesteps = [1, 400, 700];
    const levels = [0.99, 0.5, 0.1].map((alphaBar) => ({
      alphaBar,
      oneMinusAlphaBar: 1 - alphaBar,
    }));
    const xT = normals(2, 0, [SAMPLES, ...SHAPE]);
    const noise = new Map(timesteps.map((t) => [t, normals(2, t, [SAMPLES, ...SHAPE])]));
    await assertIndependent(async (batch, firsts) => {
      const sampler = await GpuSampler.create(gpu, CONFIG, PARAMETERS, {
        ...options(batch),
        times: { timesteps, levels },
        steps: { kind: "ddpm", prediction: "epsilon", variance: "beta", clipRange: 1 },
        guidance,
      });
      const samples = [];
      for (const first of firsts) {
        const sample = await sampler.sample({
          xT: part(xT, first, batch),
          noiseAt: (t) => part(noise.get(t) as Tensor, first, batch),
          classes: CLASSES.slice(first, first + batch),
        });
        samples.push(sample);
      }
      sampler.destroy();
      return samples;
    });
  });
}

gpuTest("a sample's loss in training does not depend on the batch", async () => {
  const gpu = await testGpu();
  const x = normals(3, 0, [SAMPLES, ...SHAPE]), target = normals(3, 1, [SAMPLES, ...SHAPE]);
  const losses = async (batch: number, first: number): Promise<Float32Array> => {
    const state = trainingState(PARAMETERS);
    const trainer = await GpuTrainer.create(gpu, CONFIG, state, options(batch));
    const result = await trainer.step([{
      xt: part(x, first, batch),
      target: part(target, first, batch),
      timesteps: TIMES.slice(first, first + batch),
      classes: CLASSES.slice(first, first + batch),
    }], ANY_STEP);
    trainer.destroy();
    return result.sampleLosses;
  };
  const whole = await losses(SAMPLES, 0);
  for (const [batch, first] of [[2, 1], [1, 4]]) {
    assertEquals(bits(await losses(batch, first)), bits(whole.slice(first, first + batch)));
  }
});

/** Fills the arena with NaNs. */
async function poison(executor: Executor): Promise<void> {
  const { device } = await testGpu();
  const arena = executor.buffers.arena as GPUBuffer;
  device.queue.writeBuffer(arena, 0, new Float32Array(arena.size / 4).fill(NaN));
}

for (const [title, net] of NETWORKS) {
  gpuTest(`every element is written before it is read in ${title}`, async () => {
    const gpu = await testGpu();
    const { config, parameters, x, timesteps, options = {} } = net;
    const model = await GpuUNet.create(gpu, config, parameters, sizesOf(net));
    const predict = () => model.predict(x, timesteps, options.classLabels);
    const before = await predict();
    await poison(model.executor);
    assertEquals(bits(await predict()), bits(before), "prediction");
    model.destroy();

    const trainingOptions = { ...sizesOf(net), inputGradient: true };
    const state = trainingState(parameters);
    const trainer = await GpuTrainer.create(gpu, config, state, trainingOptions);
    const trained = async (): Promise<Map<string, Tensor | Float32Array>> => {
      trainer.upload(state);
      const { sampleLosses } = await trainer.step([trainingBatch(net)], ANY_STEP);
      const gradients = await trainer.gradients();
      return new Map<string, Tensor | Float32Array>([
        ...[["losses", sampleLosses], ["x", await trainer.inputGradient()]] as const,
        ...gradients,
        ...[...(await trainer.download()).parameters].map(([k, p]) => [`new ${k}`, p] as const),
      ]);
    };
    const clean = await trained();
    await poison(trainer.executor);
    for (const [name, value] of await trained()) {
      assertEquals(bits(value), bits(clean.get(name)!), name);
    }
    trainer.destroy();
  });
}
