/**
 * The tensors among the vectors: tables of the schedules in use, and a small network with its weights,
 * inputs, output and gradients.
 *
 * @module
 */
import { normalDoubles } from "../../math/noise.ts";
import { sizeOf, type Tensor, tensor } from "../../math/tensor.ts";
import { createSchedule } from "../../reference/schedule.ts";
import { unetBackward, unetForward } from "../../reference/unet.ts";
import { DDPM_SCHEDULE, type ScheduleConfig } from "../../spec/schedule_config.ts";
import { unetConfigFromDiffusers } from "../../spec/unet_config.ts";
import { unetParameters } from "../../spec/unet_parameters.ts";
import type { Request } from "../verify/draw/parts.ts";
import { TENSORS } from "./manifest.ts";

/** The schedules that publications and checkpoints use, by the name that their tensors have. */
export const SCHEDULES: Readonly<Record<string, ScheduleConfig>> = {
  "ddpm": DDPM_SCHEDULE,
  "cosine": { kind: "cosine", T: 1000, s: 0.008, maxBeta: 0.999 },
  "scaled-linear": { kind: "quadratic", T: 1000, betaStart: 0.00085, betaEnd: 0.012 },
  "sigmoid": { kind: "sigmoid", T: 1000, betaStart: 1e-4, betaEnd: 0.02 },
  "ddpm-zero-snr": { ...DDPM_SCHEDULE, zeroTerminalSnr: true },
  "ddpm-every-20th": {
    ...DDPM_SCHEDULE,
    keep: Array.from({ length: 50 }, (_, i) => 1 + 20 * i),
  },
};

/** Fields of the network's config: two levels, attention in the lower one. */
const CONFIG = {
  sample_size: 8,
  in_channels: 2,
  out_channels: 2,
  block_out_channels: [8, 16],
  layers_per_block: 1,
  down_block_types: ["DownBlock2D", "AttnDownBlock2D"],
  up_block_types: ["AttnUpBlock2D", "UpBlock2D"],
  norm_num_groups: 4,
};
const TIMES = [0, 721];
const SHAPE = [2, 2, 8, 8];

/** Tensors of the tables of {@linkcode SCHEDULES}, `schedule.NAME.TABLE`, rounded to float32. */
export function scheduleTensors(): [string, Tensor][] {
  return Object.entries(SCHEDULES).flatMap(([name, config]) => {
    const { T: _, timesteps, ...tables } = createSchedule(config);
    return Object.entries({ timesteps, ...tables }).map(([table, values]): [string, Tensor] => [
      `schedule.${name}.${table}`,
      tensor([values.length], Float64Array.from(values)),
    ]);
  });
}

/** Values of a stream of normals, shifted and scaled. */
function drawn(seed: number, stream: number, shape: readonly number[], mean = 0, deviation = 1) {
  const normals = normalDoubles(seed, stream, 0, sizeOf(shape));
  return tensor(shape, normals.map((z) => mean + deviation * z));
}

/** First stream of the inputs: there are fewer parameters than this. */
const INPUTS = 2 ** 20;

/**
 * The network's parameters under their own names, `x`, `target`, `timesteps` and `output`, and the
 * gradients of mean((output − target)²) as `grad.x` and `grad.PARAMETER`.
 *
 * Weights are as large as to keep activations near 1, and the last convolution is not zero as it is in
 * a new network, which would hide everything before it.
 */
export function unetTensors(seed: number): [string, Tensor][] {
  const config = unetConfigFromDiffusers(CONFIG);
  const parameters = new Map(
    unetParameters(config).map(({ name, shape }, k): [string, Tensor] => [
      name,
      shape.length > 1
        ? drawn(seed, k, shape, 0, 1 / Math.sqrt(sizeOf(shape.slice(1))))
        : drawn(seed, k, shape, name.endsWith("weight") ? 1 : 0, 0.1),
    ]),
  );
  const x = drawn(seed, INPUTS, SHAPE), target = drawn(seed, INPUTS + 1, SHAPE);
  const { output, tape } = unetForward(config, parameters, x, TIMES, {});
  const size = output.data.length;
  const dOutput = tensor(
    output.shape,
    Float64Array.from(output.data, (y, i) => 2 * (y - target.data[i]) / size),
  );
  const { dX, gradients } = unetBackward(tape, dOutput);
  return [
    ...parameters,
    ["x", x],
    ["target", target],
    ["timesteps", tensor([TIMES.length], Float64Array.from(TIMES))],
    ["output", output],
    ["grad.x", dX],
    ...[...gradients].map(([name, g]): [string, Tensor] => [`grad.${name}`, g]),
  ];
}

/** Requests of `unet` about that network, with its tensors taken from the file. */
export function unetRequests(): Request[] {
  const stored = (name: string) => ({ safetensors: TENSORS, name });
  const request = { op: "unet", config: CONFIG, weights: TENSORS, x: stored("x") };
  return [
    { ...request, timesteps: TIMES },
    { ...request, timesteps: TIMES[1] },
    { ...request, timesteps: TIMES, target: stored("target") },
  ];
}
