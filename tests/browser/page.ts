/**
 * The program of the page: carries out `/work.json` with the library's public API, and posts what came out.
 *
 * @module
 */
import {
  defaultVariants,
  type Gpu,
  GpuSampler,
  GpuTrainer,
  requestGpu,
  type Variant,
} from "../../src/webgpu/mod.ts";
import { type Answer, type Outcome, packed, packedAll, unpacked, unpackedAll } from "./exchange.ts";
import type { PackedTensor, Trained, Work } from "./exchange.ts";

async function sample(gpu: Gpu, work: Work, other: Variant): Promise<PackedTensor> {
  const { config, loop: { times, steps } } = work;
  const xT = unpacked(work.x);
  const [batch, , height, width] = xT.shape;
  const sampler = await GpuSampler.create(gpu, config, unpackedAll(work.parameters), {
    ...{ batch, height, width, times, steps },
    variants: { ...defaultVariants(gpu.adapterClass), other },
  });
  const x0 = await sampler.sample({ xT, noiseAt: () => xT });
  sampler.destroy();
  return packed(x0);
}

async function train(gpu: Gpu, work: Work, other: Variant): Promise<Trained> {
  const parameters = unpackedAll(work.parameters);
  const zeros = new Map(
    Array.from(parameters, ([name, { shape, data }]) => [name, {
      shape,
      data: new Float32Array(data.length),
    }]),
  );
  const xt = unpacked(work.x), target = unpacked(work.training.target);
  const [batch, , height, width] = xt.shape;
  const state = { parameters, moment1: zeros, moment2: zeros, ema: parameters };
  const trainer = await GpuTrainer.create(gpu, work.config, state, {
    ...{ batch, height, width },
    variants: { ...defaultVariants(gpu.adapterClass), other },
  });
  const { timesteps } = work.training;
  const { loss } = await trainer.step([{ xt, target, timesteps }], {
    ...{ step: 1, lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0, decoupled: false },
    ...{ maxNorm: null, emaDecay: 0.99 },
  });
  const gradients = packedAll(await trainer.gradients());
  trainer.destroy();
  return { loss, gradients };
}

async function carryOut(work: Work): Promise<Outcome> {
  const gpu = await requestGpu();
  const samples: Record<string, PackedTensor> = {};
  for (const variant of work.loop.variants) samples[variant] = await sample(gpu, work, variant);
  const trained: Record<string, Trained> = {};
  for (const variant of work.training.variants) trained[variant] = await train(gpu, work, variant);
  return { adapter: gpu.adapter, samples, trained };
}

async function post(answer: Answer): Promise<void> {
  await fetch("/answer", { method: "POST", body: JSON.stringify(answer) });
}

try {
  const response = await fetch("/work.json");
  await post(await carryOut(await response.json()));
} catch (error) {
  await post({ error: error instanceof Error ? error.stack ?? error.message : String(error) });
}
