/**
 * Measuring which kernels an adapter is fastest with: candidates side by side and in turns, so that
 * whatever else the machine does falls on all of them alike.
 *
 * @module
 */
import type { UNetConfig } from "../spec/unet_config.ts";
import { convLayers, convPlan, type NamedConv } from "../webgpu/conv_layers.ts";
import type { Gpu } from "../webgpu/device.ts";
import { Executor, type SharedBuffers } from "../webgpu/executor.ts";
import type { BufferName, Plan } from "../webgpu/plan.ts";
import { unetPlan } from "../webgpu/unet_plan.ts";
import {
  type ConvAlgorithm,
  convAlgorithm,
  convCandidates,
  convKey,
  type Variants,
} from "../webgpu/variants.ts";

/** What is tuned, and how carefully. */
export interface TuneRequest {
  readonly gpu: Gpu;
  readonly config: UNetConfig;
  readonly height: number;
  readonly width: number;
  readonly batch: number;
  /** Whether gradients count as well. */
  readonly training: boolean;
  /** Measurements per candidate, after one for warming up. */
  readonly rounds: number;
  readonly onProgress: (text: string) => void;
}

/**
 * Milliseconds of each candidate: the least time of every launch, summed. What else a machine does can only
 * make a launch slower, so the least is nearest to what the kernel costs.
 */
export type Times = ReadonlyMap<string, number>;

/** A candidate has to be this much faster than the choice so far: less is within a measurement's error. */
const WORTHWHILE = 0.97;

/** The fastest, or the choice so far where nothing is clearly faster. */
export function fastest(times: Times, soFar: string): string {
  const [name, ms] = [...times].reduce((a, b) => b[1] < a[1] ? b : a);
  const present = times.get(soFar);
  return present !== undefined && ms > WORTHWHILE * present ? soFar : name;
}

/**
 * Measures the candidates' plans in turns.
 *
 * @param shared buffers that are laid out alike in all of them; their values make no difference to the time.
 * @param counts which kernels' launches are timed.
 */
async function race(
  { gpu, rounds }: TuneRequest,
  candidates: ReadonlyMap<string, Plan>,
  shared: readonly BufferName[],
  counts: (kernel: string) => boolean = () => true,
): Promise<Times> {
  const executors = new Map<string, Executor>();
  try {
    let first: Executor | null = null;
    for (const [name, plan] of candidates) {
      const buffers: SharedBuffers = first?.buffers ?? {};
      const lent = Object.fromEntries(shared.map((buffer) => [buffer, buffers[buffer]]));
      const executor: Executor = await Executor.create(gpu, plan, lent);
      first ??= executor;
      executors.set(name, executor);
    }
    const least = new Map([...executors.keys()].map((name) => [name, [] as number[]]));
    for (let round = 0; round <= rounds; round++) {
      const order = [...executors];
      for (const [name, executor] of round % 2 === 0 ? order : order.toReversed()) {
        const times = await launchTimes(gpu, executor, counts);
        const before = least.get(name) ?? [];
        if (round > 0) {
          least.set(name, times.map((ms, i) => Math.min(ms, before[i] ?? Infinity)));
        }
      }
    }
    return new Map([...least].map(([name, times]) => [name, times.reduce((a, b) => a + b, 0)]));
  } finally {
    for (const executor of executors.values()) executor.destroy();
  }
}

/** Milliseconds of the launches that count; without timestamps, wall time of the whole phase. */
async function launchTimes(
  { device }: Gpu,
  executor: Executor,
  counts: (kernel: string) => boolean,
): Promise<number[]> {
  if (device.features.has("timestamp-query")) {
    const times = await executor.profile("step");
    return times.filter(({ launch }) => counts(launch.kernel))
      .map(({ nanoseconds }) => nanoseconds / 1e6);
  }
  const begin = performance.now();
  executor.run("step");
  await device.queue.onSubmittedWorkDone();
  return [performance.now() - begin];
}

/** Measures the whole forward pass under each of some variants, as far as certain kernels go. */
export function raceNetworks(
  request: TuneRequest,
  candidates: ReadonlyMap<string, Variants>,
  counts: (kernel: string) => boolean,
): Promise<Times> {
  const { config, batch, height, width } = request;
  const plans = new Map(
    [...candidates].map(([name, variants]) => [
      name,
      unetPlan({ config, batch, height, width, variants }).plan,
    ]),
  );
  return race(request, plans, ["parameters", "prepared"], counts);
}

/** A convolution's key, how often the network has it, and the candidates' times for all of those together. */
export interface ConvRace {
  readonly key: string;
  readonly count: number;
  readonly times: Times;
  /** What the variants that the race began with would do. */
  readonly soFar: ConvAlgorithm;
  readonly chosen: ConvAlgorithm;
}

/** Convolutions with the same key in groups of the same shape: one that doubles its input is another. */
function groups(layers: readonly NamedConv[]): Map<string, NamedConv[][]> {
  const byKey = new Map<string, NamedConv[][]>();
  for (const conv of layers) {
    const key = convKey(conv.layer);
    const known = byKey.get(key) ?? [];
    byKey.set(key, known);
    const alike = known.find(([{ shape }]) => shape.upsampled === conv.shape.upsampled);
    if (alike === undefined) known.push([conv]);
    else alike.push(conv);
  }
  return byKey;
}

/** Measures every convolution of a network under every algorithm that can compute it. */
export async function raceConvolutions(
  request: TuneRequest,
  variants: Variants,
): Promise<ConvRace[]> {
  const { config, batch, height, width, training, onProgress } = request;
  const byKey = groups(convLayers(config, height, width));
  const races: ConvRace[] = [];
  for (const [key, alike] of byKey) {
    onProgress(`${races.length + 1} of ${byKey.size} convolutions: ${key}`);
    const { layer } = alike[0][0];
    const soFar = convAlgorithm(variants, layer);
    const candidates = convCandidates(layer);
    const times = new Map<string, number>();
    for (const convs of alike) {
      const plans = new Map(candidates.map((algorithm) => {
        const convolutions = { ...variants.convolutions, [key]: algorithm };
        const conv = convs[0];
        const one = { config, conv, batch, training, variants: { ...variants, convolutions } };
        return [algorithm, convPlan(one).plan];
      }));
      for (const [name, ms] of await race(request, plans, ["parameters", "gradients"])) {
        times.set(name, (times.get(name) ?? 0) + convs.length * ms);
      }
    }
    const chosen = fastest(times, soFar) as ConvAlgorithm;
    const count = alike.reduce((sum, convs) => sum + convs.length, 0);
    races.push({ key, count, times, soFar, chosen });
  }
  return races;
}
