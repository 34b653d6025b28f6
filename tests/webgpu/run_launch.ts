/**
 * Runs single launches on the device for tests: tensors in, tensors out, outputs poisoned before, and
 * more poison behind every tensor, which nothing may read into a result or overwrite.
 */
import { assert } from "@std/assert";
import { type Gpu, requestGpu } from "../../src/webgpu/device.ts";
import type { Launch } from "../../src/webgpu/kernel.ts";

let cached: Promise<Gpu> | null = null;

/** The device that all GPU tests of a process share. */
export function testGpu(): Promise<Gpu> {
  cached ??= requestGpu();
  return cached;
}

/** What unwritten output elements hold: no kernel computes this NaN payload's neighbourhood by chance. */
export const POISON = NaN;
/** A signalling NaN, which no result is. */
const BEHIND_WORD = 0x7fa5a5a5;

/** Bytes behind every tensor: more than a kernel that forgot its last guard could reach. */
const BEHIND = 64 * 1024;

/** A launch in several rows of workgroups, as it is where there are too many for one. */
function inRows({ wgsl, workgroups: [x, y, z] }: Launch<unknown>): [number, number, number] {
  // Products ask for the number of workgroups as well, by another name: theirs has a meaning per dimension.
  const findsItsRow = /@builtin\(num_workgroups\) (?:nwg|grid)\b/.test(wgsl);
  return findsItsRow && x > 2 && y === 1 ? [2, Math.ceil(x / 2), z] : [x, y, z];
}

const { STORAGE, COPY_DST, COPY_SRC, MAP_READ, UNIFORM } = {
  STORAGE: 0x80,
  COPY_DST: 0x08,
  COPY_SRC: 0x04,
  MAP_READ: 0x01,
  UNIFORM: 0x40,
};

/**
 * Runs launches in order over named tensors. A tensor given as a number is an output of that many
 * elements, filled with NaN first.
 *
 * @returns every tensor's contents afterwards.
 */
export async function runLaunches<K extends string>(
  launches: readonly Launch<K>[],
  tensors: Readonly<Record<K, Float32Array | Uint32Array | number>>,
): Promise<Record<K, Float32Array>> {
  const { device } = await testGpu();
  device.pushErrorScope("validation");
  const buffers = new Map<K, GPUBuffer>();
  for (
    const [name, value] of Object.entries(tensors) as [K, Float32Array | Uint32Array | number][]
  ) {
    const data = typeof value === "number" ? new Float32Array(value).fill(POISON) : value;
    const size = Math.ceil(data.byteLength / 16) * 16 + BEHIND;
    const buffer = device.createBuffer({ size, usage: STORAGE | COPY_DST | COPY_SRC });
    const contents = new Uint32Array(size / 4).fill(BEHIND_WORD);
    contents.set(new Uint32Array(data.buffer, data.byteOffset, data.length));
    device.queue.writeBuffer(buffer, 0, contents);
    buffers.set(name, buffer);
  }
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  for (const launch of launches) {
    const pipeline = device.createComputePipeline({
      layout: "auto",
      compute: { module: device.createShaderModule({ code: launch.wgsl }), entryPoint: "main" },
    });
    const words = Uint32Array.from(launch.params);
    const size = Math.max(16, Math.ceil(words.byteLength / 16) * 16);
    const params = device.createBuffer({ size, usage: UNIFORM | COPY_DST });
    device.queue.writeBuffer(params, 0, words);
    const entries = [params, ...launch.operands.map(({ tensor }) => buffers.get(tensor)!)]
      .map((buffer, binding) => ({ binding, resource: { buffer } }));
    pass.setPipeline(pipeline);
    pass.setBindGroup(
      0,
      device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }),
    );
    pass.dispatchWorkgroups(...inRows(launch));
  }
  pass.end();
  const readers = [...buffers].map(([name, buffer]) => {
    const reader = device.createBuffer({ size: buffer.size, usage: MAP_READ | COPY_DST });
    encoder.copyBufferToBuffer(buffer, 0, reader, 0, buffer.size);
    return { name, reader };
  });
  device.queue.submit([encoder.finish()]);
  const error = await device.popErrorScope();
  assert(error === null, error?.message);
  const results = {} as Record<K, Float32Array>;
  for (const { name, reader } of readers) {
    await reader.mapAsync(MAP_READ);
    const value = tensors[name];
    const length = typeof value === "number" ? value : value.length;
    const contents = reader.getMappedRange().slice(0);
    const untouched = new Uint32Array(contents).subarray(length).every((w) => w === BEHIND_WORD);
    assert(untouched, `${name}: written behind its end`);
    results[name] = new Float32Array(contents, 0, length);
    reader.destroy();
    buffers.get(name)!.destroy();
  }
  return results;
}
