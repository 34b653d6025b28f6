import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import {
  ArgumentError,
  checkFinite,
  checkInteger,
  show,
  unexpected,
} from "../../src/math/errors.ts";
import { checkRank, checkShape, shapesEqual, sizeOf, tensor } from "../../src/math/tensor.ts";

Deno.test("a shape's size is its product; negative, broken and huge sizes are errors", () => {
  assertEquals([sizeOf([]), sizeOf([3]), sizeOf([2, 0, 5]), sizeOf([2, 3, 4])], [1, 3, 0, 24]);
  assertThrows(() => sizeOf([2, -1]), ArgumentError, "Expected a shape of non-negative integers");
  assertThrows(() => sizeOf([1.5]), ArgumentError, "but got [1.5]");
  assertThrows(() => sizeOf([2 ** 30, 2 ** 30]), ArgumentError, "fewer than 2^53 elements");
});

Deno.test("a tensor rounds doubles to float32 once, keeps a Float32Array and starts at zero", () => {
  const third = tensor([1, 2], [1 / 3, -1e-50]);
  assertEquals(Array.from(third.data), [Math.fround(1 / 3), -0]);
  const data = new Float32Array(2);
  assertStrictEquals(tensor([2], data).data, data);
  assertEquals(Array.from(tensor([2, 2]).data), [0, 0, 0, 0]);
  assertThrows(() => tensor([2], [1]), ArgumentError, "Expected 2 values for shape [2] but got 1");
});

Deno.test("shape errors name the argument, the shape wanted and the shape found", () => {
  const x = tensor([1, 3, 4, 5]);
  checkShape("noise", x, [1, 3, 4, 5]);
  assertThrows(
    () => checkShape("noise", x, [1, 3, 4, 4]),
    ArgumentError,
    "Expected noise of shape [1, 3, 4, 4] but got [1, 3, 4, 5]",
  );
  checkRank("x", x, "N, C, H, W");
  assertThrows(
    () => checkRank("x", x, "N, C"),
    ArgumentError,
    "Expected x of shape [N, C] but got [1, 3, 4, 5]",
  );
  assertEquals(
    [shapesEqual([1, 2], [1, 2]), shapesEqual([1, 2], [2, 1]), shapesEqual([1], [1, 1])],
    [true, false, false],
  );
});

Deno.test("argument errors are full sentences with what was found", () => {
  assertThrows(() => unexpected("a fish", NaN), ArgumentError, "Expected a fish but got NaN");
  assertThrows(
    () => checkInteger("t", 0, 1, 1000),
    ArgumentError,
    "Expected t in 1..1000 but got 0",
  );
  assertThrows(() => checkInteger("n", "3", 0, 2 ** 53), ArgumentError, 'but got "3"');
  assertThrows(() => checkFinite("s", Infinity), ArgumentError, "but got Infinity");
  assertEquals([checkInteger("t", 3, 1, 3), checkFinite("s", -2.5)], [3, -2.5]);
  assertEquals(new ArgumentError("x").name, "ArgumentError");
  assertEquals(show([1, 2, 3, 4, 5, 6, 7]), "[1, 2, 3, 4, 5, 6, … 7 values]");
  assertEquals(show("a".repeat(50)), `"${"a".repeat(37)}…"`);
  assertEquals([show({}), show(undefined), show(null)], ["an object", "undefined", "null"]);
});
