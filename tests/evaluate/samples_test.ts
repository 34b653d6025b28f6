/** Sets of images, and the files that they are kept in. */
import { assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { encodeNpz, type NamedArray } from "../../src/data/npz.ts";
import {
  decodeSamples,
  encodeSamples,
  sampleBatch,
  type Samples,
  samplesOf,
  samplesOfDataset,
  someOf,
} from "../../src/evaluate/samples.ts";
import { ArgumentError } from "../../src/math/errors.ts";
import { tensor } from "../../src/math/tensor.ts";
import { FormatError } from "../../src/spec/format_error.ts";

/** Image i is of one grey, i, and of class i mod 10. */
function greys(count: number): Samples & { readonly labels: Uint8Array } {
  const pixels = Uint8Array.from({ length: 784 * count }, (_, at) => Math.floor(at / 784));
  return { count, pixels, labels: Uint8Array.from({ length: count }, (_, i) => i % 10) };
}

Deno.test("samplesOf rounds to bytes as a file would, and classes go round", () => {
  const values = Float32Array.from({ length: 5 * 784 }, (_, at) => [-3, -1, 0.001, 1, 1.5][at % 5]);
  const samples = samplesOf(tensor([5, 1, 28, 28], values), [7, 2]);
  assertEquals([...samples.pixels.subarray(0, 5)], [0, 0, 128, 255, 255]);
  assertEquals([...samples.labels!], [7, 2, 7, 2, 7]);
  assertEquals(samplesOf(tensor([5, 1, 28, 28], values), null).labels, null);
  assertThrows(() => samplesOf(tensor([1, 1, 8, 8]), null), ArgumentError, "[1, 1, 28, 28]");
});

Deno.test("sampleBatch takes the images that it is asked for", () => {
  const batch = sampleBatch(greys(200), 51, 54);
  assertEquals(batch.shape, [3, 1, 28, 28]);
  assertEquals(
    [batch.data[0], batch.data[783], batch.data[784], batch.data[3 * 784 - 1]],
    [51, 51, 52, 53].map((u) => Math.fround(u / 127.5 - 1)),
  );
});

Deno.test("someOf draws the same images every time, none twice, each with its class", () => {
  const all = greys(200), some = someOf(all, 50);
  assertEquals(someOf(all, 50), some);
  assertEquals(someOf(all, 20).pixels, some.pixels.subarray(0, 20 * 784));
  const greysSeen = Array.from({ length: 50 }, (_, n) => some.pixels[784 * n]);
  assertEquals(new Set(greysSeen).size, 50);
  assertNotEquals(greysSeen, greysSeen.toSorted((a, b) => a - b));
  assertEquals([...some.labels!], greysSeen.map((grey) => grey % 10));
  assertEquals(someOf({ ...all, labels: null }, 3).labels, null);
  assertThrows(() => someOf(all, 201), ArgumentError, "count in 0..200 but got 201");
});

Deno.test("samplesOfDataset refuses images of another size", () => {
  const dataset = { ...greys(2), imageShape: [1, 28, 28] as const, classes: 10 };
  assertEquals(samplesOfDataset(dataset), greys(2));
  assertThrows(
    () => samplesOfDataset({ ...dataset, imageShape: [3, 32, 32] }),
    ArgumentError,
    "Expected images of shape [1, 28, 28] but got [3, 32, 32]",
  );
});

Deno.test("samples come back from their file, with and without classes", () => {
  for (const samples of [greys(12), { ...greys(3), labels: null }]) {
    assertEquals(decodeSamples(encodeSamples(samples), "a.npz"), samples);
  }
});

Deno.test("a file of something else is refused with what was expected", () => {
  const { pixels } = greys(2);
  const images: NamedArray = { name: "arr_0", array: { shape: [2, 28, 28, 1], data: pixels } };
  const classes = (...values: bigint[]): NamedArray => ({
    name: "arr_1",
    array: { shape: [values.length], data: BigInt64Array.from(values) },
  });
  const cases: [arrays: NamedArray[], message: string][] = [
    [[], "arr_0, uint8 [N, 28, 28, 1], in a.npz but got none"],
    [
      [{ name: "arr_0", array: { shape: [2, 1, 28, 28], data: pixels } }],
      "in a.npz but got Uint8Array [2, 1, 28, 28]",
    ],
    [
      [{ name: "arr_0", array: { shape: [1, 28, 28, 1], data: new Float32Array(784) } }],
      "but got Float32Array [1, 28, 28, 1]",
    ],
    [[images, classes(1n)], "Expected arr_1 in a.npz to be 2 classes in 0..9 but got 1 values"],
    [[images, classes(1n, 10n)], "Expected arr_1 in a.npz to be 2 classes in 0..9 but got 10"],
    [[images, classes(-1n, 3n)], "but got -1"],
  ];
  for (const [arrays, message] of cases) {
    assertThrows(() => decodeSamples(encodeNpz(arrays), "a.npz"), FormatError, message);
  }
  assertThrows(() => decodeSamples(new Uint8Array(9), "a.npz"), FormatError, "a.npz");
});
