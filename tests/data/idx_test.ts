import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { decodeIdx } from "../../src/data/idx.ts";
import { mnistFrom } from "../../src/data/mnist.ts";
import { FormatError } from "../../src/spec/format_error.ts";
import { idxFile as idx } from "../support/idx_files.ts";

Deno.test("an IDX file gives its shape and its bytes", () => {
  const { shape, data } = decodeIdx(idx([2, 1, 3], [1, 2, 3, 4, 5, 6]), 3, "x");
  assertEquals(shape, [2, 1, 3]);
  assertEquals([...data], [1, 2, 3, 4, 5, 6]);
});

const BROKEN: [what: string, file: Uint8Array, rank: number, message: string][] = [
  [
    "short header",
    new Uint8Array(15),
    3,
    "Expected at least 16 bytes of IDX header in some-file but got 15",
  ],
  [
    "labels for images",
    idx([4], [1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9]),
    3,
    "0x00000803 (unsigned bytes, 3 dimensions) in some-file but got 0x00000801",
  ],
  ["another type", idx([2], [1, 2], 0x0d01), 1, "but got 0x00000d01"],
  ["a gzip file", idx([2], [1, 2], 0x1f8b0808), 1, "but got 0x1f8b0808"],
  [
    "cut short",
    idx([2, 2], [1, 2, 3]),
    2,
    "Expected 16 bytes in some-file for shape [2, 2] but got 15",
  ],
  ["too long", idx([2, 2], [1, 2, 3, 4, 5]), 2, "but got 17"],
  ["sizes of 2^64 bytes", idx([2 ** 32 - 1, 2 ** 32 - 1], [1]), 2, "but got 13"],
];

for (const [what, file, rank, message] of BROKEN) {
  Deno.test(`an IDX file is refused with its name, what was expected and found: ${what}`, () => {
    const error = assertThrows(() => decodeIdx(file, rank, "some-file"), FormatError);
    assertStringIncludes(error.message, message);
  });
}

Deno.test("images and labels must go together", () => {
  const images = idx([2, 1, 1], [9, 8]);
  const good = mnistFrom(images, idx([2], [0, 9]), "train-images-idx3-ubyte");
  assertEquals(good.count, 2);
  assertEquals(good.imageShape, [1, 1, 1]);
  assertEquals([...good.pixels, ...good.labels], [9, 8, 0, 9]);
  assertThrows(
    () => mnistFrom(images, idx([3], [0, 1, 2]), "train-images-idx3-ubyte"),
    FormatError,
    "Expected 2 labels in train-labels-idx1-ubyte, one for each image, but got 3",
  );
  assertThrows(
    () => mnistFrom(images, idx([2], [3, 10]), "train-images-idx3-ubyte"),
    FormatError,
    "Expected labels in 0..9 in train-labels-idx1-ubyte but number 1 is 10",
  );
});
