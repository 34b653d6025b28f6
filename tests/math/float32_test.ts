import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  gamma,
  referenceBound,
  roundingBound,
  sumBound,
  TINY32,
  U32,
  U64,
  ulp32,
} from "../../src/math/float32.ts";
import { forAll } from "../support/property.ts";

const float32 = fc.float({ noNaN: true, noDefaultInfinity: true });

/** The float32 after |x|, by its bits. */
function nextUp(x: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, Math.abs(x));
  view.setUint32(0, view.getUint32(0) + 1);
  return view.getFloat32(0);
}

Deno.test("one ulp is the distance to the next float32 up", () => {
  const edges = fc.integer({ min: -149, max: 127 }).chain((e) =>
    fc.constantFrom(2 ** e, Math.fround(2 ** e * (1 - U32)), Math.fround(2 ** e * (1 + 2 * U32)))
  );
  forAll(fc.oneof(float32, edges), 2000, (x) => {
    const next = nextUp(x);
    // Beyond the largest float32 comes what would be 2^128.
    assertEquals(ulp32(x), (Number.isFinite(next) ? next : 2 ** 128) - Math.abs(Math.fround(x)));
  });
  assertEquals([ulp32(0), ulp32(-0), ulp32(1)], [TINY32, TINY32, 2 ** -23]);
  assertEquals([ulp32(Infinity), ulp32(NaN)], [NaN, NaN]);
});

Deno.test("rounding once to float32 stays within its bound, and reaches half an ulp", () => {
  let worst = 0;
  forAll(fc.tuple(float32, fc.nat(2 ** 30)), 2000, ([x, k]) => {
    const between = x + (k / 2 ** 30) * ulp32(x);
    if (!Number.isFinite(Math.fround(between))) return;
    const error = Math.abs(Math.fround(between) - between);
    assert(error <= roundingBound(between));
    if (between !== 0) worst = Math.max(worst, error / roundingBound(between));
  });
  assert(worst > 0.9, `${worst}`);
  // Half of the smallest number is lost entirely, and that is the bound.
  assertEquals(Math.fround(TINY32 / 2), 0);
  assertEquals(roundingBound(TINY32 / 2), TINY32 / 2);
});

Deno.test("γ_n covers n roundings: (1 + u)^n − 1 ≤ γ_n ≤ n·u·(1 + 2n·u)", () => {
  for (const u of [U32, U64]) {
    for (const n of [1, 2, 10, 1000]) {
      assert(gamma(n, u) >= Math.expm1(n * Math.log1p(u)));
      assert(gamma(n, u) <= n * u * (1 + 2 * n * u));
    }
  }
  assertEquals(gamma(3), gamma(3, U32));
});

Deno.test("a sum in float32 stays within its bound in any order, and comes near it", () => {
  let worst = 0;
  forAll(fc.array(float32.map((x) => Math.fround(x % 1)), { minLength: 2 }), 500, (terms) => {
    // Multiples of 2^−149·… : exact by summing as integers of 2^−149.
    const exact = terms.reduce((sum, x) => sum + BigInt(x * 2 ** 149), 0n);
    const magnitude = terms.reduce((sum, x) => sum + Math.abs(x), 0);
    let sum = 0;
    for (const x of terms) sum = Math.fround(sum + x);
    const error = Math.abs(Number(BigInt(sum * 2 ** 149) - exact)) * 2 ** -149;
    assert(error <= sumBound(terms.length, magnitude) * (1 + 1e-12));
    if (magnitude > 0) worst = Math.max(worst, error / sumBound(terms.length, magnitude));
  });
  assert(worst > 0.01, `${worst}`);
});

Deno.test("a reference result's bound is one store and n roundings of its terms in double", () => {
  assertEquals(referenceBound(3, 10, 7), 3 * U32 + (10 * U64 / (1 - 10 * U64)) * 7);
  assertEquals(referenceBound(0, 0, 0), TINY32 / 2);
});
