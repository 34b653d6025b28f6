/**
 * Times kernel launches as fractions of the adapter's peak of fused multiply-adds.
 *
 * Other processes share a software adapter's cores, so absolute times jump; the peak kernel runs
 * right before and after each measurement, and the median of the ratios is what counts. On a software
 * adapter the same ratio of processor times is steadier still: others' work does not enter it.
 *
 * @module
 */
import process from "node:process";
import type { Gpu } from "../../src/webgpu/device.ts";
import type { Launch } from "../../src/webgpu/kernel.ts";

const LANES = 8;
const CHAINS = 8;
const UNROLL = 8;
/** So many that starting the launch takes no share of it: an eighth as many find a peak a tenth lower. */
const TURNS = 4096;
const WORKGROUPS = 256;
/** Multiplications and additions of the peak kernel. */
const PEAK_FLOPS = 2 * CHAINS * UNROLL * TURNS * WORKGROUPS * LANES;

const names = Array.from({ length: CHAINS }, (_, i) => `a${i}`);
const PEAK = `@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@compute @workgroup_size(${LANES})
fn main(@builtin(global_invocation_id) g: vec3u) {
  let x = out[0];
  let y = out[1];
  ${names.map((a, i) => `var ${a} = f32(g.x) + ${i}.0;`).join("\n")}
  for (var k = 0u; k < ${TURNS}u; k++) {
    ${names.map((a) => `${a} = fma(${a}, x, y);`).join("\n").concat("\n").repeat(UNROLL)}
  }
  out[g.x + 2u] = ${names.join(" + ")};
}`;

/** Runs that are not counted, after the first one, which compiles. */
const WARM_UP = 5;

/** One sequence of launches as measured. */
export interface Timing {
  /** Median milliseconds. */
  readonly ms: number;
  /** Median milliseconds of each launch, measured one by one; empty unless asked for. */
  readonly each: readonly number[];
  /** Median of FLOP/s divided by the peak measured around it. */
  readonly fractionOfPeak: number;
  /** The same ratio with the process's processor time for time: for software adapters. */
  readonly cpuFractionOfPeak: number;
  /** Median of the process's processor milliseconds. */
  readonly cpuMs: number;
  /** Median of the peak, in GFLOP/s. */
  readonly peakGflops: number;
  /** Milliseconds until the pipelines had been made and run once. */
  readonly compileMs: number;
}

interface Step {
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
  readonly workgroups: readonly [number, number, number];
}

/** Milliseconds of one run: on the device, and of the process's processor time. */
interface Run {
  readonly ms: number;
  readonly cpuMs: number;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}

/** Measures launches over tensors of given sizes. */
export class GpuTimer {
  readonly #device: GPUDevice;
  readonly #queries: GPUQuerySet;
  readonly #resolved: GPUBuffer;
  readonly #readback: GPUBuffer;
  readonly #pipelines = new Map<string, GPUComputePipeline>();
  readonly #peak: Step;

