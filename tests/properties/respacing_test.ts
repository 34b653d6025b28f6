import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ArgumentError } from "../../src/math/errors.ts";
import * as reference from "../../src/reference/respacing.ts";
import { forAll } from "../support/property.ts";

const T = fc.oneof(
  { arbitrary: fc.integer({ min: 1, max: 40 }), weight: 4 },
  { arbitrary: fc.integer({ min: 1, max: 3000 }), weight: 1 },
  { arbitrary: fc.constantFrom(1000, 999_999), weight: 1 },
);
/** (T, steps) with steps up to T, but few of a long process. */
const request = T.chain((total) =>
  fc.tuple(fc.constant(total), fc.integer({ min: 1, max: Math.min(total, 300) }))
);

/** The integer nearest a/b, of two equally near ones the even, by trying its neighbours. */
function nearest(a: bigint, b: bigint): bigint {
  const guess = a / b;
  const distance = (k: bigint) => a > k * b ? a - k * b : k * b - a;
  return [guess, guess + 1n].reduce((best, k) => {
    if (distance(k) === distance(best)) return k % 2n === 0n ? k : best;
    return distance(k) < distance(best) ? k : best;
  });
}

const descending = (times: readonly bigint[]) =>
  [...new Set(times.map(Number))].sort((a, b) => b - a);
const counted = (steps: number) => Array.from({ length: steps }, (_, i) => BigInt(i));

Deno.test("roundRatio is the nearest integer, ties to even, by exact comparison", () => {
  forAll(fc.tuple(fc.nat(5000), fc.integer({ min: 1, max: 60 })), 500, ([a, b]) => {
    assertEquals(reference.roundRatio(a, b), Number(nearest(BigInt(a), BigInt(b))));
  });
  assertEquals([1, 3, 5, 7].map((a) => reference.roundRatio(a, 2)), [0, 2, 2, 4]);
});

Deno.test("every spacing by its rational formula, and selectTimesteps by its name", () => {
  forAll(request, 300, ([total, steps]) => {
    const N = BigInt(total), S = BigInt(steps);
    const expected = {
      // 1 + i·⌊T/steps⌋, with ⌊T/steps⌋ the largest stride that fits steps times.
      leading: counted(steps).map((i) => 1n + i * (N / S)),
      trailing: counted(steps).map((i) => nearest((i + 1n) * N, S)),
      linspace: counted(steps).map((i) => steps === 1 ? 1n : 1n + nearest(i * (N - 1n), S - 1n)),
      // 1 + ⌊(i/(steps−1)·√(0.8T))²⌋: the largest k with 5k(steps−1)² ≤ 4T·i².
      quadratic: counted(steps).map((i) => {
        if (steps === 1) return 1n;
        let k = 4n * N * i * i / (5n * (S - 1n) ** 2n) + 2n;
        while (5n * k * (S - 1n) ** 2n > 4n * N * i * i) k--;
        return 1n + k;
      }),
    };
    for (const [spacing, times] of Object.entries(expected)) {
      const name = spacing as keyof typeof expected;
      const own = reference[`${name}Timesteps`](total, steps);
      assertEquals(own, descending(times), name);
      assertEquals(reference.selectTimesteps({ T: total, spacing: name, steps }), own, name);
      assert(own.every((t, i) => t >= 1 && t <= total && (i === 0 || t < own[i - 1])), name);
    }
  });
});

Deno.test("stride takes the first integer stride that gives the count, found by trying all", () => {
  const small = request.filter(([total]) => total <= 3000);
  forAll(small, 300, ([total, steps]) => {
    const strides = Array.from({ length: total }, (_, s) => s + 1);
    const found = strides.find((s) => {
      let count = 0;
      for (let t = 1; t <= total; t += s) count++;
      return count === steps;
    });
    const ask = { T: total, spacing: "stride" as const, steps };
    if (found === undefined) {
      assertThrows(() => reference.strideTimesteps(total, steps), ArgumentError, "integer stride");
      assertThrows(() => reference.selectTimesteps(ask), ArgumentError, "integer stride");
    } else {
      const expected = descending(counted(steps).map((i) => 1n + i * BigInt(found)));
      assertEquals(reference.strideTimesteps(total, steps), expected);
      assertEquals(reference.selectTimesteps(ask), expected);
    }
  });
  assertThrows(() => reference.strideTimesteps(1000, 300), ArgumentError, "but got 300");
});

