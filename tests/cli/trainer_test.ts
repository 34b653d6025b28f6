import { assertAlmostEquals, assertEquals, assertLess, assertNotEquals } from "@std/assert";
import { heldOutLoss } from "../../src/cli/held_out.ts";
import { emaDecay, initialState, trainBatch, trainStep } from "../../src/cli/trainer.ts";
import type { ImageDataset } from "../../src/data/image_dataset.ts";
import { type Tensor, tensor } from "../../src/math/tensor.ts";
import { createSchedule } from "../../src/reference/schedule.ts";
import { DDPM_SCHEDULE } from "../../src/spec/schedule_config.ts";
import { MICRO } from "./support.ts";

/** 24 images of 8×8; all pixels of image i are the byte 10·i. */
const dataset: ImageDataset = {
  count: 24,
  imageShape: [1, 8, 8],
  pixels: Uint8Array.from({ length: 24 * 64 }, (_, i) => 10 * Math.floor(i / 64)),
  labels: Uint8Array.from({ length: 24 }, (_, i) => i % 10),
  classes: 10,
};
const schedule = createSchedule(DDPM_SCHEDULE);

/** The examples of a batch, each by itself. */
function examples({ x0, noise, times, items }: ReturnType<typeof trainBatch>) {
  const part = ({ data }: Tensor, n: number) => [...data.subarray(n * 64, n * 64 + 64)];
  return items.map((item, n) => ({ item, t: times[n], x0: part(x0, n), noise: part(noise, n) }));
}

Deno.test("example e of a run is the same whatever the batch size", () => {
  const sixes = [0, 1].flatMap((step) => examples(trainBatch(dataset, schedule, 5, step, 6)));
  const fours = [0, 1, 2].flatMap((step) => examples(trainBatch(dataset, schedule, 5, step, 4)));
  assertEquals(sixes, fours);
  assertNotEquals(sixes, [0, 1].flatMap((s) => examples(trainBatch(dataset, schedule, 6, s, 6))));
});

Deno.test("every epoch shows every image once, in an order of its own", () => {
  const orderOf = (epoch: number) =>
    [0, 1, 2].flatMap((k) =>
      examples(trainBatch(dataset, schedule, 0, 3 * epoch + k, 8))
        .map(({ x0 }) => Math.round((x0[0] + 1) * 12.75))
    );
  const all = Array.from({ length: 24 }, (_, i) => i);
  for (const epoch of [0, 1]) assertEquals(orderOf(epoch).toSorted((a, b) => a - b), all);
  assertNotEquals(orderOf(0), orderOf(1));
  assertNotEquals(orderOf(0), all);
});

Deno.test("times of training spread evenly over 1..T", () => {
  const counts = new Array(10).fill(0);
  for (let step = 0; step < 100; step++) {
    for (const t of trainBatch(dataset, schedule, 1, step, 20).times) {
      counts[Math.floor((t - 1) / 100)]++;
    }
  }
  // 2,000 draws: a tenth is binomial with mean 200 and deviation 13.4; five deviations are 67.
  for (const count of counts) assertLess(Math.abs(count - 200), 67);
});

Deno.test("a step moves every weight by at most the warmed-up rate, and the average towards it", () => {
  const before = initialState(MICRO, 0);
  const batch = trainBatch(dataset, schedule, 0, 0, 4);
  const options = { lr: 0.01, warmup: 10, decay: 0, ema: 0.99, clipNorm: 1 };
  const { state, gradNorm } = trainStep(MICRO, schedule, 0, before, batch, 1, options);
  assertLess(0, gradNorm);
  let largest = 0;
  for (const [name, theta] of state.model) {
    const start = before.model.get(name)?.data ?? [];
    const average = state.ema.get(name)?.data ?? [];
    theta.data.forEach((value, i) => {
      largest = Math.max(largest, Math.abs(value - start[i]));
      // Young averages decay by (1 + 1)/(10 + 1). One rounding of each side, values below 4.
      assertAlmostEquals(average[i], 2 / 11 * start[i] + 9 / 11 * value, 4 * 2 ** -23);
    });
  }
  // Adam's first step is lr·g/(|g| + 1e-8·√(1−β₂)…) < lr; a tenth of it in the first of ten steps of
  // warm-up. The last weights, which start at 0, lose nothing of it to rounding: 2^−24 relative.
  assertLess(largest, 0.001 * (1 + 2 ** -12));
  assertLess(0.0009, largest);
});

Deno.test("with dropout too, the loss of a batch is the mean of the losses of its parts", () => {
  const options = { lr: 0.01, warmup: 0, decay: 0, ema: 0.99, clipNorm: 1 };
  let state = initialState(MICRO, 0);
  // The first steps make the output depend on the weights at all: the last layer starts at zero.
  for (const step of [1, 2, 3]) {
    const batch = trainBatch(dataset, schedule, 0, step - 1, 4);
    state = trainStep(MICRO, schedule, 0, state, batch, step, options).state;
  }
  const lossOf = (step: number, N: number) => {
    const batch = trainBatch(dataset, schedule, 0, step, N);
    return trainStep(MICRO, schedule, 0, state, batch, 4, options).loss;
  };
  // The same squares in another order of summation: 256 terms in double.
  assertAlmostEquals(lossOf(3, 4), (lossOf(6, 2) + lossOf(7, 2)) / 2, 256 * 2 ** -53 * 4);
});

Deno.test("the average's decay rises to its limit", () => {
  assertEquals([1, 10, 1e9].map((step) => emaDecay(0.9, step)), [2 / 11, 11 / 20, 0.9]);
});

Deno.test("the held-out loss is the mean over elements, whatever the batch", async () => {
  let squares = 0;
  const seen: number[] = [];
  const zeros = (xt: Tensor, times: readonly number[]) => {
    seen.push(...times);
    return tensor(xt.shape);
  };
  const loss = await heldOutLoss(zeros, schedule, dataset, 20);
  // x_t = √ᾱ·x_0 + √(1−ᾱ)·ε gives back the ε that the zero predictor is charged for.
  let n = 0;
  await heldOutLoss(
    (xt, times) => {
      times.forEach((t, k) => {
        for (let i = 0; i < 64; i++) {
          const x0 = (10 * (n + k)) / 127.5 - 1;
          const epsilon = (xt.data[k * 64 + i] - schedule.sqrtAlphaBar[t - 1] * x0) /
            schedule.sqrtOneMinusAlphaBar[t - 1];
          squares += epsilon * epsilon;
        }
      });
      n += times.length;
      return tensor(xt.shape);
    },
    schedule,
    dataset,
    20,
  );
  // x_t is rounded to float32: 2^−24·|x_t| over √(1−ᾱ) ≥ 0.01, on ε of order 1, so 3e-5 at most.
  assertAlmostEquals(loss, squares / (20 * 64), 3e-5);
  assertEquals(seen.length, 20);
  assertEquals(await heldOutLoss((xt) => tensor(xt.shape), schedule, dataset, 20), loss);
});
