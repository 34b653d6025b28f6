import { assertAlmostEquals, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { imageBatch } from "../../src/data/image_dataset.ts";
import { checkSha256, loadMnist } from "../../src/data/mnist.ts";
import { ArgumentError } from "../../src/math/errors.ts";
import { FormatError } from "../../src/spec/format_error.ts";

Deno.test("MNIST comes with its published size, classes and brightness", async () => {
  const train = await loadMnist("train");
  const test = await loadMnist("test");
  assertEquals([train.count, test.count], [60000, 10000]);
  assertEquals(train.imageShape, [1, 28, 28]);
  assertEquals([...train.labels.subarray(0, 10)], [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]);
  assertEquals([...test.labels.subarray(0, 10)], [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]);
  // The mean that the training set is normalised with everywhere, 0.1307, is given to four digits.
  const mean = train.pixels.reduce((sum, u) => sum + u, 0) / train.pixels.length / 255;
  assertAlmostEquals(mean, 0.1307, 0.5e-4);
});

Deno.test("a batch holds the images asked for, in [-1, 1]", async () => {
  const test = await loadMnist("test");
  const batch = imageBatch(test, [3, 9999]);
  assertEquals(batch.shape, [2, 1, 28, 28]);
  const at = 9999 * 784 + 400;
  assertEquals(batch.data[784 + 400], Math.fround(test.pixels[at] / 127.5 - 1));
  assertEquals(batch.data.reduce((a, b) => Math.min(a, b)), -1);
  assertThrows(() => imageBatch(test, [10000]), ArgumentError, "image number in 0..9999 but got");
});

Deno.test("a file with one bit changed fails its checksum", async () => {
  const bytes = new TextEncoder().encode("abc");
  // The SHA-256 of "abc" as in FIPS 180-2, appendix B.1.
  const sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  await checkSha256(bytes, sum, "abc");
  bytes[0] ^= 1;
  await assertRejects(() => checkSha256(bytes, sum, "abc"), FormatError, "of abc but got");
});

Deno.test("a folder of one's own that lacks a file is reported with the file's name", async () => {
  await assertRejects(
    () => loadMnist("test", "no/such/folder"),
    FormatError,
    "in no/such/folder but found no t10k-images-idx3-ubyte",
  );
});