/** Python's round of a double ≥ 0: the nearest integer, of two the even. */
function pythonRound(x: number): number {
  const up = Math.round(x);
  return up - x === 0.5 && up % 2 === 1 ? up - 1 : up;
}

/** space_timesteps as its description has it: sections, a fractional stride, a running position. */
function spaceTimesteps(total: number, counts: readonly number[]): number[] {
  const all: number[] = [];
  let left = total, start = 1;
  counts.forEach((count, k) => {
    // The first T mod k sections are one longer.
    const size = Math.ceil(left / (counts.length - k));
    let at = 0;
    const kept: number[] = [];
    while (kept.length < count) {
      kept.push(start + pythonRound(at));
      at += count === 1 ? 1 : (size - 1) / (count - 1);
    }
    all.push(...kept);
    start += size;
    left -= size;
  });
  return all.reverse();
}

Deno.test("sections keep their counts, both ends included, at OpenAI's running positions", () => {
  const sections = T.chain((total) =>
    fc.array(fc.nat(12), { minLength: 1, maxLength: Math.min(5, total) })
      .map((wanted) => {
        const size = Math.floor(total / wanted.length);
        return [total, wanted.map((count) => Math.min(count, size))] as const;
      })
  ).filter(([, counts]) => counts.some((count) => count > 0));
  forAll(sections, 300, ([total, counts]) => {
    const times = reference.sectionTimesteps(total, counts);
    assertEquals(times, spaceTimesteps(total, counts));
    const steps = counts.reduce((sum, count) => sum + count, 0);
    const ask = { T: total, spacing: "sections" as const, sections: [...counts] };
    assertEquals(reference.selectTimesteps(ask), times);
    assertEquals(reference.selectTimesteps({ ...ask, steps }), times);
    assertThrows(() => reference.selectTimesteps({ ...ask, steps: steps + 1 }), ArgumentError);
    assertEquals(times.length, steps);
    if (counts.length === 1 && counts[0] > 1) assertEquals([times[0], times.at(-1)], [total, 1]);
    // One section of a count is what `steps` alone asks for.
    if (counts.length === 1) {
      const alone = { T: total, spacing: "sections" as const, steps };
      assertEquals(reference.selectTimesteps(alone), times);
    }
  });
  // The longer sections come first: 10 in three is 4, 3, 3.
  assertEquals(reference.sectionTimesteps(10, [2, 2, 2]), [10, 8, 7, 5, 4, 1]);
  // The example of conventions: ten of a thousand, both ends.
  assertEquals(
    reference.sectionTimesteps(1000, [10]),
    [1000, 889, 778, 667, 556, 445, 334, 223, 112, 1],
  );
});

Deno.test("a request out of range says what was expected", () => {
  const select = (ask: unknown) => () =>
    reference.selectTimesteps(ask as reference.TimestepRequest);
  assertThrows(select({ T: 0, spacing: "leading", steps: 1 }), ArgumentError, "Expected T in 1..");
  assertThrows(
    select({ T: 5, spacing: "leading", steps: 6 }),
    ArgumentError,
    "Expected steps in 1..5 but got 6",
  );
  assertThrows(select({ T: 5, spacing: "sections", sections: [] }), ArgumentError, "list of 1..5");
  assertThrows(select({ T: 5, spacing: "sections", sections: [6] }), ArgumentError, "section 1");
  assertThrows(select({ T: 5, spacing: "sections", sections: [0] }), ArgumentError, "at least one");
  assertThrows(select({ T: 5, spacing: "cubic", steps: 2 }), ArgumentError, "Expected spacing");
});
