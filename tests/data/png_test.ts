import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { deflateSync } from "node:zlib";
import { decodePng, encodePng } from "../../src/data/png.ts";
import { writePngChunks } from "../../src/data/png_chunks.ts";
import { FormatError } from "../../src/spec/format_error.ts";
import { pngFile, type PngParts } from "../support/png_files.ts";

const KINDS: [what: string, parts: PngParts, channels: 1 | 3, pixels: number[]][] = [
  ["8-bit grey", { width: 2, height: 1, depth: 8, colour: 0, rows: [0, 7, 200] }, 1, [7, 200]],
  [
    "a row that is the sum of its left neighbours, and one that adds to the row above",
    { width: 3, height: 2, depth: 8, colour: 0, rows: [1, 10, 1, 2, 2, 1, 1, 250] },
    1,
    [10, 11, 13, 11, 12, 7],
  ],
  [
    "one bit per pixel, nine to a row",
    { width: 9, height: 2, depth: 1, colour: 0, rows: [0, 0b10110000, 0x80, 0, 0b00000001, 0] },
    1,
    [1, 0, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0].map((bit) => 255 * bit),
  ],
  [
    "two bits per pixel",
    { width: 3, height: 1, depth: 2, colour: 0, rows: [0, 0b00011000] },
    1,
    [0, 85, 170],
  ],
  [
    "four bits per pixel",
    { width: 3, height: 1, depth: 4, colour: 0, rows: [0, 0x1f, 0x80] },
    1,
    [17, 255, 136],
  ],
  [
    "16-bit grey to the nearest byte",
    // 128/257 rounds down, 129/257 up.
    { width: 3, height: 1, depth: 16, colour: 0, rows: [0, 0, 128, 0, 129, 255, 255] },
    1,
    [0, 1, 255],
  ],
  [
    "grey with opacity over white",
    { width: 3, height: 1, depth: 8, colour: 4, rows: [0, 100, 255, 100, 0, 0, 51] },
    1,
    [100, 255, 204],
  ],
  [
    "red, green and blue",
    { width: 1, height: 2, depth: 8, colour: 2, rows: [0, 1, 2, 3, 0, 4, 5, 6] },
    3,
    [1, 2, 3, 4, 5, 6],
  ],
  [
    "16-bit colour with opacity",
    { width: 1, height: 1, depth: 16, colour: 6, rows: [0, 255, 255, 0, 0, 1, 1, 0x33, 0x33] },
    3,
    // 0x3333 is a fifth of 0xffff: 255, 204 and 204 + 1/5.
    [255, 204, 204],
  ],
  [
    "a palette whose second colour is half transparent",
    {
      width: 3,
      height: 1,
      depth: 2,
      colour: 3,
      rows: [0, 0b00_01_10_00],
      palette: [255, 0, 0, 0, 0, 0, 0, 10, 20],
      transparency: [255, 128],
    },
    3,
    [255, 0, 0, 127, 127, 127, 0, 10, 20],
  ],
  [
    "one grey value that is transparent",
    { width: 2, height: 1, depth: 8, colour: 0, rows: [0, 9, 10], transparency: [0, 9] },
    1,
    [255, 10],
  ],
  [
    "one colour that is transparent, and one that shares its red",
    {
      width: 2,
      height: 1,
      depth: 8,
      colour: 2,
      rows: [0, 1, 2, 3, 1, 2, 4],
      transparency: [0, 1, 0, 2, 0, 3],
    },
    3,
    [255, 255, 255, 1, 2, 4],
  ],
];

for (const [what, parts, channels, pixels] of KINDS) {
  Deno.test(`a PNG file is read: ${what}`, () => {
    const { width, height } = parts;
    const { data, ...rest } = decodePng(pngFile(parts), "x.png");
    assertEquals(rest, { width, height, channels });
    assertEquals([...data], pixels);
  });
}

Deno.test("an interlaced PNG file has its pixels in seven passes", () => {
  // The pass of each pixel in every square of 8 by 8 (PNG specification, section 8).
  const passes = [
    [1, 6, 4, 6, 2, 6, 4, 6],
    [7, 7, 7, 7, 7, 7, 7, 7],
    [5, 6, 5, 6, 5, 6, 5, 6],
    [7, 7, 7, 7, 7, 7, 7, 7],
    [3, 6, 4, 6, 3, 6, 4, 6],
    [7, 7, 7, 7, 7, 7, 7, 7],
    [5, 6, 5, 6, 5, 6, 5, 6],
    [7, 7, 7, 7, 7, 7, 7, 7],
  ];
  for (const [width, height] of [[9, 11], [1, 9], [5, 2], [16, 8]]) {
    const rows: number[] = [];
    for (let pass = 1; pass <= 7; pass++) {
      for (let y = 0; y < height; y++) {
        const row = [...Array(width).keys()].filter((x) => passes[y % 8][x % 8] === pass);
        if (row.length > 0) rows.push(0, ...row.map((x) => y * width + x));
      }
    }
    const { data } = decodePng(pngFile({ width, height, depth: 8, colour: 0, interlace: 1, rows }));
    assertEquals([...data], [...Array(width * height).keys()]);
  }
});

