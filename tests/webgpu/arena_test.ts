/**
 * The packing of tensors with lifetimes, on drawn lifetimes.
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { assignOffsets, type Lifetime } from "../../src/webgpu/arena.ts";
import { forAll } from "../support/property.ts";

const LAUNCHES = 30;

const lifetimes: fc.Arbitrary<readonly Lifetime[]> = fc.array(
  fc.record({
    size: fc.integer({ min: 1, max: 40 }),
    first: fc.integer({ min: 0, max: LAUNCHES - 1 }),
    length: fc.oneof(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: LAUNCHES })),
  }).map(({ size, first, length }) => ({
    size,
    first,
    last: Math.min(first + length, LAUNCHES - 1),
  })),
  { maxLength: 40 },
);

/** Largest sum of the sizes that are live at one launch. */
function mostLive(tensors: readonly Lifetime[]): number {
  const live = Array.from(
    { length: LAUNCHES },
    (_, at) =>
      tensors.filter((t) => t.first <= at && at <= t.last).reduce((sum, t) => sum + t.size, 0),
  );
  return Math.max(...live);
}

Deno.test("tensors that are live at one launch never share an element", () => {
  forAll(lifetimes, 300, (tensors) => {
    const { offsets, total } = assignOffsets(tensors);
    for (let at = 0; at < LAUNCHES; at++) {
      const owner = new Array<number>(total).fill(-1);
      tensors.forEach(({ size, first, last }, i) => {
        if (at < first || at > last) return;
        for (let k = offsets[i]; k < offsets[i] + size; k++) {
          assertEquals(owner[k], -1, `launch ${at}: element ${k} of tensors ${owner[k]} and ${i}`);
          owner[k] = i;
        }
      });
    }
  });
});

Deno.test("the total is the end of the last tensor and no less than what is live at once", () => {
  forAll(lifetimes, 300, (tensors) => {
    const { offsets, total } = assignOffsets(tensors);
    assertEquals(total, Math.max(0, ...tensors.map(({ size }, i) => offsets[i] + size)));
    assert(total >= mostLive(tensors));
  });
});

Deno.test("tensors of one size are packed without waste where lifetimes form a chain", () => {
  // Each tensor is the input of the next launch: two of them are live at once, never three.
  forAll(fc.integer({ min: 2, max: 25 }), 20, (count) => {
    const chain = Array.from({ length: count }, (_, i) => ({ size: 7, first: i, last: i + 1 }));
    assertEquals(assignOffsets(chain).total, 14);
  });
});
