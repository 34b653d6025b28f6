import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ArgumentError } from "../../src/math/errors.ts";
import { philox4x32, randomBits, randomBlock } from "../../src/math/philox.ts";
import { forAll } from "../support/property.ts";

/**
 * The known-answer vectors of philox4x32-10 in Random123's tests/kat_vectors: counter, key, result,
 * words as they stand there.
 */
const KNOWN_ANSWERS = [
  "00000000 00000000 00000000 00000000  00000000 00000000  6627e8d5 e169c58d bc57ac4c 9b00dbd8",
  "ffffffff ffffffff ffffffff ffffffff  ffffffff ffffffff  408f276d 41c83b0e a20bc7c6 6d5451fd",
  "243f6a88 85a308d3 13198a2e 03707344  a4093822 299f31d0  d16cfe09 94fdcceb 5001e420 24126ea1",
];

Deno.test("Philox 4x32-10 gives Random123's known answers", () => {
  for (const line of KNOWN_ANSWERS) {
    const w = line.split(/ +/).map((hex) => parseInt(hex, 16));
    assertEquals(philox4x32([w[0], w[1], w[2], w[3]], [w[4], w[5]]), [w[6], w[7], w[8], w[9]]);
  }
});

/** Philox by 64-bit products of BigInt. */
function philoxByBigInt(counter: readonly bigint[], key: readonly bigint[]): number[] {
  const mask = 0xffffffffn;
  let [c0, c1, c2, c3] = counter, [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const p0 = 0xd2511f53n * c0, p1 = 0xcd9e8d57n * c2;
    [c0, c1, c2, c3] = [(p1 >> 32n) ^ c1 ^ k0, p1 & mask, (p0 >> 32n) ^ c3 ^ k1, p0 & mask];
    k0 = (k0 + 0x9e3779b9n) & mask;
    k1 = (k1 + 0xbb67ae85n) & mask;
  }
  return [c0, c1, c2, c3].map(Number);
}

const word = fc.oneof(
  fc.integer({ min: 0, max: 0xffffffff }),
  fc.constantFrom(0, 1, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff),
);

Deno.test("Philox by 16-bit limbs is Philox by 64-bit products", () => {
  forAll(fc.tuple(word, word, word, word, word, word), 500, ([a, b, c, d, e, f]) => {
    const expected = philoxByBigInt([a, b, c, d].map(BigInt), [e, f].map(BigInt));
    assertEquals(philox4x32([a, b, c, d], [e, f]), expected as [number, number, number, number]);
  });
});

const big = fc.oneof(fc.nat(10), fc.maxSafeNat());

Deno.test("a block's counter is (block, stream) and its key the seed, low words first", () => {
  forAll(fc.tuple(big, big, big), 200, ([seed, stream, block]) => {
    const words = (n: number) => [BigInt(n) & 0xffffffffn, BigInt(n) >> 32n];
    assertEquals(
      randomBlock(seed, stream, block) as number[],
      philoxByBigInt([...words(block), ...words(stream)], words(seed)),
    );
  });
});

Deno.test("uint32 i of a stream is word i mod 4 of block ⌊i/4⌋, from any index on", () => {
  const draw = fc.tuple(big, big, fc.nat(1000), fc.nat(20));
  forAll(draw, 200, ([seed, stream, index, count]) => {
    const expected = Array.from({ length: count }, (_, i) => {
      const at = index + i;
      return randomBlock(seed, stream, (at - at % 4) / 4)[at % 4];
    });
    assertEquals(Array.from(randomBits(seed, stream, index, count)), expected);
  });
});

Deno.test("seeds, streams and indices beyond 2^53 − 1 are errors", () => {
  assertThrows(() => randomBlock(-1, 0, 0), ArgumentError, "Expected seed in 0..2^53 - 1");
  assertThrows(() => randomBlock(0, 2 ** 53, 0), ArgumentError, "Expected stream in 0..");
  assertThrows(() => randomBlock(0, 0, 0.5), ArgumentError, "Expected block in 0..");
  assertThrows(() => randomBits(0, 0, -1, 1), ArgumentError, "Expected index in 0..");
});
