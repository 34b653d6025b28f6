import { assert, assertEquals, assertLess, assertLessOrEqual, assertNotEquals } from "@std/assert";
import { REFERENCE } from "../../src/cli/reference_backend.ts";
import type { Guidance, SamplingOptions } from "../../src/cli/sampling.ts";
import { openWebGpu } from "../../src/cli/webgpu_backend.ts";
import { picturesOf } from "../../src/data/image_grid.ts";
import { gamma } from "../../src/math/float32.ts";
import { normalTensor, streamOf } from "../../src/math/noise.ts";
import type { Tensor } from "../../src/math/tensor.ts";
import { unet } from "../../src/reference/unet.ts";
import type { TrainedPrediction } from "../../src/spec/checkpoint.ts";
import { DDPM_SCHEDULE, type ScheduleConfig } from "../../src/spec/schedule_config.ts";
import { gpuTest } from "../webgpu/gpu_test.ts";
import { liveParameters } from "../webgpu/networks.ts";
import { MICRO_CLASSES } from "./sample_models.ts";

const PARAMETERS = liveParameters(MICRO_CLASSES, 1);
/** "No class". */
const NONE = 3;

const OPTIONS: SamplingOptions = {
  ...{ sampler: "ddim", steps: 3, spacing: "trailing", eta: 0, variance: "betaTilde" },
  ...{ clip: "static", seed: 0, first: 2, count: 5, batch: 5, classes: [0, 1, 2], guidance: null },
};

function draw(
  options: Partial<SamplingOptions>,
  backend = REFERENCE,
  schedule: ScheduleConfig = DDPM_SCHEDULE,
): Promise<Tensor> {
  return backend.sampleImages(MICRO_CLASSES, PARAMETERS, schedule, { ...OPTIONS, ...options });
}

Deno.test("scale 1 is no guidance, and scale 0 is no class", async () => {
  const usual = await draw({});
  assertEquals(await draw({ guidance: { scale: 1, rescale: 0 } }), usual);
  const none = await draw({ classes: [NONE] });
  assertEquals(await draw({ guidance: { scale: 0, rescale: 0 } }), none);
  assertNotEquals(none, usual);
});

Deno.test("a guided sample is the same in any batch and alone", async () => {
  const guidance = { scale: 3, rescale: 0.7 };
  const five = await draw({ guidance });
  assertNotEquals(five, await draw({ guidance: { scale: 3, rescale: 0 } }));
  assertEquals(await draw({ guidance, batch: 2 }), five);
  const last = await draw({ guidance, first: 6, count: 1 });
  assertEquals(last.data, five.data.slice(4 * 64));
});

/** β of two times. In one step from the second, √ᾱ = 0.6 and √(1−ᾱ) = 0.8. */
const TWO_TIMES: ScheduleConfig = { kind: "betas", betas: [0.1, 0.6] };

for (const prediction of ["epsilon", "v", "x0"] satisfies TrainedPrediction[]) {
  Deno.test(`one guided step is what its equations say: prediction ${prediction}`, async () => {
    const guidance: Guidance = { scale: 2.5, rescale: 0.25 };
    const one = { steps: 1, count: 3, clip: "none", guidance, prediction } as const;
    const found = await draw(one, REFERENCE, TWO_TIMES);
    const streams = [2, 3, 4].map((i) => streamOf("sample", i, 0));
    const xT = normalTensor(0, streams, [3, 1, 8, 8]);
    const output = (classLabels: number[]) =>
      unet(MICRO_CLASSES, PARAMETERS, xT, [1, 1, 1], { classLabels }).data;
    // Samples 2, 3 and 4 are of classes 2, 0 and 1.
    const c = output([2, 0, 1]), u = output([NONE, NONE, NONE]);
    for (let n = 0; n < 3; n++) {
      const at = Array.from({ length: 64 }, (_, i) => 64 * n + i);
      const deviation = (values: number[]) => {
        const mean = values.reduce((a, b) => a + b) / 64;
        return Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / 64);
      };
      const pushed = at.map((i) => u[i] + 2.5 * (c[i] - u[i]));
      const ratio = deviation(at.map((i) => c[i])) / deviation(pushed);
      for (const [k, i] of at.entries()) {
        const guided = 0.25 * ratio * pushed[k] + 0.75 * pushed[k];
        const [x0, size] = {
          epsilon: [(xT.data[i] - 0.8 * guided) / 0.6, (1 + 0.8 * Math.abs(guided)) / 0.6],
          v: [0.6 * xT.data[i] - 0.8 * guided, 1 + Math.abs(guided)],
          x0: [guided, Math.abs(guided)],
        }[prediction];
        // Two roundings to float32 lie between: of the guided output and of the image; 3 for the doubles.
        assertLess(
          Math.abs(found.data[i] - x0),
          gamma(3) * (size + Math.abs(x0) + Math.abs(xT.data[i])),
        );
      }
    }
  });
}

