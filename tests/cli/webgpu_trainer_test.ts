import { assertLess, assertNotEquals } from "@std/assert";
import type { StepResult, TrainingTask } from "../../src/cli/backend.ts";
import { REFERENCE } from "../../src/cli/reference_backend.ts";
import { openWebGpu } from "../../src/cli/webgpu_backend.ts";
import { type RunState, trainBatch } from "../../src/cli/trainer.ts";
import type { ImageDataset } from "../../src/data/image_dataset.ts";
import { createSchedule } from "../../src/reference/schedule.ts";
import { zerosLike } from "../../src/reference/nn/zeros_like.ts";
import { DDPM_SCHEDULE } from "../../src/spec/schedule_config.ts";
import { unetConfig } from "../../src/spec/unet_config.ts";
import type { Parameters } from "../../src/spec/unet_parameters.ts";
import { gpuTest } from "../webgpu/gpu_test.ts";
import { liveParameters } from "../webgpu/networks.ts";
import { MICRO } from "./support.ts";

const config = unetConfig({ ...MICRO, numClassEmbeds: 11 });
const schedule = createSchedule(DDPM_SCHEDULE);
const dataset: ImageDataset = {
  count: 24,
  imageShape: [1, 8, 8],
  pixels: Uint8Array.from({ length: 24 * 64 }, (_, i) => (i * 37) % 256),
  labels: Uint8Array.from({ length: 24 }, (_, i) => i % 10),
  classes: 10,
};

function stateOf(model: Parameters): RunState {
  const zeros = () => new Map([...model].map(([name, theta]) => [name, zerosLike(theta)]));
  return { model, ema: model, m: zeros(), v: zeros() };
}

/** ‖a − b‖/‖b‖ over all parameters. */
function distance(a: Parameters, b: Parameters): number {
  let squares = 0, whole = 0;
  for (const [name, { data }] of b) {
    data.forEach((value, i) => {
      squares += ((a.get(name)?.data[i] ?? NaN) - value) ** 2;
      whole += value * value;
    });
  }
  return Math.sqrt(squares / whole);
}

/**
 * Sums of some hundred products in float32 are known to 1e-5, as in unet_test.ts, and so are a loss and a
 * gradient made of them; a target, weight, class or mask in the wrong place moves them by 1e-2 or more.
 */
const CLOSE = 1e-4;

gpuTest(
  "a step with classes, masks, weights and v, in parts or not, is the reference's",
  async () => {
    const batch = trainBatch(dataset, schedule, 3, 0, 4, { labelDrop: 0.3, flip: true });
    assertNotEquals(batch.classes?.filter((label) => label === 10).length, 4);
    const backend = await openWebGpu({ recorded: {} });
    const shared = {
      config,
      schedule,
      seed: 3,
      batch: 4,
      state: stateOf(liveParameters(config, 5)),
    };
    const optimiser = {
      ...{ lr: 0.01, warmup: 0, decay: 0, ema: 0.5, clipNorm: 0.5 },
      ...{ beta1: 0.7, beta2: 0.9, eps: 1e-3, weightDecay: 0.5 },
    };
    for (
      const [prediction, loss, accumulate] of [
        ["epsilon", "simple", 1],
        ["v", "min-snr", 2],
        ["x0", "p2", 1],
      ] as const
    ) {
      const objective = { prediction, loss };
      const task: TrainingTask = { ...shared, accumulate, optimiser, objective };
      const [found, expected] = await Promise.all(
        [backend, REFERENCE].map(async (device): Promise<[StepResult, RunState]> => {
          const trainer = await device.trainer(task, () => {});
          const result = await trainer.step(batch, 1);
          const state = await trainer.state();
          trainer.close();
          return [result, state];
        }),
      );
      const near = (a: number, b: number, what: string) =>
        assertLess(Math.abs(a - b) / b, CLOSE, `${what} with ${prediction} and ${loss}`);
      near(found[0].loss, expected[0].loss, "loss");
      near(found[0].gradNorm, expected[0].gradNorm, "gradient norm");
      for (let n = 0; n < 4; n++) near(found[0].losses[n], expected[0].losses[n], `loss of ${n}`);
      for (const part of ["model", "ema", "m", "v"] as const) {
        assertLess(
          distance(found[1][part], expected[1][part]),
          CLOSE,
          `${part} with ${prediction}`,
        );
      }
    }
    backend.close();
  },
);
