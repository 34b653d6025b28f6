import { assertEquals, assertThrows } from "@std/assert";
import { decode, decodeApng } from "fast-png";
import { encodeApng } from "../../src/data/apng.ts";
import type { Picture } from "../../src/data/image_grid.ts";
import { readPngChunks } from "../../src/data/png_chunks.ts";
import { ArgumentError } from "../../src/math/errors.ts";

const frame = (first: number, channels: 1 | 3 = 1): Picture => ({
  width: 3,
  height: 2,
  channels,
  data: Uint8Array.from({ length: 6 * channels }, (_, i) => first + i),
});

for (const channels of [1, 3] as const) {
  Deno.test(`an animation with ${channels} channels holds every frame's pixels and delay`, () => {
    const frames = [0, 50, 100].map((first) => frame(first, channels));
    const file = encodeApng(frames, 80);
    const found = decodeApng(file, { checkCrc: true });
    assertEquals([found.width, found.height, found.channels], [3, 2, channels]);
    assertEquals([found.numberOfFrames, found.numberOfPlays], [3, 0]);
    for (const [i, { data, delayNumber, delayDenominator }] of found.frames.entries()) {
      assertEquals([...data], [...frames[i].data]);
      assertEquals([delayNumber, delayDenominator], [80, 1000]);
    }
    // What knows no animation shows the first frame.
    assertEquals([...decode(file).data], [...frames[0].data]);
  });
}

Deno.test("the chunks of an animation are numbered in the order that the format asks for", () => {
  const chunks = readPngChunks(encodeApng([frame(0), frame(1), frame(2)], 1), "x");
  assertEquals(
    chunks.map(({ type }) => type),
    ["IHDR", "acTL", "fcTL", "IDAT", "fcTL", "fdAT", "fcTL", "fdAT", "IEND"],
  );
  const numbers = chunks.filter(({ type }) => type === "fcTL" || type === "fdAT")
    .map(({ data }) => new DataView(data.buffer, data.byteOffset).getUint32(0));
  assertEquals(numbers, [0, 1, 2, 3, 4]);
});

Deno.test("frames that make no animation are refused", () => {
  const fails = (frames: Picture[], delay: number, message: string) =>
    assertThrows(() => encodeApng(frames, delay), ArgumentError, message);
  fails([], 10, "number of frames in 1..");
  fails([frame(0)], 0, "delay in milliseconds in 1..65535 but got 0");
  fails([frame(0), frame(0, 3)], 10, "every frame to be 3 by 2 with 1 channels but got [3, 2, 3]");
});
