/**
 * Operations of the protocol that a `GpuSampler` answers: single steps of its loop. Its network has no
 * weights but the last layer's bias, which is then its output: one channel for each number of the request.
 */
import { type Tensor, tensor } from "../../src/math/tensor.ts";
import { type CandidateOp, UnsupportedError } from "../../src/oracle/verify/mod.ts";
import { createSchedule } from "../../src/reference/schedule.ts";
import type { ScheduleConfig } from "../../src/spec/schedule_config.ts";
import { type UNetConfig, unetConfig } from "../../src/spec/unet_config.ts";
import { type Parameters, unetParameters } from "../../src/spec/unet_parameters.ts";
import {
  type DdimRowOptions,
  type DdpmRowOptions,
  type Gpu,
  GpuSampler,
  type SamplerFrame,
  type SamplerRowOptions,
  samplerTimes,
} from "../../src/webgpu/mod.ts";

/** A tensor as requests have it. */
export interface JsonTensor {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

/** What both steps are asked with; what has a default in the protocol may be absent. */
interface StepRequest {
  readonly schedule: ScheduleConfig;
  readonly t: number | readonly number[];
  readonly xt: JsonTensor;
  readonly modelOutput: JsonTensor;
  readonly z: JsonTensor;
  readonly clip?: { readonly kind: "static" | "dynamic"; readonly range?: number } | null;
}

type DdpmRequest =
  & StepRequest
  & Pick<DdpmRowOptions, "prediction" | "variance">
  & { readonly finalNoise?: boolean };

type DdimRequest =
  & StepRequest
  & Pick<DdimRowOptions, "prediction" | "eta">
  & {
    readonly tPrev: number | readonly number[];
    readonly rederiveEpsilon?: boolean;
    readonly finalAlphaBar?: number;
  };

/** A network of C channels whose output is `output` whatever its input is. */
function constantNetwork(C: number, output: Float32Array): [UNetConfig, Parameters] {
  const config = unetConfig({
    ...{ inChannels: C, outChannels: output.length, layersPerBlock: 1, addAttention: false },
    ...{ downBlockTypes: ["DownBlock2D"], upBlockTypes: ["UpBlock2D"] },
    ...{ blockOutChannels: [4], normNumGroups: 1 },
  });
  const parameters = new Map(
    unetParameters(config).map(({ name, shape }) => [
      name,
      name === "conv_out.bias" ? tensor(shape, output) : tensor(shape),
    ]),
  );
  return [config, parameters];
}

/** The numbers that one run of a sampler is given, in lists of one length. */
interface StepNumbers {
  readonly x: readonly number[];
  readonly output: readonly number[];
  /** Of a learned variance, else empty. */
  readonly raw: readonly number[];
  readonly z: readonly number[];
}

/** The step from t to tPrev, the first of a sampler that visits the two, or the only one for tPrev = 0. */
async function step(
  gpu: Gpu,
  { schedule: config }: StepRequest,
  [t, tPrev]: readonly [number, number],
  { x, output, raw, z }: StepNumbers,
  steps: SamplerRowOptions,
): Promise<SamplerFrame> {
  const schedule = createSchedule(config);
  const ofProcess = samplerTimes(schedule);
  const timesteps = tPrev === 0 ? [t] : [tPrev, t];
  const levels = timesteps.map((time) => ofProcess.levels[ofProcess.timesteps.indexOf(time)]);
  const D = x.length, shape = [1, D, 1, 1];
  const [network, parameters] = constantNetwork(D, Float32Array.from([...output, ...raw]));
  const sampler = await GpuSampler.create(gpu, network, parameters, {
    ...{ batch: 1, height: 1, width: 1, frames: true },
    times: { timesteps, levels },
    steps,
  });
  // Only the first step was asked for.
  const ending = new AbortController();
  let frame: SamplerFrame | null = null;
  try {
    await sampler.sample({
      xT: tensor(shape, x),
      noiseAt: () => tensor(shape, z),
      signal: ending.signal,
      frames: {
        every: 1,
        onFrame: (shown) => {
          frame = shown;
          ending.abort();
        },
      },
    });
  } catch (error) {
    if (error !== ending.signal.reason) throw error;
  } finally {
    sampler.destroy();
  }
  if (frame === null) throw new Error("Expected a frame of the first step but got none");
  return frame;
}

/** A batch's step: of one sampler if it has one time, of one per sample otherwise. */
async function steps(
  gpu: Gpu,
  request: StepRequest,
  times: (n: number) => readonly [number, number],
  options: SamplerRowOptions,
): Promise<Readonly<Record<"x" | "x0", Tensor>>> {
  const { shape, data } = request.xt, N = shape[0], D = data.length / N;
  const { modelOutput, z } = request, learned = modelOutput.data.length > data.length;
  const range = (from: number, to: number): StepNumbers => {
    const parts = learned ? 2 : 1;
    const part = (k: number) =>
      Array.from(
        { length: (to - from) * D },
        (_, i) => modelOutput.data[((from + Math.floor(i / D)) * parts + k) * D + i % D],
      );
    return {
      x: data.slice(from * D, to * D),
      output: part(0),
      raw: learned ? part(1) : [],
      z: z.data.slice(from * D, to * D),
    };
  };
  const all = Array.from({ length: N }, (_, n) => times(n));
  const shared = all.every((time) => String(time) === String(all[0]));
  const ranges = shared ? [[0, N]] : all.map((_, n) => [n, n + 1]);
  const x: number[] = [], x0: number[] = [];
  for (const [from, to] of ranges) {
    const frame = await step(gpu, request, all[from], range(from, to), options);
    x.push(...frame.x.data);
    x0.push(...frame.x0.data);
  }
  return { x: tensor(shape, x), x0: tensor(shape, x0) };
}

function clipRange({ clip }: StepRequest): number | null {
  if (clip?.kind === "dynamic") throw new UnsupportedError("no dynamic clipping");
  return clip ? clip.range ?? 1 : null;
}

const timeOf = (times: number | readonly number[], n: number): number =>
  typeof times === "number" ? times : times[n];

/** `ddpm_step` and `ddim_step`. */
export function stepOps(gpu: Gpu): Readonly<Record<string, CandidateOp>> {
  return {
    ddpm_step: (asked) => {
      const request = asked as unknown as DdpmRequest;
      const { schedule, t, prediction, variance, finalNoise } = request;
      const { timesteps } = createSchedule(schedule);
      const previous = (time: number) => timesteps[timesteps.indexOf(time) - 1] ?? 0;
      if (finalNoise && [t].flat().some((time) => previous(time) === 0)) {
        throw new UnsupportedError("no noise in the step that ends at time 0");
      }
      const times = (n: number) => [timeOf(t, n), previous(timeOf(t, n))] as const;
      const read = { prediction, variance, clipRange: clipRange(request) };
      return steps(gpu, request, times, { kind: "ddpm", ...read });
    },
    ddim_step: (asked) => {
      const request = asked as unknown as DdimRequest;
      const { t, tPrev, prediction, eta, rederiveEpsilon = true, finalAlphaBar = 1 } = request;
      if (finalAlphaBar !== 1 && [tPrev].flat().includes(0)) {
        throw new UnsupportedError("no ᾱ other than 1 at time 0");
      }
      const times = (n: number) => [timeOf(t, n), timeOf(tPrev, n)] as const;
      const read = { prediction, eta, rederiveEpsilon, clipRange: clipRange(request) };
      return steps(gpu, request, times, { kind: "ddim", ...read });
    },
  };
}
