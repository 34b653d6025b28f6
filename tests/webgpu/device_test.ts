/**
 * Getting a device: adapter classes by what drivers call themselves, the limits and features asked for,
 * and what error scopes catch.
 */
import { assert, assertEquals, assertInstanceOf, assertMatch, assertRejects } from "@std/assert";
import { classify, type Gpu, guarded, requestGpu } from "../../src/webgpu/device.ts";
import { NoAdapterError, OutOfMemoryError, ShaderError } from "../../src/webgpu/errors.ts";
import { gpuTest } from "./gpu_test.ts";
import { testGpu } from "./run_launch.ts";

Deno.test("adapters are sorted by what their drivers call themselves", () => {
  const names = {
    software: [
      "llvmpipe (LLVM 15.0.6, 256 bits)",
      "SwiftShader Device (Subzero)",
      "Microsoft Basic Render Driver",
    ],
    integrated: [
      "Intel(R) UHD Graphics 620 (KBL GT2)",
      "Apple M2",
      "AMD Radeon Graphics (RADV RENOIR)",
      "Adreno (TM) 650",
      "Mali-G78",
    ],
    discrete: ["NVIDIA GeForce RTX 4090", "AMD Radeon RX 7900 XTX (RADV NAVI31)"],
  };
  for (const [expected, adapters] of Object.entries(names)) {
    for (const name of adapters) assertEquals(classify(name), expected, name);
  }
});

/** Runs with another `navigator.gpu`. */
async function withWebGpu(gpu: unknown, run: () => Promise<void>): Promise<void> {
  Object.defineProperty(navigator, "gpu", { value: gpu, configurable: true });
  try {
    await run();
  } finally {
    delete (navigator as { gpu?: unknown }).gpu;
  }
}

Deno.test("a runtime without WebGPU, or without an adapter, is a NoAdapterError", async () => {
  await withWebGpu(undefined, async () => {
    const error = await assertRejects(() => requestGpu(), NoAdapterError);
    assertEquals(error.message, "Expected WebGPU but this runtime has none");
  });
  await withWebGpu({ requestAdapter: () => Promise.resolve(null) }, async () => {
    const error = await assertRejects(() => requestGpu(), NoAdapterError);
    assert(error.message.includes("deno task setup"), error.message);
  });
});

/** `navigator.gpu` with an adapter that says this of itself, and gives no device. */
function introducing(info: Partial<GPUAdapterInfo>): unknown {
  const adapter = {
    info: { vendor: "", architecture: "", device: "", description: "", ...info },
    limits: {},
    features: new Set(),
    requestDevice: () => Promise.reject(new Error("asked for a device")),
  };
  return { requestAdapter: () => Promise.resolve(adapter) };
}

Deno.test("a software renderer behind OpenGL is no adapter, and says what is", async () => {
  const description = "llvmpipe (LLVM 15.0.6, 256 bits)";
  const unknown = { subgroupMinSize: 4, subgroupMaxSize: 128 };
  await withWebGpu(introducing({ description, ...unknown }), async () => {
    const error = await assertRejects(() => requestGpu(), NoAdapterError);
    assertEquals(
      error.message,
      `Expected a Vulkan adapter but found "${description}" behind OpenGL; ` +
        "`deno task setup` tells how to get one",
    );
  });
  // Vulkan with vectors of 128, 256 and 512 bits; GPUs and browsers that keep their subgroups to themselves.
  for (
    const info of [
      ...[4, 8, 16].map((n) => ({ description, subgroupMinSize: n, subgroupMaxSize: n })),
      { description },
      { description: "NVIDIA GeForce RTX 4090", ...unknown },
      { vendor: "google", architecture: "swiftshader", ...unknown },
    ]
  ) {
    await withWebGpu(introducing(info), async () => {
      await assertRejects(() => requestGpu(), Error, "asked for a device");
    });
  }
});

Deno.test({
  name: "where OpenGL is all there is, the software renderer behind it is refused",
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    const device = new URL("../../src/webgpu/device.ts", import.meta.url).href;
    const code = `import { requestGpu } from "${device}";
      console.log(await requestGpu().then(({ adapter }) => adapter, ({ message }) => message));`;
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["eval", "--no-config", code],
      env: { NO_COLOR: "1", DENO_WEBGPU_BACKEND: "gl" },
      stdout: "piped",
      stderr: "piped",
    }).output();
    const said = new TextDecoder().decode(stdout);
    assert(said.length > 1, new TextDecoder().decode(stderr));
    // There may be no OpenGL, or a GPU's.
    if (!said.includes("llvmpipe")) return;
    assertMatch(
      said,
      /^Expected a Vulkan adapter but found "llvmpipe [^\n]+ behind OpenGL; [^\n]+\n$/,
    );
  },
});

gpuTest("the limits that large models need are raised to the adapter's", async () => {
  const adapter = await navigator.gpu.requestAdapter();
  const { device, lost } = await testGpu();
  for (const limit of ["maxBufferSize", "maxStorageBufferBindingSize"] as const) {
    assertEquals(device.limits[limit], adapter!.limits[limit]);
  }
  assertEquals(device.limits.maxComputeWorkgroupStorageSize, 16384, "others stay at the default");
  assertEquals(device.features.has("timestamp-query"), adapter!.features.has("timestamp-query"));
  assertEquals(lost.reason, null);
});

/** A device whose error scopes catch `memory` and `validation`. */
function failing(memory: string | null, validation: string | null): Gpu {
  const caught: Record<string, string | null> = { "out-of-memory": memory, validation };
  const scopes: string[] = [];
  const device = {
    pushErrorScope: (filter: string) => scopes.push(filter),
    popErrorScope: () => {
      const message = caught[scopes.pop() as string];
      return Promise.resolve(message === null ? null : { message });
    },
  } as unknown as GPUDevice;
  return { device, adapter: "none", adapterClass: "software", lost: { reason: null } };
}

Deno.test("what error scopes catch becomes a typed error that names what was being made", async () => {
  const memory = await assertRejects(
    () => guarded(failing("no memory", "an invalid buffer"), "the arena buffer", () => 1),
    OutOfMemoryError,
  );
  assertEquals(
    memory.message,
    "Expected memory for the arena buffer but the device has none left",
  );
  const shader = await assertRejects(
    () => guarded(failing(null, "line 3: a word"), "the shader gemm", () => 1),
    ShaderError,
  );
  assertEquals(shader.message, "Expected the shader gemm to be valid but got: line 3: a word");
  assertEquals(await guarded(failing(null, null), "nothing", () => 1), 1);
});

gpuTest("error scopes are left balanced on a real device", async () => {
  const gpu = await testGpu();
  const { device } = gpu;
  const tooLarge = { size: 2 * device.limits.maxBufferSize, usage: GPUBufferUsage.STORAGE };
  await assertRejects(() => guarded(gpu, "the arena", () => device.createBuffer(tooLarge)));
  const small = { size: 16, usage: GPUBufferUsage.STORAGE };
  const buffer = await guarded(gpu, "a small buffer", () => device.createBuffer(small));
  assertInstanceOf(buffer, GPUBuffer);
  buffer.destroy();
  await assertRejects(() => device.popErrorScope());
});
