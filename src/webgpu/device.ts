/**
 * Getting a device: which adapter, which limits and why, and what happens when it goes away.
 *
 * @module
 */
import { DeviceLostError, NoAdapterError, OutOfMemoryError, ShaderError } from "./errors.ts";

/** Which adapter to take. */
export interface DeviceOptions {
  /** Passed to `requestAdapter`. Default: the platform's choice. */
  readonly powerPreference?: GPUPowerPreference;
  /** Take only an adapter whose description contains this text, in any case. */
  readonly adapter?: string;
}

/** What kind of machine executes the shaders; the variant table has one column per class. */
export type AdapterClass = "software" | "integrated" | "discrete";

/** A device ready for use, with what is known of its adapter. */
export interface Gpu {
  /** The WebGPU device. */
  readonly device: GPUDevice;
  /** Adapter description as the driver gives it. */
  readonly adapter: string;
  /** What kind of machine it is. */
  readonly adapterClass: AdapterClass;
  /** Set once the device is gone: why. */
  readonly lost: { reason: DeviceLostError | null };
}

/** Limits that are raised from WebGPU's defaults to what the adapter has, each with its reason. */
const RAISED_LIMITS = [
  // The weights, moments and activations of the full-size model are single buffers of 100 MB and more.
  "maxBufferSize",
  // A convolution's Winograd planes at batch 16 exceed the default 128 MiB binding.
  "maxStorageBufferBindingSize",
] as const;

/** Features that are used where an adapter has them, each with its reason. */
const OPTIONAL_FEATURES = [
  // Kernels are timed by it.
  "timestamp-query",
  // Weights may be kept in half the memory.
  "shader-f16",
  // Sums over a workgroup wait for it less often; `tune` says where that is faster.
  "subgroups",
] as readonly GPUFeatureName[];

function describe(info: GPUAdapterInfo): string {
  return info.description || `${info.vendor} ${info.architecture} ${info.device}`.trim();
}

/** Sorts an adapter into its class by what the driver says of itself. */
export function classify(adapter: string): AdapterClass {
  if (/llvmpipe|lavapipe|swiftshader|software|basic render|warp/i.test(adapter)) return "software";
  if (/intel|integrated|apple|adreno|mali|radeon graphics|\bgfx90c\b/i.test(adapter)) {
    return "integrated";
  }
  return "discrete";
}

/**
 * Whether an adapter is Mesa's software renderer behind OpenGL, as a runtime may hand it out where no Vulkan
 * driver is installed. It calls itself llvmpipe either way; but Vulkan tells its one subgroup size, while
 * OpenGL has none to tell, for which WebGPU prescribes 4 to 128 (section "GPUAdapterInfo").
 */
function isSoftwareOpenGl(info: GPUAdapterInfo): boolean {
  return /llvmpipe/i.test(describe(info)) && info.subgroupMinSize < info.subgroupMaxSize;
}

/**
 * Requests an adapter and a device.
 *
 * @throws {NoAdapterError} if there is no WebGPU or no adapter that fits; a software renderer behind OpenGL,
 *   on which nothing is tested or measured, does not.
 */
export async function requestGpu(options: DeviceOptions = {}): Promise<Gpu> {
  const gpu = globalThis.navigator?.gpu;
  if (gpu === undefined) throw new NoAdapterError("Expected WebGPU but this runtime has none");
  const { powerPreference } = options;
  const adapter = await gpu.requestAdapter(powerPreference ? { powerPreference } : {});
  if (adapter === null) {
    throw new NoAdapterError(
      "Expected a WebGPU adapter but found none; `deno task setup` tells how to get one",
    );
  }
  const description = describe(adapter.info);
  if (options.adapter && !description.toLowerCase().includes(options.adapter.toLowerCase())) {
    throw new NoAdapterError(
      `Expected an adapter named like "${options.adapter}" but found "${description}"`,
    );
  }
  if (isSoftwareOpenGl(adapter.info)) {
    throw new NoAdapterError(
      `Expected a Vulkan adapter but found "${description}" behind OpenGL; ` +
        "`deno task setup` tells how to get one",
    );
  }
  const requiredLimits: Record<string, number> = {};
  for (const limit of RAISED_LIMITS) requiredLimits[limit] = adapter.limits[limit];
  const requiredFeatures = OPTIONAL_FEATURES.filter((f) => adapter.features.has(f));
  const device = await adapter.requestDevice({ requiredLimits, requiredFeatures });
  const lost: { reason: DeviceLostError | null } = { reason: null };
  device.lost?.then((info) => {
    lost.reason = new DeviceLostError(
      `Expected the device to stay but it was lost: ${info.message || info.reason}`,
    );
  });
  return { device, adapter: description, adapterClass: classify(description), lost };
}

/** How long a loss may be told after the calls that it makes fail, in milliseconds. */
const PATIENCE = 1000;

/** Why the device is gone, once that is known; null if it is still there. */
export async function reasonOfLoss({ device, lost }: Gpu): Promise<DeviceLostError | null> {
  if (lost.reason !== null) return lost.reason;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const patience = new Promise((resolve) => timer = setTimeout(resolve, PATIENCE));
  await Promise.race([device.lost, patience]);
  clearTimeout(timer);
  return lost.reason;
}

/**
 * Runs `create` in error scopes and turns what they catch into typed errors.
 *
 * @param what names the thing being created, for the message.
 * @throws {OutOfMemoryError | ShaderError | DeviceLostError}
 */
export async function guarded<T>(gpu: Gpu, what: string, create: () => T): Promise<T> {
  if (gpu.lost.reason !== null) throw gpu.lost.reason;
  gpu.device.pushErrorScope("validation");
  gpu.device.pushErrorScope("out-of-memory");
  const result = create();
  const memory = await gpu.device.popErrorScope();
  const validation = await gpu.device.popErrorScope();
  if (memory !== null) {
    throw new OutOfMemoryError(`Expected memory for ${what} but the device has none left`);
  }
  if (validation !== null) {
    throw new ShaderError(`Expected ${what} to be valid but got: ${validation.message}`);
  }
  return result;
}
