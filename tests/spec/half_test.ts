import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { bfloatToNumber, halfToNumber, numberToHalf } from "../../src/spec/half.ts";

// The same cases in every run.
fc.configureGlobal({ seed: 1 });

Deno.test("every half goes to a number and back to its own bits", () => {
  const view = new DataView(new ArrayBuffer(2));
  for (let bits = 0; bits < 0x10000; bits++) {
    const value = halfToNumber(bits);
    view.setUint16(0, bits);
    assertEquals(Object.is(value, view.getFloat16(0)), true, `bits ${bits}`);
    if (!Number.isNaN(value)) assertEquals(numberToHalf(value), bits);
  }
  assertEquals(halfToNumber(numberToHalf(NaN)), NaN);
});

Deno.test("a number becomes the half that the platform's own rounding gives", () => {
  const value = fc.oneof(
    fc.double({ noNaN: true }),
    fc.double({ min: -70000, max: 70000, noNaN: true }),
    fc.double({ min: -1e-4, max: 1e-4, noNaN: true }),
    // Halfway between two halves, and next to it.
    fc.tuple(fc.nat(0x7bfe), fc.constantFrom(0, -1, 1)).map(([bits, side]) => {
      const middle = (halfToNumber(bits) + halfToNumber(bits + 1)) / 2;
      return middle * (1 + side * 2 ** -52);
    }),
    fc.constantFrom(65519.99999999999, 65520, -65520, Infinity, -Infinity, -0),
  );
  fc.assert(
    fc.property(value, (x) => {
      assertEquals(Object.is(halfToNumber(numberToHalf(x)), Math.f16round(x)), true);
    }),
    { numRuns: 5000 },
  );
});

Deno.test("a bfloat16 is the upper half of a float32", () => {
  fc.assert(fc.property(fc.nat(0xffff), (bits) => {
    const float = new Float32Array(new Uint32Array([bits * 0x10000]).buffer)[0];
    assertEquals(Object.is(bfloatToNumber(bits), float), true);
  }));
});
