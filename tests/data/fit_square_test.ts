import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { fitSquare } from "../../src/data/fit_square.ts";
import type { Picture } from "../../src/data/image_grid.ts";
import { ArgumentError } from "../../src/math/errors.ts";
import { forAll } from "../support/property.ts";

function grey(width: number, height: number, pixels: readonly number[]): Picture {
  return { width, height, channels: 1, data: Uint8Array.from(pixels) };
}

Deno.test("a smaller picture has the mean of the area that each pixel covers", () => {
  // 3 by 3 to 2 by 2: each side is 1.5 pixels, so weights are 4/9, 2/9, 2/9 and 1/9.
  const picture = grey(3, 3, [0, 90, 180, 9, 99, 189, 18, 108, 198]);
  const mean = (a: number, b: number, c: number, d: number) =>
    Math.round((4 * a + 2 * b + 2 * c + d) / 9);
  assertEquals([...fitSquare(picture, 2).data], [
    mean(0, 90, 9, 99),
    mean(180, 90, 189, 99),
    mean(18, 108, 9, 99),
    mean(198, 108, 189, 99),
  ]);
  assertEquals([...fitSquare(grey(2, 2, [0, 1, 1, 0]), 1).data], [1]);
});

Deno.test("a larger picture is bilinear between pixel centres, and its edge goes on", () => {
  // Centres of 4 pixels over 2: at −1/4, 1/4, 3/4 and 5/4 of the first.
  const row = [0, 25, 75, 100];
  assertEquals([...fitSquare(grey(2, 2, [0, 100, 0, 100]), 4).data], [
    ...row,
    ...row,
    ...row,
    ...row,
  ]);
  assertEquals([...fitSquare(grey(1, 1, [7]), 3).data], new Array(9).fill(7));
});

Deno.test("the middle square is taken, across and down, with colours together", () => {
  assertEquals([...fitSquare(grey(5, 1, [1, 2, 3, 4, 5]), 1).data], [3]);
  assertEquals([...fitSquare(grey(1, 4, [1, 2, 3, 4]), 1).data], [2]);
  const colour: Picture = {
    width: 2,
    height: 1,
    channels: 3,
    data: Uint8Array.of(10, 20, 30, 40, 50, 60),
  };
  assertEquals(fitSquare(colour, 1), { ...colour, width: 1, data: Uint8Array.of(10, 20, 30) });
});

Deno.test("a square of the size asked for stays as it is, and a flat one stays flat at any size", () => {
  const size = fc.integer({ min: 1, max: 9 });
  forAll(fc.tuple(size, size, fc.integer({ min: 0, max: 255 })), 200, ([side, to, value]) => {
    const drawn = grey(side, side, Array.from({ length: side * side }, (_, i) => value * i));
    assertEquals(fitSquare(drawn, side), drawn);
    const flat = fitSquare(grey(side, side, new Array(side * side).fill(value)), to);
    assertEquals([...flat.data], new Array(to * to).fill(value));
  });
});

Deno.test("a size that no picture has is refused", () => {
  assertThrows(() => fitSquare(grey(1, 1, [0]), 0), ArgumentError, "image size in 1..4096");
});