gpuTest("guided samples with classes are the reference's, in any batch", async () => {
  const backend = await openWebGpu({ recorded: {} });
  const cases: Partial<SamplingOptions>[] = [
    { guidance: { scale: 2, rescale: 0 } },
    { guidance: { scale: 2, rescale: 0.7 }, sampler: "ddpm" },
    { guidance: { scale: 0, rescale: 0 }, eta: 0.5 },
    { guidance: { scale: 2, rescale: 0 }, prediction: "v" },
    { guidance: null },
    { guidance: null, prediction: "x0" },
    { guidance: null, interpolate: { seed: 1, columns: 4 } },
  ];
  for (const options of cases) {
    const title = JSON.stringify(options);
    const found = await draw(options, backend);
    const exact = await draw(options);
    // ε̂ of order 1 is known to some 1e-6 on the device (unet_test.ts), its guided value to 2 + 1 times that; a
    // step from ᾱ_T multiplies it by 1/√ᾱ_T = 157 at most: 5e-4, less than a byte, 8e-3.
    const [a, b] = [found, exact].map((images) => picturesOf(images).data);
    assertLessOrEqual(Math.max(...a.map((byte, i) => Math.abs(byte - b[i]))), 1, title);
    // Batches of two, two and one.
    assertEquals(await draw({ ...options, batch: 2 }, backend), found, title);
  }
  backend.close();
});

gpuTest("frames on the device are the reference's, whatever the batch", async () => {
  const backend = await openWebGpu({ recorded: {} });
  const framesOf = async (on: typeof backend, batch: number) => {
    const frames = new Map<string, Tensor>();
    const options = { ...OPTIONS, steps: 5, batch, guidance: { scale: 1.5, rescale: 0.5 } };
    await on.sampleImages(MICRO_CLASSES, PARAMETERS, DDPM_SCHEDULE, options, {
      frames: {
        every: 2,
        onFrame: ({ step, start, x, x0 }) => {
          frames.set(`x ${step} ${start}`, x);
          frames.set(`x0 ${step} ${start}`, x0);
        },
      },
    });
    return frames;
  };
  const found = await framesOf(backend, 3), exact = await framesOf(REFERENCE, 3);
  const names = [0, 3].flatMap((start) =>
    [2, 4, 5].flatMap((step) => [`x ${step} ${start}`, `x0 ${step} ${start}`])
  );
  assertEquals([...found.keys()], names);
  assertEquals([...exact.keys()], names);
  for (const [name, { shape, data }] of found) {
    const reference = exact.get(name);
    assert(reference !== undefined);
    assertEquals(shape, reference.shape, name);
    // As above; x of early steps has values up to 4, x̂_0 at most 1.
    const apart = data.map((value, i) => Math.abs(value - reference.data[i]));
    assertLess(Math.max(...apart), 8e-3, name);
  }
  backend.close();
});
