import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { normalDoubles, normalTensor, streamOf, uniformDoubles } from "../../src/math/noise.ts";
import { randomBits } from "../../src/math/philox.ts";
import { type Tensor, tensor } from "../../src/math/tensor.ts";
import { sampleDdpm } from "../../src/reference/sample.ts";
import { createSchedule } from "../../src/reference/schedule.ts";
import { forAll, forAllAsync } from "../support/property.ts";

const seed = fc.oneof(fc.nat(10), fc.maxSafeNat());

Deno.test("13. Same (seed, stream, index), same noise, whatever the batch", () => {
  const items = fc.uniqueArray(fc.nat(2 ** 28 - 1), { minLength: 1, maxLength: 5 });
  const draw = fc.tuple(seed, items, fc.nat(1000), fc.nat(9), fc.nat(40));
  forAll(draw, 200, ([s, samples, slot, from, D]) => {
    const streams = samples.map((item) => streamOf("sample", item, slot));
    const batch = normalTensor(s, streams, [streams.length, D]);
    streams.forEach((stream, n) => {
      // Alone, and reversed within another batch, the sample's noise is the same.
      const alone = normalTensor(s, [stream], [1, D]);
      assertEquals(alone.data, batch.data.slice(n * D, (n + 1) * D));
      // From any index on, in any pieces, the stream goes on as it would have.
      const whole = normalDoubles(s, stream, 0, from + D);
      assertEquals(normalDoubles(s, stream, from, D), whole.slice(from));
      assertEquals(alone.data, Float32Array.from(whole.slice(0, D)));
      assertEquals(
        uniformDoubles(s, stream, from, D),
        uniformDoubles(s, stream, 0, from + D).slice(from),
      );
      assertEquals(randomBits(s, stream, from, D), randomBits(s, stream, 0, from + D).slice(from));
    });
    const reversed = normalTensor(s, streams.toReversed(), [streams.length, D]);
    streams.forEach((_, n) => {
      const at = streams.length - 1 - n;
      assertEquals(
        reversed.data.slice(at * D, (at + 1) * D),
        batch.data.slice(n * D, (n + 1) * D),
      );
    });
  });
});

Deno.test("13. A sample's bits do not depend on the batch it is drawn in", async () => {
  const schedule = createSchedule({ kind: "cosine", T: 5 });
  const model = (x: Tensor, t: number) => tensor(x.shape, x.data.map((v) => Math.sin(v + t)));
  const draw = fc.tuple(seed, fc.uniqueArray(fc.nat(99), { minLength: 2, maxLength: 4 }));
  await forAllAsync(draw, 20, async ([s, items]) => {
    const noise = (of: number[], t: number) =>
      normalTensor(s, of.map((item) => streamOf("sample", item, t)), [of.length, 2, 3]);
    const run = (of: number[]) => sampleDdpm(schedule, model, noise(of, 6), (t) => noise(of, t));
    const batch = await run(items);
    for (const [n, item] of items.entries()) {
      const alone = await run([item]);
      assertEquals(alone.data, batch.data.slice(n * 6, (n + 1) * 6));
    }
  });
});
