import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ArgumentError } from "../../src/math/errors.ts";
import { U64 } from "../../src/math/float32.ts";
import {
  normalDoubles,
  normalTensor,
  permutation,
  type Purpose,
  randomInteger,
  streamOf,
  uniformDoubles,
} from "../../src/math/noise.ts";
import { randomBits } from "../../src/math/philox.ts";
import { normalCdf } from "../../src/math/special.ts";
import { boundedTest, forAll } from "../support/property.ts";

/** (w0·2^20 + (w1 ≫ 12) + ½)/2^52, exactly, in integers. */
function unit(high: number, low: number): number {
  const twice = (BigInt(high) << 21n) + (BigInt(low >>> 12) << 1n) + 1n;
  return Number(twice) / 2 ** 53;
}

boundedTest(
  "normals 2k and 2k + 1 are Box–Muller's two branches on block k",
  "8u·√(−2 ln u₁) (docs/numerics.md#normals)",
  300,
  fc.tuple(fc.maxSafeNat(), fc.nat(5000)),
  ([seed, k], bound) => {
    const [w0, w1, w2, w3] = randomBits(seed, 7, 4 * k, 4);
    const radius = Math.sqrt(-2 * Math.log(unit(w0, w1))), turn = 2 * Math.PI * unit(w2, w3);
    const found = normalDoubles(seed, 7, 2 * k, 2);
    // The complex number r·e^(iθ) by half angles: cos θ = 1 − 2 sin²(θ/2), sin θ = 2 sin cos.
    const s = Math.sin(turn / 2), c = Math.cos(turn / 2);
    bound.check(found[0], radius * (1 - 2 * s * s), 8 * U64 * radius, "even");
    bound.check(found[1], radius * 2 * s * c, 8 * U64 * radius, "odd");
  },
);

Deno.test("normals have the moments and the distribution of N(0, 1)", () => {
  const n = 40000, x = normalDoubles(5, 3, 0, n);
  const moment = (power: number) => x.reduce((sum, v) => sum + v ** power, 0) / n;
  // Standard errors of the first four moments: √(1/n), √(2/n), √(15/n), √(96/n); five of each.
  const deviations = [moment(1), moment(2) - 1, moment(3), moment(4) - 3];
  [1, 2, 15, 96].forEach((variance, k) => {
    assert(Math.abs(deviations[k]) < 5 * Math.sqrt(variance / n), `moment ${k + 1}`);
  });
  // Kolmogorov–Smirnov: √n·D exceeds 2 with probability 7e-4.
  const sorted = x.toSorted();
  const D = Math.max(...sorted.map((v, i) => Math.abs(normalCdf(v) - (i + 0.5) / n)));
  assert(Math.sqrt(n) * D < 2, `D = ${D}`);
  // Neighbours, and the same index of neighbouring streams, are uncorrelated: 5 standard errors.
  const other = normalDoubles(5, 4, 0, n);
  const pairs = x.reduce((sum, v, i) => sum + v * (x[i + 1] ?? 0), 0) / n;
  const streams = x.reduce((sum, v, i) => sum + v * other[i], 0) / n;
  assert(Math.abs(pairs) < 5 / Math.sqrt(n) && Math.abs(streams) < 5 / Math.sqrt(n));
});

Deno.test("uniform i is words 2i and 2i + 1, strictly between 0 and 1", () => {
  forAll(fc.tuple(fc.maxSafeNat(), fc.nat(1000), fc.nat(9)), 200, ([seed, index, count]) => {
    const words = randomBits(seed, 2, 2 * index, 2 * count);
    const expected = Array.from(
      { length: count },
      (_, i) => unit(words[2 * i], words[2 * i + 1]),
    );
    const found = uniformDoubles(seed, 2, index, count);
    assertEquals(Array.from(found), expected);
    assert(found.every((u) => u > 0 && u < 1));
  });
});

Deno.test("a random integer is the uniform's share of the bound", () => {
  forAll(fc.tuple(fc.maxSafeNat(), fc.integer({ min: 1, max: 2 ** 32 })), 200, ([seed, bound]) => {
    const k = randomInteger(seed, 9, bound);
    const u = uniformDoubles(seed, 9, 0, 1)[0];
    assert(Number.isInteger(k) && k >= 0 && k < bound);
    assert(k <= u * bound && u * bound < k + 1);
  });
  assertThrows(() => randomInteger(1, 1, 0), ArgumentError, "Expected bound in 1..");
});

Deno.test("a permutation holds every number once, and no place favours one", () => {
  forAll(fc.tuple(fc.maxSafeNat(), fc.nat(60)), 100, ([seed, count]) => {
    const order = permutation(seed, 4, count);
    assertEquals(
      Array.from(order).sort((a, b) => a - b),
      Array.from({ length: count }, (_, i) => i),
    );
    assertEquals(permutation(seed, 4, count), order);
  });
  // All 24 orders of four, 4800 draws: χ² with 23 degrees of freedom exceeds 57 with 1e-4.
  const seen = new Map<string, number>();
  for (let seed = 0; seed < 4800; seed++) {
    const key = permutation(seed, 1, 4).join();
    seen.set(key, (seen.get(key) ?? 0) + 1);
  }
  assertEquals(seen.size, 24);
  const chi2 = [...seen.values()].reduce((sum, count) => sum + (count - 200) ** 2 / 200, 0);
  assert(chi2 < 57, `χ² = ${chi2}`);
});

Deno.test("streams of different purposes, items and slots never meet", () => {
  const purposes: Purpose[] = ["init", "order", "time", "noise", "dropout", "sample", "flip"];
  const seen = new Set<number>();
  for (const purpose of purposes) {
    for (const item of [0, 1, 2 ** 28 - 1]) {
      for (const slot of [0, 1, 2 ** 20 - 1]) seen.add(streamOf(purpose, item, slot));
    }
  }
  assertEquals(seen.size, purposes.length * 9);
  assertEquals(streamOf("time", 3, 5), 2 * 2 ** 48 + 3 * 2 ** 20 + 5);
  assertThrows(() => streamOf("init", 2 ** 28, 0), ArgumentError, "Expected item in 0..");
  assertThrows(() => streamOf("init", 0, 2 ** 20), ArgumentError, "Expected slot in 0..");
});

Deno.test("a tensor of normals wants one stream per sample", () => {
  assertThrows(() => normalTensor(1, [1, 2], [3, 4]), ArgumentError, "Expected 3 streams but got");
});
