/** Bits per dimension against the reference's whole bound. */
import { assertEquals, assertRejects } from "@std/assert";
import type { ImageDataset } from "../../src/data/image_dataset.ts";
import { imageBatch } from "../../src/data/image_dataset.ts";
import { boundInBits, type BoundModel } from "../../src/evaluate/bits.ts";
import { ArgumentError } from "../../src/math/errors.ts";
import { gamma, U64 } from "../../src/math/float32.ts";
import { normalTensor, streamOf } from "../../src/math/noise.ts";
import { sizeOf, type Tensor, tensor } from "../../src/math/tensor.ts";
import { qSample } from "../../src/reference/forward.ts";
import { variationalBound, vlbTerm } from "../../src/reference/likelihood.ts";
import { createSchedule } from "../../src/reference/schedule.ts";
import { Bound } from "../support/bound.ts";

const T = 23;
const schedule = createSchedule({ kind: "linear", T, betaStart: 1e-3, betaEnd: 0.3 });

/** Images of 2×3 pixels of any grey. */
function images(count: number): ImageDataset {
  return {
    count,
    imageShape: [1, 2, 3],
    pixels: Uint8Array.from({ length: 6 * count }, (_, i) => (i * 91 + 17) % 256),
    labels: Uint8Array.from({ length: count }, (_, i) => i % 4),
    classes: 4,
  };
}

/** A network that depends on everything it is told. */
const model: BoundModel = (xt, times, classes) => {
  const D = sizeOf(xt.shape.slice(1));
  return tensor(
    xt.shape,
    Float64Array.from(xt.data, (x, i) => {
      const n = Math.floor(i / D);
      return Math.sin(x + classes[n]) * (1 - 1 / times[n]);
    }),
  );
};

/** The noise of images at times: what the figures of all models share. */
function noiseOf(indices: readonly number[], times: readonly number[]): Tensor {
  const streams = indices.map((i, n) => streamOf("evaluate", i, 3 + times[n]));
  return normalTensor(0, streams, [indices.length, 1, 2, 3]);
}

Deno.test("with every term it is the mean of the reference's bound", async () => {
  const name = "boundInBits is the mean of the reference's bound";
  // Both sum T + 1 terms of N images in double, each in its own order.
  const bound = new Bound("2·γ_{T+N}(2^−53)·Σ|terms|");
  const dataset = images(5), indices = [0, 1, 2, 3, 4];
  for (const variance of ["beta", "betaTilde"] as const) {
    const options = { variance, images: 5, every: 1, batch: 2 };
    const found = await boundInBits(model, schedule, dataset, options);
    const expected = await variationalBound(
      schedule,
      (x, t) => model(x, indices.map(() => t), [0, 1, 2, 3, 0]),
      imageBatch(dataset, indices),
      (t) => noiseOf(indices, indices.map(() => t)),
      { variance },
    );
    const mean = (values: Float64Array) => values.reduce((a, b) => a + b, 0) / 5;
    const check = (value: number, wanted: number, what: string) =>
      bound.check(value, wanted, 2 * gamma(T + 5, U64) * wanted, what);
    check(found.total, mean(expected.total), "total");
    check(found.steps, expected.terms.slice(0, -1).reduce((sum, t) => sum + mean(t), 0), "steps");
    assertEquals(found.decoder, mean(expected.terms[T - 1]));
    assertEquals(found.prior, mean(expected.prior));
    assertEquals(found.terms, T);
    const spread = expected.total.reduce((sum, b) => sum + (b - mean(expected.total)) ** 2, 0);
    check(found.standardError!, Math.sqrt(spread / 4 / 5), "standard error");
  }
  bound.settle(name);
});

Deno.test("one time out of K stands for K of them, is drawn evenly, and changes nothing else", async () => {
  const dataset = images(300), every = 6;
  const seen = Array.from({ length: T + 1 }, () => 0);
  const asked: number[][] = Array.from({ length: 300 }, () => []);
  const watched: BoundModel = (xt, times, classes) => {
    // Every batch holds images in order, and the first call of a batch is for its t = 1.
    if (times[0] === 1) first += previous;
    previous = times.length;
    times.forEach((t, n) => {
      seen[t]++;
      asked[first + n].push(t);
    });
    return model(xt, times, classes);
  };
  let first = 0, previous = 0;
  const options = { images: 300, every, batch: 70 };
  const found = await boundInBits(watched, schedule, dataset, options);
  // t = 1, then 2..7, 8..13, 14..19, 20..23.
  assertEquals(found.terms, 5);
  let steps = 0;
  for (const [i, times] of asked.entries()) {
    assertEquals(times.map((t) => Math.ceil((t - 1) / every)), [0, 1, 2, 3, 4]);
    const x0 = imageBatch(dataset, [i]);
    for (const t of times.slice(1)) {
      const xt = qSample(schedule, t, x0, noiseOf([i], [t]));
      const [term] = vlbTerm(schedule, t, x0, xt, await model(xt, [t], [i % 4]));
      steps += (t < 20 ? 6 : 4) * term / 300;
    }
  }
  // Doubles summed in another order: 1200 terms, all positive.
  const bound = 2 * gamma(1200, U64) * steps;
  assertEquals(Math.abs(found.steps - steps) <= bound, true, `${found.steps} and ${steps}`);
  // 300/6 = 50 are expected of each, with a deviation of 6.5, and 75 with 7.5 of those in the short run.
  assertEquals(seen[1], 300);
  for (const n of seen.slice(2, 20)) assertEquals(Math.abs(n - 50) < 4 * 6.5, true, String(seen));
  for (const n of seen.slice(20)) assertEquals(Math.abs(n - 75) < 4 * 7.5, true, String(seen));
  const all = await boundInBits(model, schedule, dataset, { ...options, every: 1 });
  assertEquals([found.decoder, found.prior], [all.decoder, all.prior]);
  // The estimate strays by less than a few of its own standard errors.
  assertEquals(Math.abs(found.total - all.total) < 4 * found.standardError!, true);
});

Deno.test("no figure depends on the batch, and what cannot be counted is refused", async () => {
  const options = { images: 7, every: 3 };
  const one = await boundInBits(model, schedule, images(9), { ...options, batch: 1 });
  assertEquals(await boundInBits(model, schedule, images(9), { ...options, batch: 7 }), one);
  const single = await boundInBits(model, schedule, images(1), { images: 1, every: 1, batch: 4 });
  assertEquals(single.standardError, null);
  await assertRejects(
    () => boundInBits(model, schedule, images(2), { ...options, batch: 1 }),
    ArgumentError,
    "images in 1..2 but got 7",
  );
  await assertRejects(
    () => boundInBits(model, schedule, images(9), { ...options, every: T + 1, batch: 1 }),
    ArgumentError,
    `every in 1..${T} but got ${T + 1}`,
  );
});
