/**
 * Declares a test that needs a WebGPU adapter. Without one it fails where DDPM_REQUIRE_WEBGPU is set,
 * as in CI, and is otherwise reported as ignored, so that a run says how many did not run.
 */

// On Linux Vulkan alone: an OpenGL adapter of a software renderer may be there although no Vulkan driver is
// installed, and is not what users of the package are told to get.
if (Deno.build.os === "linux") Deno.env.set("DENO_WEBGPU_BACKEND", "vulkan");

const adapter = await navigator.gpu?.requestAdapter() ?? null;
const required = Deno.env.get("DDPM_REQUIRE_WEBGPU") === "1";

/** Registers `name` as a test on the device, of an adapter with `feature` if that is given. */
export function gpuTest(name: string, run: () => Promise<void>, feature?: GPUFeatureName): void {
  const lacks = adapter !== null && feature !== undefined && !adapter.features.has(feature);
  Deno.test({
    name: `webgpu: ${name}`,
    ignore: adapter === null && !required || lacks,
    // The device that tests share outlives each of them.
    sanitizeResources: false,
    sanitizeOps: false,
    fn: run,
  });
}
