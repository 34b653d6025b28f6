/**
 * Every way in which a device or a caller can fail a run ends in its typed error, with what it takes to
 * act on it in the message.
 */
import { assert, assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { ArgumentError } from "../../src/math/errors.ts";
import { type Tensor, tensor } from "../../src/math/tensor.ts";
import { type Gpu, requestGpu } from "../../src/webgpu/device.ts";
import {
  DeviceLostError,
  FeatureError,
  LimitError,
  NoAdapterError,
  ShaderError,
  WebGpuError,
} from "../../src/webgpu/errors.ts";
import { Executor } from "../../src/webgpu/executor.ts";
import { PlanBuilder } from "../../src/webgpu/plan.ts";
import { GpuSampler, type SamplerTimes } from "../../src/webgpu/sampler.ts";
import type { SamplerRowOptions } from "../../src/webgpu/sampler_rows.ts";
import { GpuTrainer } from "../../src/webgpu/trainer.ts";
import { GpuUNet } from "../../src/webgpu/unet.ts";
import { unetPlan } from "../../src/webgpu/unet_plan.ts";
import { defaultVariants, type Variants } from "../../src/webgpu/variants.ts";
import { gpuTest } from "./gpu_test.ts";
import { ANY_STEP, NETWORKS, sizesOf, trainingBatch, trainingState } from "./networks.ts";
import { testGpu } from "./run_launch.ts";

const [DROPOUT, , PLAIN, VECTORS] = [...NETWORKS.values()];

/** A promise's rejection, whatever it is. */
async function failure(run: () => Promise<unknown>): Promise<Error> {
  return await assertRejects(run) as Error;
}

gpuTest("an adapter that does not exist is refused with the one that does", async () => {
  const { adapter } = await testGpu();
  const error = await failure(() => requestGpu({ adapter: "Voodoo 2" }));
  assertInstanceOf(error, NoAdapterError);
  assertInstanceOf(error, WebGpuError);
  assertEquals(error.name, "NoAdapterError");
  assertEquals(
    error.message,
    `Expected an adapter named like "Voodoo 2" but found "${adapter}"`,
  );
});

gpuTest("part of an adapter's name is enough, in any case", async () => {
  const { adapter } = await testGpu();
  const gpu = await requestGpu({ adapter: adapter.slice(1, 6).toUpperCase() });
  assertEquals(gpu.adapter, adapter);
  gpu.device.destroy();
});

/** The device with some limits lowered, counting the buffers that are made. */
function limited(
  gpu: Gpu,
  limits: Partial<Record<keyof GPUSupportedLimits, number>>,
): { gpu: Gpu; buffers: () => number } {
  let buffers = 0;
  const device = new Proxy(gpu.device, {
    get(target, key) {
      if (key === "limits") {
        const { maxBufferSize, maxStorageBufferBindingSize } = target.limits;
        return { maxBufferSize, maxStorageBufferBindingSize, ...limits };
      }
      if (key === "createBuffer") buffers++;
      const value = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  return { gpu: { ...gpu, device }, buffers: () => buffers };
}

gpuTest(
  "a model over a limit is refused with both figures before anything is allocated",
  async () => {
    const gpu = await testGpu();
    const { config, parameters } = PLAIN;
    const variants = defaultVariants(gpu.adapterClass);
    const { plan } = unetPlan({ config, ...sizesOf(PLAIN), variants });
    const largestBuffer = 4 * Math.max(...Object.values(plan.sizes));
    const largestTensor = 4 * Math.max(
      ...plan.launches.flatMap(({ operands }) => operands.map(({ tensor }) => tensor.size)),
    );
    for (
      const [limit, needed] of [
        ["maxBufferSize", largestBuffer],
        ["maxStorageBufferBindingSize", largestTensor],
      ] as const
    ) {
      const small = limited(gpu, { [limit]: needed - 1 });
      const error = await failure(() =>
        GpuUNet.create(small.gpu, config, parameters, sizesOf(PLAIN))
      );
      assertInstanceOf(error, LimitError);
      assertEquals([error.limit, error.needed, error.available], [limit, needed, needed - 1]);
      const sentence = `within the adapter's ${limit} = ${needed - 1} but it needs ${needed}`;
      assert(error.message.includes(sentence), error.message);
      assertEquals(small.buffers(), 0);

      const enough = limited(gpu, { [limit]: needed });
      (await GpuUNet.create(enough.gpu, config, parameters, sizesOf(PLAIN))).destroy();
      assert(enough.buffers() > 0);
    }
  },
);

gpuTest("a shader that does not compile is named", async () => {
  for (
    const wgsl of [
      "@compute @workgroup_size(1) fn main() { let x: u32 = 1.5; }",
      "@compute @workgroup_size(1) fn other() {}",
      "no shader at all",
    ]
  ) {
    const builder = new PlanBuilder();
    const tensor = builder.tensor("state", "x", 4);
    builder.add("step", {
      ...{ kernel: "broken.naive", wgsl, params: [], workgroups: [1, 1, 1], flops: 0, bytes: 0 },
      operands: [{ tensor, access: "update" }],
    });
    const error = await failure(async () => Executor.create(await testGpu(), builder.finish()));
    assertInstanceOf(error, ShaderError);
    assert(error.message.startsWith("Expected the shader broken.naive to be valid but got: "));
  }
});

gpuTest("a feature on a device without it is refused before anything is allocated", async () => {
  const gpu = await testGpu();
  const { config, parameters } = PLAIN;
  const without = limited({ ...gpu, device: withoutFeatures(gpu.device) }, {});
  for (
    const [needing, feature] of [
      [{ weights: "f16" }, "shader-f16"],
      [{ other: "subgroups" }, "subgroups"],
    ] as const
  ) {
    const variants: Variants = { ...defaultVariants(gpu.adapterClass), ...needing };
    const options = { ...sizesOf(PLAIN), variants };
    const error = await failure(() => GpuUNet.create(without.gpu, config, parameters, options));
    assertInstanceOf(error, FeatureError);
    assert(error.message.startsWith(`Expected an adapter with ${feature} for `), error.message);
  }
  assertEquals(without.buffers(), 0);
});

/** The device as one without optional features. */
function withoutFeatures(device: GPUDevice): GPUDevice {
  return new Proxy(device, {
    get: (target, key) => key === "features" ? new Set() : Reflect.get(target, key, target),
  });
}

/** Everything that can be asked of models whose device is gone. */
async function assertAllLost(calls: Record<string, () => Promise<unknown>>): Promise<void> {
  for (const [name, call] of Object.entries(calls)) {
    const error = await failure(call);
    assertInstanceOf(error, DeviceLostError, `${name}: ${error}`);
  }
}

gpuTest("after the device is gone every call says so", async () => {
  const gpu = await requestGpu();
  const { config, parameters, x, timesteps } = PLAIN;
  const model = await GpuUNet.create(gpu, config, parameters, sizesOf(PLAIN));
  const state = trainingState(parameters);
  const trainer = await GpuTrainer.create(gpu, config, state, sizesOf(PLAIN));
  await trainer.step([trainingBatch(PLAIN)], ANY_STEP);
  gpu.device.destroy();
  const calls = {
    predict: () => model.predict(x, timesteps),
    step: () => trainer.step([trainingBatch(PLAIN)], ANY_STEP),
    download: () => trainer.download(),
    create: () => GpuUNet.create(gpu, config, parameters, sizesOf(PLAIN)),
  };
  // At once, before the runtime has told of the loss, and when it has.
  await assertAllLost({ predict: calls.predict });
  assert(gpu.lost.reason !== null);
  await assertAllLost(calls);
  // Freeing what is gone is no mistake.
  model.destroy();
  trainer.destroy();
});

/** Times of a loop of `count` steps. */
function evenTimes(count: number): SamplerTimes {
  const timesteps = Array.from({ length: count }, (_, k) => 1 + k);
  const levels = timesteps.map((t) => {
    const alphaBar = 1 - t / (count + 1);
    return { alphaBar, oneMinusAlphaBar: 1 - alphaBar };
  });
  return { timesteps, levels };
}

const DDPM_STEPS: SamplerRowOptions = {
  kind: "ddpm",
  prediction: "epsilon",
  variance: "beta",
  clipRange: 1,
};

gpuTest("a sampling loop whose device goes away ends in a DeviceLostError", async () => {
  const gpu = await requestGpu();
  const { config, parameters } = DROPOUT;
  const sampler = await GpuSampler.create(gpu, config, parameters, {
    ...sizesOf(DROPOUT),
    times: evenTimes(40),
    steps: DDPM_STEPS,
  });
  const xT = DROPOUT.x;
  const error = await failure(() =>
    sampler.sample({
      ...{ xT, noiseAt: () => xT, classes: [0, 1] },
      onStep: ({ step }) => step === 20 && gpu.device.destroy(),
    })
  );
  assertInstanceOf(error, DeviceLostError);
});

/** A tensor of zeros. */
function zeros(...shape: number[]): Tensor {
  return tensor(shape);
}

/** Expects an ArgumentError whose message starts with `message`. */
async function assertRefused(run: () => Promise<unknown>, message: string): Promise<void> {
  const error = await failure(run);
  assertInstanceOf(error, ArgumentError, String(error));
  assert(error.message.startsWith(message), `${error.message} instead of ${message}`);
}

gpuTest("missing and misshapen parameters are refused before anything is allocated", async () => {
  const { config, parameters } = PLAIN;
  const { gpu, buffers } = limited(await testGpu(), {});
  const without = new Map(parameters);
  without.delete("conv_out.bias");
  const name = "mid_block.attentions.0.to_q.weight";
  const { shape: [O, I] } = parameters.get(name) as Tensor;
  // As many elements, in another shape.
  const flat = new Map(parameters).set(name, zeros(O * I));
  const times = evenTimes(2);
  for (
    const [wrong, message] of [
      [without, "Expected a parameter conv_out.bias but got none"],
      [flat, `Expected ${name} of shape [${O}, ${I}] but got [${O * I}]`],
    ] as const
  ) {
    const options = sizesOf(PLAIN);
    await assertRefused(() => GpuUNet.create(gpu, config, wrong, options), message);
    await assertRefused(
      () => GpuSampler.create(gpu, config, wrong, { ...options, times, steps: DDPM_STEPS }),
      message,
    );
    const good = trainingState(parameters);
    for (const part of ["parameters", "moment1", "moment2", "ema"] as const) {
      const state = { ...good, [part]: wrong };
      await assertRefused(() => GpuTrainer.create(gpu, config, state, options), message);
    }
  }
  assertEquals(buffers(), 0);
});

gpuTest("inputs that do not fit are refused", async () => {
  const gpu = await testGpu();
  const { config, parameters, x, timesteps } = PLAIN;
  const model = await GpuUNet.create(gpu, config, parameters, sizesOf(PLAIN));
  const [N, C, H, W] = x.shape;
  await assertRefused(
    () => model.predict(zeros(N, C, W, H), timesteps),
    `Expected x of shape [${[N, C, H, W].join(", ")}] but got [${[N, C, W, H].join(", ")}]`,
  );
  await assertRefused(() => model.predict(x, [1, 2, 3]), "Expected 1 timesteps but got [1, 2, 3]");
  await assertRefused(
    () => model.predict(x, timesteps, [0]),
    "Expected no class labels for this config but got some",
  );
  model.destroy();

  const table = await GpuUNet.create(gpu, DROPOUT.config, DROPOUT.parameters, sizesOf(DROPOUT));
  const onTable = (classes?: readonly number[] | Tensor) => () =>
    table.predict(DROPOUT.x, DROPOUT.timesteps, classes);
  await assertRefused(onTable(), "Expected class labels for this config but got none");
  await assertRefused(onTable([0]), "Expected 2 class labels but got [0]");
  await assertRefused(onTable([0, 5]), "Expected class labels in 0..4 but got 5");
  await assertRefused(onTable([0.5, 0]), "Expected class labels in 0..4 but got 0.5");
  await assertRefused(onTable(zeros(2, 64)), "Expected one class label per sample");
  table.destroy();

  const vectors = await GpuUNet.create(gpu, VECTORS.config, VECTORS.parameters, sizesOf(VECTORS));
  const onVectors = (classes: readonly number[] | Tensor) => () =>
    vectors.predict(VECTORS.x, VECTORS.timesteps, classes);
  await assertRefused(onVectors([0, 1]), "Expected class vectors as a tensor");
  await assertRefused(onVectors(zeros(24, 2)), "Expected class vectors of shape [2, 24]");
  vectors.destroy();
});

gpuTest("training batches that do not fit are refused", async () => {
  const gpu = await testGpu();
  const { config, parameters } = DROPOUT;
  const options = { ...sizesOf(DROPOUT), accumulation: 2 };
  const trainer = await GpuTrainer.create(gpu, config, trainingState(parameters), options);
  const good = trainingBatch(DROPOUT);
  await assertRefused(
    () => trainer.step([good], ANY_STEP),
    "Expected 2 parts of a batch but got 1",
  );
  for (
    const [change, message] of [
      [{ xt: zeros(2, 3, 6, 8) }, "Expected xt of shape [2, 3, 8, 6] but got [2, 3, 6, 8]"],
      [{ target: zeros(1, 3, 8, 6) }, "Expected target of shape [2, 3, 8, 6]"],
      [{ timesteps: [1] }, "Expected 2 timesteps but got [1]"],
      [{ classes: undefined }, "Expected class labels for this config but got none"],
      [{ weights: [1] }, "Expected 2 weights but got [1]"],
      [{ dropout: undefined }, "Expected a dropout seed and example numbers"],
      [{ dropout: { seed: 1, items: [1] } }, "Expected 2 example numbers but got [1]"],
    ] as const
  ) {
    const wrong = { ...good, ...change };
    await assertRefused(() => trainer.step([wrong, wrong], ANY_STEP), message);
  }
  await assertRefused(() => trainer.inputGradient(), "Expected a trainer with inputGradient");
  trainer.destroy();
});
