/**
 * Runs a plan on a device: buffers, pipelines and bind groups are made once, then every phase is one
 * submission.
 *
 * @module
 */
import { type Gpu, guarded, reasonOfLoss } from "./device.ts";
import { FeatureError, LimitError } from "./errors.ts";
import { ENABLE_HALF, ENABLE_SUBGROUPS } from "./kernel.ts";
import type { BufferName, Phase, Plan, PlannedLaunch, PlanTensor } from "./plan.ts";

const BYTES = 4;
/** Params blocks start at multiples of this: WebGPU's uniform-offset alignment. */
const PARAMS_ALIGNMENT = 256;

/** One launch as it is encoded. */
interface Encoded {
  readonly launch: PlannedLaunch;
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
}

/** How far the making of an executor has come. */
export interface CompileProgress {
  /** Pipelines made. */
  readonly done: number;
  /** Pipelines in all. */
  readonly total: number;
}

/** Buffers that several executors share, by name: a training plan and its sampler use the same weights. */
export type SharedBuffers = Partial<Record<BufferName, GPUBuffer>>;

/** A plan with everything it needs on a device. */
export class Executor {
  readonly #gpu: Gpu;
  readonly #buffers: Record<BufferName, GPUBuffer>;
  readonly #owned: readonly GPUBuffer[];
  readonly #encoded: readonly Encoded[];
  /** The plan that it runs. */
  readonly plan: Plan;

  private constructor(
    gpu: Gpu,
    plan: Plan,
    buffers: Record<BufferName, GPUBuffer>,
    owned: readonly GPUBuffer[],
    encoded: readonly Encoded[],
  ) {
    this.#gpu = gpu;
    this.plan = plan;
    this.#buffers = buffers;
    this.#owned = owned;
    this.#encoded = encoded;
  }

  /**
   * Makes buffers and pipelines for a plan.
   *
   * @param shared buffers of another executor to use instead of own ones.
   * @throws {LimitError} before anything is allocated, if a buffer or tensor exceeds the device's limits.
   * @throws {FeatureError} likewise, if a shader needs a feature that the device lacks.
   * @throws {OutOfMemoryError | ShaderError | DeviceLostError}
   */
  static async create(
    gpu: Gpu,
    plan: Plan,
    shared: SharedBuffers = {},
    onProgress: (progress: CompileProgress) => void = () => {},
  ): Promise<Executor> {
    checkLimits(gpu, plan);
    checkFeatures(gpu, plan);
    const { device } = gpu;
    const owned: GPUBuffer[] = [];
    const create = (label: string, size: number, usage: number): Promise<GPUBuffer> =>
      guarded(gpu, `the ${label} buffer of ${size} bytes`, () => {
        const buffer = device.createBuffer({ label, size, usage });
        owned.push(buffer);
        return buffer;
      });
    try {
      const buffers = { ...shared } as Record<BufferName, GPUBuffer>;
      for (const [name, size] of Object.entries(plan.sizes) as [BufferName, number][]) {
        if (size === 0 || buffers[name] !== undefined) continue;
        const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
        buffers[name] = await create(name, size * BYTES, usage);
      }
      const words = paramsWords(plan);
      const params = await create(
        "params",
        Math.max(words.byteLength, PARAMS_ALIGNMENT),
        GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
      );
      device.queue.writeBuffer(params, 0, words);
      const encoded = await encode(gpu, plan, buffers, params, onProgress);
      const executor = new Executor(gpu, plan, buffers, owned, encoded);
      executor.#load();
      return executor;
    } catch (error) {
      for (const buffer of owned) buffer.destroy();
      throw error;
    }
  }

  /** The buffers, to share with another executor. */
  get buffers(): SharedBuffers {
    return this.#buffers;
  }

  /** Bytes of all buffers that this executor made. */
  get ownedBytes(): number {
    return this.#owned.reduce((sum, buffer) => sum + buffer.size, 0);
  }

  /** Submits all launches of phases, in that order, as one submission. @throws {DeviceLostError} if the device is gone. */
  run(...phases: readonly Phase[]): void {
    this.#submit(phases.flatMap((phase) => this.#encoded.filter((e) => e.launch.phase === phase)));
  }

