import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ArgumentError } from "../../src/math/errors.ts";
import { tensor } from "../../src/math/tensor.ts";
import { resultJson } from "../../src/oracle/result.ts";
import { forAll } from "../support/property.ts";

Deno.test("every float32 is printed so that it reads back exactly, the sign of zero too", () => {
  const bits = fc.nat(2 ** 32 - 1).map((n) => new Float32Array(Uint32Array.of(n).buffer)[0]);
  const finite = bits.filter(Number.isFinite);
  forAll(fc.array(fc.oneof(finite, fc.constant(-0))), 300, (values) => {
    const x = tensor([values.length], Float32Array.from(values));
    const read = JSON.parse(resultJson({ x })).x;
    assertEquals(read.shape, [values.length]);
    assert(values.every((value, i) => Object.is(read.data[i], value)));
  });
});

Deno.test("every double is printed so that it reads back exactly; infinities are strings", () => {
  forAll(fc.array(fc.double({ noNaN: true })), 300, (values) => {
    const read = JSON.parse(resultJson({ table: Float64Array.from(values), list: values }));
    values.forEach((value, i) => {
      const expected = Number.isFinite(value) ? value : String(value);
      assert(Object.is(read.table[i], expected) && Object.is(read.list[i], expected));
    });
  });
});

Deno.test("what is not a number is the argument's fault, and so is infinity in a tensor", () => {
  assertThrows(() => resultJson({ w: NaN }), ArgumentError, "w is a number");
  assertThrows(() => resultJson({ w: Float64Array.of(1, NaN) }), ArgumentError, "w is a number");
  for (const value of [Infinity, -Infinity, NaN]) {
    const x = tensor([2], Float32Array.of(1, value));
    assertThrows(() => resultJson({ grads: { x } }), ArgumentError, `value 1 is ${value}`);
  }
});