  /** @throws {Error} if the device has no timestamp queries. */
  constructor(gpu: Gpu) {
    const { device } = gpu;
    if (!device.features.has("timestamp-query")) {
      throw new Error("Expected an adapter with timestamp-query but this one has none");
    }
    this.#device = device;
    this.#queries = device.createQuerySet({ type: "timestamp", count: 2 });
    const { QUERY_RESOLVE, COPY_SRC, COPY_DST, MAP_READ, STORAGE } = GPUBufferUsage;
    this.#resolved = device.createBuffer({ size: 16, usage: QUERY_RESOLVE | COPY_SRC });
    this.#readback = device.createBuffer({ size: 16, usage: MAP_READ | COPY_DST });
    const pipeline = this.#pipeline(PEAK);
    const buffer = device.createBuffer({ size: 4 * (WORKGROUPS * LANES + 2), usage: STORAGE });
    this.#peak = {
      pipeline,
      bindGroup: device.createBindGroup({
        layout: pipeline.getBindGroupLayout(0),
        entries: [{ binding: 0, resource: { buffer } }],
      }),
      workgroups: [WORKGROUPS, 1, 1],
    };
  }

  #pipeline(code: string): GPUComputePipeline {
    let pipeline = this.#pipelines.get(code);
    if (pipeline === undefined) {
      const module = this.#device.createShaderModule({ code });
      pipeline = this.#device.createComputePipeline({
        layout: "auto",
        compute: { module, entryPoint: "main" },
      });
      this.#pipelines.set(code, pipeline);
    }
    return pipeline;
  }

  async #run(steps: readonly Step[]): Promise<Run> {
    const cpu = process.cpuUsage();
    const encoder = this.#device.createCommandEncoder();
    const pass = encoder.beginComputePass({
      timestampWrites: {
        querySet: this.#queries,
        beginningOfPassWriteIndex: 0,
        endOfPassWriteIndex: 1,
      },
    });
    for (const { pipeline, bindGroup, workgroups } of steps) {
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, bindGroup);
      pass.dispatchWorkgroups(...workgroups);
    }
    pass.end();
    encoder.resolveQuerySet(this.#queries, 0, 2, this.#resolved, 0);
    encoder.copyBufferToBuffer(this.#resolved, 0, this.#readback, 0, 16);
    this.#device.queue.submit([encoder.finish()]);
    await this.#readback.mapAsync(GPUMapMode.READ);
    const [begin, end] = new BigUint64Array(this.#readback.getMappedRange().slice(0));
    this.#readback.unmap();
    const { user, system } = process.cpuUsage(cpu);
    return { ms: Number(end - begin) / 1e6, cpuMs: (user + system) / 1e3 };
  }

  /** The adapter's peak of fused multiply-adds right now, in FLOP/s. */
  async peak(): Promise<number> {
    return PEAK_FLOPS / (await this.#run([this.#peak])).ms * 1e3;
  }

  /**
   * Times a sequence of launches.
   *
   * @param sizes elements of each tensor; contents are zeros.
   * @param flops what the sequence counts as; default: the sum over its launches.
   */
  async measure<K extends string>(
    launches: readonly Launch<K>[],
    sizes: Readonly<Record<K, number>>,
    options: { repeats?: number; flops?: number; each?: boolean } = {},
  ): Promise<Timing> {
    const { repeats = 9, flops = launches.reduce((sum, l) => sum + l.flops, 0) } = options;
    const { STORAGE, COPY_DST, UNIFORM } = GPUBufferUsage;
    const owned: GPUBuffer[] = [];
    const create = (bytes: number, usage: number): GPUBuffer => {
      const size = Math.max(16, Math.ceil(bytes / 16) * 16);
      const buffer = this.#device.createBuffer({ size, usage });
      owned.push(buffer);
      return buffer;
    };
    const buffers = new Map<string, GPUBuffer>();
    for (const [name, size] of Object.entries(sizes) as [K, number][]) {
      buffers.set(name, create(4 * size, STORAGE | COPY_DST));
    }
    this.#device.pushErrorScope("validation");
    const start = performance.now();
    const steps = launches.map((launch): Step => {
      const pipeline = this.#pipeline(launch.wgsl);
      const words = Uint32Array.from(launch.params);
      const params = create(words.byteLength, UNIFORM | COPY_DST);
      this.#device.queue.writeBuffer(params, 0, words);
      const entries = [params, ...launch.operands.map(({ tensor }) => buffers.get(tensor)!)]
        .map((buffer, binding) => ({ binding, resource: { buffer } }));
      const layout = pipeline.getBindGroupLayout(0);
      const bindGroup = this.#device.createBindGroup({ layout, entries });
      return { pipeline, bindGroup, workgroups: launch.workgroups };
    });
    await this.#run(steps);
    const compileMs = performance.now() - start;
    const error = await this.#device.popErrorScope();
    if (error !== null) throw new Error(error.message);
    const runs: Run[] = [], peaks: number[] = [], fractions: number[] = [], cpu: number[] = [];
    // After a pause both threads of a software adapter may share a core for some dozen milliseconds.
    for (let i = 0; i < WARM_UP; i++) await this.#run(steps);
    for (let i = 0; i < repeats; i++) {
      const before = await this.#run([this.#peak]);
      const run = await this.#run(steps);
      const after = await this.#run([this.#peak]);
      const peak = PEAK_FLOPS / ((before.ms + after.ms) / 2);
      const cpuPeak = PEAK_FLOPS / ((before.cpuMs + after.cpuMs) / 2);
      runs.push(run);
      peaks.push(peak / 1e6);
      fractions.push(flops / run.ms / peak);
      cpu.push(flops / run.cpuMs / cpuPeak);
    }
    const each: number[] = [];
    if (options.each) {
      for (const step of steps) {
        const own: number[] = [];
        for (let i = 0; i < repeats; i++) own.push((await this.#run([step])).ms);
        each.push(median(own));
      }
    }
    for (const buffer of owned) buffer.destroy();
    return {
      ms: median(runs.map((run) => run.ms)),
      each,
      fractionOfPeak: median(fractions),
      cpuFractionOfPeak: median(cpu),
      cpuMs: median(runs.map((run) => run.cpuMs)),
      peakGflops: median(peaks),
      compileMs,
    };
  }
}
