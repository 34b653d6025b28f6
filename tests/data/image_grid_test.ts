import { assertEquals, assertThrows } from "@std/assert";
import { decode } from "fast-png";
import { type GridOptions, imageGrid } from "../../src/data/image_grid.ts";
import { scaleByte, unscaleByte } from "../../src/data/pixels.ts";
import { encodePng } from "../../src/data/png.ts";
import { ArgumentError } from "../../src/math/errors.ts";
import { type Tensor, tensor } from "../../src/math/tensor.ts";

Deno.test("every byte scaled to [-1, 1], stored as float32 and brought back is itself", () => {
  for (let u = 0; u < 256; u++) assertEquals(unscaleByte(Math.fround(scaleByte(u))), u);
  assertEquals([scaleByte(0), scaleByte(255)], [-1, 1]);
  assertEquals([-1.5, 1.5, -Infinity, Infinity].map(unscaleByte), [0, 255, 0, 255]);
  // Rounds where truncation would give 128 − 1: 127.5·(1 + 0.00196) = 127.75.
  assertEquals(unscaleByte(0.25 / 127.5), 128);
  assertThrows(() => unscaleByte(NaN), ArgumentError, "pixel values that are numbers but got NaN");
});

/** The bytes of the PNG file of a grid, decoded again. */
function throughPng(images: Tensor, options: GridOptions) {
  const { width, height, channels, data } = decode(encodePng(imageGrid(images, options)));
  return { width, height, channels, data: [...data] };
}

Deno.test("a PNG grid decodes to the images' pixels, row by row, with lines between them", () => {
  // Three images of 1×2 pixels in two columns; the fourth place stays empty.
  const images = tensor([3, 1, 1, 2], [0, 255, 51, 102, 153, 204].map(scaleByte));
  const o = 64;
  assertEquals(throughPng(images, { columns: 2, padding: 1 }), {
    width: 7,
    height: 5,
    channels: 1,
    // deno-fmt-ignore
    data: [
      o,   o,   o, o,  o,   o, o,
      o,   0, 255, o, 51, 102, o,
      o,   o,   o, o,  o,   o, o,
      o, 153, 204, o,  o,   o, o,
      o,   o,   o, o,  o,   o, o,
    ],
  });
});

Deno.test("zoom makes every pixel a square and colours stay together", () => {
  const grey = tensor([1, 1, 1, 2], [0, 255].map(scaleByte));
  assertEquals(throughPng(grey, { padding: 0, zoom: 2 }).data, [0, 0, 255, 255, 0, 0, 255, 255]);
  const colour = tensor([1, 3, 1, 2], [10, 20, 30, 40, 50, 60].map(scaleByte));
  assertEquals(throughPng(colour, { padding: 0 }).data, [10, 30, 50, 20, 40, 60]);
});

Deno.test("a grid is as square as can be unless told otherwise", () => {
  const five = tensor([5, 1, 1, 1]);
  const { width, height } = imageGrid(five, { padding: 0 });
  assertEquals([width, height], [3, 2]);
  const row = imageGrid(five, { padding: 0, columns: 9 });
  assertEquals([row.width, row.height], [5, 1]);
});

Deno.test("what no grid can show is refused", () => {
  const fails = (images: Tensor, options: GridOptions, message: string) =>
    assertThrows(() => imageGrid(images, options), ArgumentError, message);
  fails(tensor([1, 2, 3, 3]), {}, "1 or 3 channels but got shape");
  fails(tensor([0, 1, 3, 3]), {}, "number of images in 1..");
  fails(tensor([1, 3, 3]), {}, "[N, C, H, W]");
  fails(tensor([1, 1, 3, 3]), { zoom: 0 }, "zoom in 1..1024 but got 0");
  fails(tensor([1, 1, 3, 3]), { columns: 1.5 }, "columns in 1..");
  fails(tensor([1, 1, 1, 1], [NaN]), {}, "but got NaN");
});
