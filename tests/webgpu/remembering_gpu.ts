/**
 * A device that compiles each shader once, however many plans it is in: for tests that make a plan per
 * request.
 */
import type { Gpu } from "../../src/webgpu/device.ts";
import { testGpu } from "./run_launch.ts";

/**
 * The shared device, with its pipelines kept by text. Executors give pipelines of one text the same
 * layout, so that one of them serves every plan.
 */
export async function rememberingGpu(): Promise<Gpu> {
  const gpu = await testGpu();
  const texts = new WeakMap<GPUShaderModule, string>();
  const pipelines = new Map<string, GPUComputePipeline>();
  const { device } = gpu;
  const createShaderModule = (descriptor: GPUShaderModuleDescriptor): GPUShaderModule => {
    const module = device.createShaderModule(descriptor);
    texts.set(module, descriptor.code);
    return module;
  };
  const createComputePipeline = (descriptor: GPUComputePipelineDescriptor): GPUComputePipeline => {
    const text = texts.get(descriptor.compute.module) as string;
    const pipeline = pipelines.get(text) ?? device.createComputePipeline(descriptor);
    pipelines.set(text, pipeline);
    return pipeline;
  };
  const replaced: Readonly<Record<PropertyKey, unknown>> = {
    createShaderModule,
    createComputePipeline,
  };
  const remembering = new Proxy(device, {
    get: (target, name) => {
      if (Object.hasOwn(replaced, name)) return replaced[name];
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  return { ...gpu, device: remembering };
}