  /** Submits the launches of `prepare` that read a tensor: after it was written to `staging`. */
  prepareFrom(tensor: PlanTensor): void {
    this.#submit(
      this.#encoded.filter(({ launch: { phase, operands } }) =>
        phase === "prepare" && operands.some((operand) => operand.tensor === tensor)
      ),
    );
  }

  /**
   * Submits every launch with no workgroups: what a driver puts off until a shader's first launch, and
   * the clearing of buffers before their first use, goes on in its own thread meanwhile.
   */
  #load(): void {
    this.#submit(this.#encoded, () => [0, 1, 1]);
  }

  #submit(
    launches: readonly Encoded[],
    workgroups: (launch: PlannedLaunch) => PlannedLaunch["workgroups"] = (l) => l.workgroups,
  ): void {
    if (this.#gpu.lost.reason !== null) throw this.#gpu.lost.reason;
    const encoder = this.#gpu.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (const { launch, pipeline, bindGroup } of launches) {
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, bindGroup);
      pass.dispatchWorkgroups(...workgroups(launch));
    }
    pass.end();
    this.#gpu.device.queue.submit([encoder.finish()]);
  }

  /** Writes data to the beginning of a tensor, or to `offset` elements into it. */
  write(tensor: PlanTensor, data: Float32Array | Uint32Array, offset = 0): void {
    this.#gpu.device.queue.writeBuffer(
      this.#buffers[tensor.buffer],
      (tensor.offset + offset) * BYTES,
      data as BufferSource,
    );
  }

  /** Sets a buffer to zero. */
  clear(buffer: BufferName): void {
    const encoder = this.#gpu.device.createCommandEncoder();
    encoder.clearBuffer(this.#buffers[buffer]);
    this.#gpu.device.queue.submit([encoder.finish()]);
  }

  /** Copies a buffer to another of its size. */
  copy(from: BufferName, to: BufferName): void {
    const { [from]: source, [to]: target } = this.#buffers;
    const encoder = this.#gpu.device.createCommandEncoder();
    encoder.copyBufferToBuffer(source, 0, target, 0, source.size);
    this.#gpu.device.queue.submit([encoder.finish()]);
  }

  /** Reads tensors back once all submitted work is done. */
  async read(...tensors: readonly PlanTensor[]): Promise<Float32Array[]> {
    if (this.#gpu.lost.reason !== null) throw this.#gpu.lost.reason;
    const { device } = this.#gpu;
    const total = tensors.reduce((sum, { size }) => sum + size, 0);
    const reader = device.createBuffer({
      size: Math.max(total * BYTES, BYTES),
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
    const encoder = device.createCommandEncoder();
    let at = 0;
    for (const { buffer, offset, size } of tensors) {
      encoder.copyBufferToBuffer(
        this.#buffers[buffer],
        offset * BYTES,
        reader,
        at * BYTES,
        size * BYTES,
      );
      at += size;
    }
    device.queue.submit([encoder.finish()]);
    try {
      await reader.mapAsync(GPUMapMode.READ);
    } catch (error) {
      throw await reasonOfLoss(this.#gpu) ?? error;
    }
    const all = new Float32Array(reader.getMappedRange().slice(0));
    reader.destroy();
    at = 0;
    return tensors.map(({ size }) => all.subarray(at, at += size));
  }

  /**
   * Time of every launch of a phase in nanoseconds, each in a pass of its own, by timestamp queries.
   *
   * @throws {Error} if the device has no timestamp queries.
   */
  async profile(phase: Phase): Promise<{ launch: PlannedLaunch; nanoseconds: number }[]> {
    const { device } = this.#gpu;
    const chosen = this.#encoded.filter(({ launch }) => launch.phase === phase);
    const nanoseconds: number[] = [];
    const perBatch = 1024;
    for (let from = 0; from < chosen.length; from += perBatch) {
      const part = chosen.slice(from, from + perBatch);
      const count = 2 * part.length;
      const querySet = device.createQuerySet({ type: "timestamp", count });
      const resolved = device.createBuffer({
        size: count * 8,
        usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
      });
      const reader = device.createBuffer({
        size: count * 8,
        usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
      });
      const encoder = device.createCommandEncoder();
      part.forEach(({ launch, pipeline, bindGroup }, i) => {
        const timestampWrites = {
          querySet,
          beginningOfPassWriteIndex: 2 * i,
          endOfPassWriteIndex: 2 * i + 1,
        };
        const pass = encoder.beginComputePass({ timestampWrites });
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, bindGroup);
        pass.dispatchWorkgroups(...launch.workgroups);
        pass.end();
      });
      encoder.resolveQuerySet(querySet, 0, count, resolved, 0);
      encoder.copyBufferToBuffer(resolved, 0, reader, 0, count * 8);
      device.queue.submit([encoder.finish()]);
      await reader.mapAsync(GPUMapMode.READ);
      const times = new BigUint64Array(reader.getMappedRange().slice(0));
      part.forEach((_, i) => nanoseconds.push(Number(times[2 * i + 1] - times[2 * i])));
      for (const buffer of [resolved, reader]) buffer.destroy();
      querySet.destroy();
    }
    return chosen.map(({ launch }, i) => ({ launch, nanoseconds: nanoseconds[i] }));
  }

  /** Frees the buffers that this executor made. */
  destroy(): void {
    for (const buffer of this.#owned) buffer.destroy();
  }
}

function checkLimits(gpu: Gpu, plan: Plan): void {
  const { maxBufferSize, maxStorageBufferBindingSize } = gpu.device.limits;
  for (const [name, size] of Object.entries(plan.sizes)) {
    if (size * BYTES > maxBufferSize) {
      throw new LimitError("maxBufferSize", size * BYTES, maxBufferSize, `the ${name} buffer`);
    }
  }
  for (const { layer, operands } of plan.launches) {
    for (const { tensor } of operands) {
      if (tensor.size * BYTES > maxStorageBufferBindingSize) {
        const what = `${tensor.label} of ${layer}`;
        const needed = tensor.size * BYTES;
        throw new LimitError(
          "maxStorageBufferBindingSize",
          needed,
          maxStorageBufferBindingSize,
          what,
        );
      }
    }
  }
}

/** Features by what shaders that need them begin with, and which tables do without. */
const FEATURES = [
  [ENABLE_HALF, "shader-f16", "whose weights are f32"],
  [ENABLE_SUBGROUPS, "subgroups" as GPUFeatureName, "whose other kernels are workgroup or lanes"],
] as const;

function checkFeatures(gpu: Gpu, plan: Plan): void {
  for (const [head, feature, instead] of FEATURES) {
    const launch = plan.launches.find(({ wgsl }) => wgsl.startsWith(head));
    if (launch === undefined || gpu.device.features.has(feature)) continue;
    throw new FeatureError(
      `Expected an adapter with ${feature} for ${launch.kernel} of ${launch.layer} but ` +
        `${gpu.adapter} has none; use a variant table ${instead}`,
    );
  }
}

function paramsWords(plan: Plan): Uint32Array<ArrayBuffer> {
  const perBlock = PARAMS_ALIGNMENT / BYTES;
  const words = new Uint32Array(plan.launches.length * perBlock);
  plan.launches.forEach(({ kernel, params }, i) => {
    if (params.length > perBlock) {
      throw new RangeError(`Expected at most ${perBlock} params of ${kernel}`);
    }
    words.set(params, i * perBlock);
  });
  return words;
}

async function encode(
  gpu: Gpu,
  plan: Plan,
  buffers: Record<BufferName, GPUBuffer>,
  params: GPUBuffer,
  onProgress: (progress: CompileProgress) => void,
): Promise<Encoded[]> {
  const { device } = gpu;
  const layouts = new Map<number, GPUBindGroupLayout>();
  const layoutFor = (operands: number): GPUBindGroupLayout => {
    const known = layouts.get(operands);
    if (known !== undefined) return known;
    const entries = Array.from({ length: operands + 1 }, (_, binding): GPUBindGroupLayoutEntry => ({
      binding,
      visibility: GPUShaderStage.COMPUTE,
      buffer: { type: binding === 0 ? "uniform" : "storage" },
    }));
    const layout = device.createBindGroupLayout({ entries });
    layouts.set(operands, layout);
    return layout;
  };
  const texts = new Map(plan.launches.map((launch) => [launch.wgsl, launch]));
  const pipelines = new Map<string, GPUComputePipeline>();
  for (const [code, { kernel, operands }] of texts) {
    onProgress({ done: pipelines.size, total: texts.size });
    const pipeline = await guarded(gpu, `the shader ${kernel}`, () =>
      device.createComputePipeline({
        label: kernel,
        layout: device.createPipelineLayout({ bindGroupLayouts: [layoutFor(operands.length)] }),
        compute: { module: device.createShaderModule({ code }), entryPoint: "main" },
      }));
    pipelines.set(code, pipeline);
  }
  onProgress({ done: pipelines.size, total: texts.size });
  return await guarded(gpu, "the bind groups", () =>
    plan.launches.map((launch, i) => {
      const entries: GPUBindGroupEntry[] = [{
        binding: 0,
        resource: { buffer: params, offset: i * PARAMS_ALIGNMENT, size: PARAMS_ALIGNMENT },
      }];
      launch.operands.forEach(({ tensor }, k) =>
        entries.push({
          binding: k + 1,
          resource: {
            buffer: buffers[tensor.buffer],
            offset: tensor.offset * BYTES,
            size: Math.ceil(tensor.size / 4) * 4 * BYTES,
          },
        })
      );
      const layout = layoutFor(launch.operands.length);
      return {
        launch,
        pipeline: pipelines.get(launch.wgsl) as GPUComputePipeline,
        bindGroup: device.createBindGroup({ layout, entries }),
      };
    }));
}
