import { assertAlmostEquals, assertEquals, assertLess, assertNotEquals } from "@std/assert";
import { heldOutLoss } from "../../src/cli/held_out.ts";
import {
  emaDecay,
  initialState,
  learningRate,
  type OptimiserOptions,
  trainBatch,
  trainStep,
} from "../../src/cli/trainer.ts";
import type { ImageDataset } from "../../src/data/image_dataset.ts";
import { type Tensor, tensor } from "../../src/math/tensor.ts";
import { createSchedule } from "../../src/reference/schedule.ts";
import { DDPM_SCHEDULE } from "../../src/spec/schedule_config.ts";
import type { Parameters } from "../../src/spec/unet_parameters.ts";
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

Deno.test("an example's class is its image's, or withheld, whatever the batch size", () => {
  const classesOf = (step: number, N: number, labelDrop: number | null) => {
    const batch = trainBatch(dataset, schedule, 5, step, N, { labelDrop });
    return examples(batch).map(({ x0 }, n) => {
      const image = Math.round((x0[0] + 1) * 12.75);
      return { label: dataset.labels[image], shown: batch.classes?.[n] };
    });
  };
  const sixes = [0, 1].flatMap((step) => classesOf(step, 6, 0.5));
  assertEquals(sixes, [0, 1, 2].flatMap((step) => classesOf(step, 4, 0.5)));

  let dropped = 0;
  for (let step = 0; step < 100; step++) {
    for (const { label, shown } of classesOf(step, 20, 0.25)) {
      // "No class" is the one after the last.
      if (shown === 10) dropped++;
      else assertEquals(shown, label);
    }
  }
  // Of 2,000 a quarter: mean 500, deviation √(2000·¼·¾) = 19.4; five deviations are 97.
  assertLess(Math.abs(dropped - 500), 97);
  for (const { label, shown } of classesOf(0, 24, 0)) assertEquals(shown, label);
  for (const { shown } of classesOf(0, 24, 1)) assertEquals(shown, 10);
  for (const { shown } of classesOf(0, 24, null)) assertEquals(shown, undefined);
});

Deno.test("half of the examples are mirrored, whatever the batch size, and nothing else changes", () => {
  // Brightness grows from left to right.
  const slopes = { ...dataset, pixels: dataset.pixels.map((_, i) => 20 * (i % 8)) };
  const mirrored = (step: number, N: number) => {
    const options = { labelDrop: 0.5, flip: true };
    const batch = trainBatch(slopes, schedule, 5, step, N, options);
    const plain = trainBatch(slopes, schedule, 5, step, N, { ...options, flip: false });
    const { x0: _, ...others } = batch, { x0: __, ...plainOthers } = plain;
    assertEquals(others, plainOthers);
    const before = examples(plain);
    return examples(batch).map(({ x0 }, n) => {
      const { x0: was } = before[n];
      const isMirrored = x0[0] > x0[7];
      const expected = was.map((_, i) => isMirrored ? was[i - i % 8 + 7 - i % 8] : was[i]);
      assertEquals(x0, expected);
      return { isMirrored, isNameless: batch.classes?.[n] === 10 };
    });
  };
  const sixes = [0, 1].flatMap((step) => mirrored(step, 6));
  assertEquals(sixes, [0, 1, 2].flatMap((step) => mirrored(step, 4)));
  const all = Array.from({ length: 50 }, (_, step) => mirrored(step, 20)).flat();
  // Of 1,000: mean 500, deviation 15.8; five deviations are 79. One chance does not decide the other.
  assertLess(Math.abs(all.filter(({ isMirrored }) => isMirrored).length - 500), 79);
  const same = all.filter(({ isMirrored, isNameless }) => isMirrored === isNameless).length;
  assertLess(Math.abs(same - 500), 79);
});

Deno.test("the learning rate rises over the warm-up, then stays or falls to 0 along half a cosine", () => {
  const rates = (decay: number, steps: readonly number[], warmup = 10) =>
    steps.map((step) => learningRate({ lr: 0.5, warmup, decay, ema: 0, clipNorm: 1 }, step));
  assertEquals(rates(0, [1, 5, 10, 11, 1e9]), [0.05, 0.25, 0.5, 0.5, 0.5]);
  assertEquals(rates(0, [1], 0), [0.5]);
  // From 10 to 110: a quarter of the way is ½(1 + √½) of the rate, half is a half, all is none.
  const [first, top, quarter, middle, end, after] = rates(110, [1, 10, 35, 60, 110, 500]);
  assertEquals([first, top, end, after], [0.05, 0.5, 0, 0]);
  // Each of three roundings of values below 1.
  assertAlmostEquals(quarter, 0.25 * (1 + Math.SQRT1_2), 3 * 2 ** -53);
  assertAlmostEquals(middle, 0.25, 3 * 2 ** -53);
  // One that ends within the warm-up falls at once.
  assertEquals(rates(5, [10, 11]), [0.5, 0]);
});

Deno.test("a step is made with the Adam that was asked for", () => {
  const before = initialState(MICRO, 0);
  const batch = trainBatch(dataset, schedule, 0, 0, 4);
  const options = { lr: 0.01, warmup: 0, decay: 0, ema: 0.99, clipNorm: 1 };
  const after = (more: Partial<OptimiserOptions>) =>
    trainStep(MICRO, schedule, 0, before, batch, 1, { ...options, ...more }).state;
  const plain = after({});
  const other = after({ beta1: 0.5, beta2: 0.5 });
  const decayed = after({ weightDecay: 2 });
  const blunt = after({ eps: 1e9 });
  for (const [name, { data }] of plain.model) {
    const of = (parameters: Parameters) => parameters.get(name)?.data ?? [];
    data.forEach((value, i) => {
      // m = (1 − β₁)·g, v = (1 − β₂)·g²; both are rounded to float32, so two roundings of a ratio.
      assertAlmostEquals(of(other.m)[i], 5 * of(plain.m)[i], 2 ** -22 * Math.abs(of(other.m)[i]));
      assertAlmostEquals(of(other.v)[i], 500 * of(plain.v)[i], 2 ** -22 * of(other.v)[i] + 1e-35);
      // θ loses lr·λ·θ before the step; values below 4, a rounding on each side.
      const start = of(before.model)[i];
      assertAlmostEquals(of(decayed.model)[i], value - 0.02 * start, 4 * 2 ** -23);
      // With a gradient clipped to 1, lr·g/ε is at most 1e-11.
      assertAlmostEquals(of(blunt.model)[i], start, 1e-11 + 2 ** -24 * Math.abs(start));
    });
  }
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