Deno.test("a picture that is written is read again, from the middle of a larger buffer too", () => {
  for (const channels of [1, 3] as const) {
    const data = Uint8Array.from({ length: 12 * channels }, (_, i) => 37 * i);
    const picture = { width: 4, height: 3, channels, data };
    const file = encodePng(picture);
    assertEquals(decodePng(file), picture);
    const larger = new Uint8Array(file.length + 20).fill(9);
    larger.set(file, 11);
    assertEquals(decodePng(larger.subarray(11, 11 + file.length)), picture);
  }
});

const GREY: PngParts = { width: 2, height: 1, depth: 8, colour: 0, rows: [0, 7, 200] };

Deno.test("what is no PNG, or is damaged, is refused with its name and what was found", () => {
  const good = pngFile(GREY);
  const flipped = good.slice();
  flipped[good.length - 20] ^= 1;
  const broken: [message: string, file: Uint8Array][] = [
    ["Expected a PNG file in x.png but it begins with ff d8", Uint8Array.of(255, 216)],
    ["Expected a PNG file in x.png but it begins with nothing", new Uint8Array()],
    ["x.png to go on to an IEND chunk but it ends within a chunk", good.subarray(0, -1)],
    ["x.png to go on to an IEND chunk but it ends within a chunk", good.subarray(0, -13)],
    ["Expected the checksum of chunk 1 of x.png", flipped],
    ["Expected an IHDR chunk of 13 bytes first in x.png but got IEND of 0", onlyEnd()],
    ["1 to 33554432 pixels in x.png but its header says 0 by 1", pngFile({ ...GREY, width: 0 })],
    ["header says 65536 by 65536", pngFile({ ...GREY, width: 65536, height: 65536 })],
    ["colour type 0 with 3 bits", pngFile({ ...GREY, depth: 3 })],
    ["colour type 2 with 4 bits", pngFile({ ...GREY, colour: 2, depth: 4 })],
    [
      "4 bits, compression 0, filter 0, interlacing 1",
      pngFile({ ...GREY, depth: 4, interlace: 1 }),
    ],
    ["interlacing 2", pngFile({ ...GREY, interlace: 2 })],
    ["Expected 5 bytes of compressed data of x.png but got 3", pngFile({ ...GREY, width: 4 })],
    ["Expected 2 bytes of compressed data of x.png but got more", pngFile({ ...GREY, width: 1 })],
    ["Unsupported filter: 5", pngFile({ ...GREY, rows: [5, 7, 200] })],
    ["got 1, 0 bytes of PLTE and 0 of tRNS for colour type 3", pngFile({ ...GREY, colour: 3 })],
    ["4 bytes of PLTE", pngFile({ ...GREY, colour: 3, palette: [1, 2, 3, 4] })],
    ["3 of tRNS", pngFile({ ...GREY, transparency: [1, 2, 3] })],
    [
      "colours of a palette of 1 in x.png but got number 7",
      pngFile({ ...GREY, colour: 3, palette: [1, 2, 3] }),
    ],
  ];
  for (const [message, file] of broken) {
    const error = assertThrows(() => decodePng(file, "x.png"), FormatError);
    assertStringIncludes(error.message, message);
  }
});

function onlyEnd(): Uint8Array {
  return writePngChunks([{ type: "IEND", data: new Uint8Array() }]);
}

Deno.test("a small file gets no memory for the large picture that it claims", () => {
  // 33 MB of pixels in 100 bytes cannot be: deflate makes at most 1,032 of one.
  const claim = pngFile({ ...GREY, width: 2 ** 13, height: 2 ** 12 });
  assertThrows(() => decodePng(claim, "x.png"), FormatError, "compressed ones cannot hold more");
});

Deno.test("what inflates to more than the picture is never inflated whole, a profile not at all", () => {
  const bomb = new Uint8Array(deflateSync(new Uint8Array(2 ** 26)));
  const profile = Uint8Array.of(97, 0, 0, ...bomb);
  const before = Deno.memoryUsage().external;
  const file = pngFile({ ...GREY, extra: ["iCCP", profile] });
  assertEquals([...decodePng(file).data], [7, 200]);
  const grown = Deno.memoryUsage().external - before;
  // The file several times over, and not the 64 MB in it.
  assertEquals(grown < 2 ** 23, true, `${grown} bytes more`);
});
