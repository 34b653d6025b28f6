import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { gzipSync } from "node:zlib";
import { cifar10From, cifar10Names } from "../../src/data/cifar10.ts";
import { FASHION_CLASSES, FASHION_FOLDERS, loadFashion } from "../../src/data/fashion.ts";
import { gunzipIdx } from "../../src/data/gunzip_idx.ts";
import { imageBatch, type ImageDataset } from "../../src/data/image_dataset.ts";
import { type DatasetSource, openDataset } from "../../src/data/open_dataset.ts";
import { encodePng } from "../../src/data/png.ts";
import { ArgumentError } from "../../src/math/errors.ts";
import { FormatError } from "../../src/spec/format_error.ts";
import { JPEG_FILES } from "../support/jpeg_files.ts";
import { idxFile } from "../support/idx_files.ts";

/** Opens a temporary folder with the given files in it. */
async function opening(
  files: Readonly<Record<string, Uint8Array | string>>,
  split: "train" | "test",
  options: Omit<DatasetSource, "folder"> = {},
): Promise<ImageDataset> {
  const folder = await Deno.makeTempDir();
  try {
    for (const [name, content] of Object.entries(files)) {
      const path = `${folder}/${name}`;
      await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
      if (typeof content === "string") await Deno.writeTextFile(path, content);
      else await Deno.writeFile(path, content);
    }
    return await openDataset({ folder, ...options }, split);
  } catch (error) {
    if (error instanceof Error) error.message = error.message.replaceAll(folder, "F");
    throw error;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const fails = (
  files: Readonly<Record<string, Uint8Array | string>>,
  message: string,
  options: Omit<DatasetSource, "folder"> = {},
) => assertRejects(() => opening(files, "train", options), FormatError, message);

const IMAGES = idxFile([2, 2, 3], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
const LABELS = idxFile([2], [9, 0]);

Deno.test("without a folder it is MNIST, and a size is refused", async () => {
  const { count, imageShape } = await openDataset({}, "test");
  assertEquals([count, imageShape], [10000, [1, 28, 28]]);
  await assertRejects(
    () => openDataset({ size: 32 }, "test"),
    ArgumentError,
    "only for a folder of PNG or JPEG files but got 32 for MNIST",
  );
});

Deno.test("IDX files are read compressed and plain, side by side", async () => {
  const files = {
    "train-images-idx3-ubyte.gz": new Uint8Array(gzipSync(IMAGES)),
    "train-labels-idx1-ubyte": LABELS,
  };
  const dataset = await opening(files, "train");
  assertEquals([dataset.count, dataset.imageShape, dataset.classes], [2, [1, 2, 3], 10]);
  assertEquals([...dataset.pixels], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
  assertEquals([...dataset.labels], [9, 0]);
  await fails(
    { ...files, "train-labels-idx1-ubyte": idxFile([2], [10, 0]) },
    "Expected labels in 0..9 in F/train-labels-idx1-ubyte but number 0 is 10",
  );
  await fails(
    { "train-images-idx3-ubyte": IMAGES },
    "Expected the IDX files of MNIST or its kin in F but found no train-labels-idx1-ubyte",
  );
  await fails(
    { "train-images-idx3-ubyte": idxFile([0, 2, 3], []), "train-labels-idx1-ubyte": LABELS },
    "Expected at least one image of one pixel in F/train-images-idx3-ubyte but got shape [0, 2, 3]",
  );
});

Deno.test("a compressed IDX file is held to what its own header says", async () => {
  const refused = (packed: Uint8Array, message: string) =>
    assertRejects(() => gunzipIdx(packed, 3, "x.gz"), FormatError, message);
  const packed = (bytes: Uint8Array) => new Uint8Array(gzipSync(bytes));
  assertEquals(await gunzipIdx(packed(IMAGES), 3, "x.gz"), IMAGES);
  await refused(packed(Uint8Array.of(...IMAGES, 0)), "28 bytes in x.gz, as its header says, but");
  await refused(packed(IMAGES.subarray(0, 27)), "Expected 28 bytes in x.gz but got 27");
  await refused(packed(IMAGES.subarray(0, 15)), "Expected at least 16 bytes in x.gz but got 15");
  await refused(packed(LABELS), "Expected at least 16 bytes in x.gz but got 10");
  await refused(IMAGES, "Expected a whole gzip file in x.gz but got");
  await refused(packed(IMAGES).subarray(0, -9), "Expected a whole gzip file in x.gz but got");
  const claim = idxFile([60000, 28, 28], []);
  await refused(packed(claim), "cannot hold more than");
  const float = IMAGES.slice();
  float[2] = 0x0d;
  await refused(packed(float), "in x.gz but got 0x00000d03");
});

Deno.test("a gzip bomb is left as soon as the header's bytes are there", async () => {
  // 64 MB that announce 28 bytes.
  const bytes = new Uint8Array(2 ** 26);
  bytes.set(IMAGES);
  const packed = new Uint8Array(gzipSync(bytes));
  const before = Deno.memoryUsage().external;
  await assertRejects(() => gunzipIdx(packed, 3, "x.gz"), FormatError, "but got more");
  const grown = Deno.memoryUsage().external - before;
  // What one slice of the compressed bytes gives: at most 17 MB, twice while it grows.
  assertEquals(grown < 2 ** 25 + 2 ** 22, true, `${grown} bytes more`);
});

const installed = await Deno.stat(FASHION_FOLDERS[0]).then(() => true, () => false);

Deno.test({
  name: "Fashion-MNIST as Debian installs it has its published size, balance and brightness",
  ignore: !installed,
  fn: async () => {
    const train = await loadFashion("train");
    assertEquals([train.count, train.imageShape, train.classes], [60000, [1, 28, 28], 10]);
    for (let c = 0; c < 10; c++) {
      assertEquals(train.labels.reduce((n, label) => n + (label === c ? 1 : 0), 0), 6000);
    }
    // The mean that the training set is normalised with everywhere.
    const mean = train.pixels.reduce((sum, u) => sum + u, 0) / train.pixels.length / 255;
    assertEquals(mean.toFixed(4), "0.2860");
    const test = await loadFashion("test");
    assertEquals([test.count, test.classNames], [10000, FASHION_CLASSES]);
    // An ankle boot and a pullover.
    assertEquals([...test.labels.subarray(0, 2)], [9, 2]);
  },
});

Deno.test("without Fashion-MNIST the command that installs it is named", async () => {
  await assertRejects(
    () => loadFashion("test", ["no/such/folder"]),
    FormatError,
    "Expected Fashion-MNIST in no/such/folder but found nothing: on Debian or Ubuntu, " +
      "apt-get install dataset-fashion-mnist",
  );
});

/** A batch of CIFAR-10 whose image n has planes full of 10n + 1, 10n + 2 and 10n + 3. */
function cifarBatch(labels: readonly number[], first = 0): Uint8Array {
  return Uint8Array.from(labels.flatMap((label, i) => {
    const plane = (c: number) => new Array<number>(1024).fill(10 * (first + i) + c);
    return [label, ...plane(1), ...plane(2), ...plane(3)];
  }));
}

const NAMES = "airplane automobile bird cat deer dog frog horse ship truck".split(" ");

Deno.test("CIFAR-10's batches are read in order, from the archive's folder too", async () => {
  const batches = Object.fromEntries(
    [1, 2, 3, 4, 5].map((n) => [`data_batch_${n}.bin`, cifarBatch([n, n + 4], 2 * n)]),
  );
  const inside = Object.fromEntries(
    Object.entries(batches).map(([name, bytes]) => [`cifar-10-batches-bin/${name}`, bytes]),
  );
  for (const files of [batches, inside]) {
    const train = await opening(files, "train");
    assertEquals([train.count, train.imageShape, train.classes], [10, [3, 32, 32], 10]);
    assertEquals([...train.labels], [1, 5, 2, 6, 3, 7, 4, 8, 5, 9]);
    assertEquals(train.classNames, undefined);
    // Image 3 is number 5 of all that were made: its planes are red, green and blue.
    const at = 3 * 3072;
    assertEquals([0, 1023, 1024, 3071].map((i) => train.pixels[at + i]), [51, 51, 52, 53]);
  }
  const test = { "test_batch.bin": cifarBatch([7]), "batches.meta.txt": `${NAMES.join("\n")}\n\n` };
  const { labels, classNames } = await opening(test, "test");
  assertEquals([[...labels], classNames], [[7], NAMES]);
  await fails(test, "Expected CIFAR-10's binary batches in F but found no data_batch_1.bin");
});

Deno.test("a batch of CIFAR-10 that is something else is refused", () => {
  const refused = (bytes: Uint8Array, message: string) =>
    assertThrows(() => cifar10From([{ bytes, file: "x.bin" }]), FormatError, message);
  refused(new Uint8Array(3072), "Expected records of 3073 bytes in x.bin");
  refused(new Uint8Array(), "but got 0 bytes");
  refused(cifarBatch([3, 10]), "Expected labels in 0..9 in x.bin but number 1 is 10");
  assertThrows(
    () => cifar10Names(new TextEncoder().encode("cat\ndog"), "x.txt"),
    FormatError,
    "Expected 10 names of classes in x.txt, one per line, but got 2",
  );
});

/** A PNG of one value per channel. */
function png(value: number, size = 2, channels: 1 | 3 = 1): Uint8Array {
  const data = Uint8Array.from({ length: size * size * channels }, (_, i) => value + i % channels);
  return encodePng({ width: size, height: size, channels, data });
}

Deno.test("a folder of pictures: every tenth in the order of names is for testing", async () => {
  const files = Object.fromEntries(
    Array.from({ length: 21 }, (_, i) => [`${String(i).padStart(2, "0")}.png`, png(i)]),
  );
  const test = await opening({ ...files, "notes.txt": "left out" }, "test");
  assertEquals([...test.pixels], [9, 9, 9, 9, 19, 19, 19, 19]);
  assertEquals([test.imageShape, test.classes, [...test.labels]], [[1, 2, 2], 1, [0, 0]]);
  assertEquals(test.classNames, undefined);
  const train = await opening(files, "train");
  const first = [...train.pixels].filter((_, i) => i % 4 === 0);
  assertEquals(first, Array.from({ length: 21 }, (_, i) => i).filter((i) => i % 10 !== 9));
});

Deno.test("subfolders are classes in the order of their names, train/ and test/ are halves", async () => {
  const files = {
    "train/cat/b.png": png(2),
    "train/cat/a.PNG": png(1),
    "train/dog/c.jpg": png(3),
    "train/empty/readme": "no picture, so no class",
    "test/cat/d.png": png(4),
    "test/dog/e.png": png(5),
  };
  const train = await opening(files, "train");
  assertEquals([...train.pixels].filter((_, i) => i % 4 === 0), [1, 2, 3]);
  assertEquals([[...train.labels], train.classes, train.classNames], [[0, 0, 1], 2, [
    "cat",
    "dog",
  ]]);
  const test = await opening(files, "test");
  assertEquals([[...test.labels], test.pixels[0], test.pixels[4]], [[0, 1], 4, 5]);
  await fails(
    { "train/cat/a.png": png(1), "test/dog/a.png": png(1) },
    "Expected the classes of F/train (cat) in F/test too but got dog",
  );
});

Deno.test("one picture in colour makes all of them have three channels", async () => {
  const files = Object.fromEntries(
    Array.from({ length: 10 }, (_, i) => [`${i}.png`, png(10 * i, 2, i === 1 ? 3 : 1)]),
  );
  const grey = { width: 2, height: 2, channels: 1, data: Uint8Array.of(6, 7, 8, 9) } as const;
  const { imageShape, pixels } = await opening({ ...files, "0.png": encodePng(grey) }, "train");
  assertEquals(imageShape, [3, 2, 2]);
  assertEquals([...pixels.subarray(0, 12)], [6, 7, 8, 9, 6, 7, 8, 9, 6, 7, 8, 9]);
  assertEquals([...pixels.subarray(12, 24)], [10, 10, 10, 10, 11, 11, 11, 11, 12, 12, 12, 12]);
});

Deno.test("pictures of any size are brought to one, and without it must have one", async () => {
  const jpeg = Uint8Array.fromBase64(JPEG_FILES[0].jpeg);
  const files = Object.fromEntries(
    Array.from({ length: 10 }, (_, i) => [`${i}.png`, i === 3 ? jpeg : png(i, 6)]),
  );
  const { imageShape, count } = await opening(files, "train", { size: 4 });
  assertEquals([imageShape, count], [[1, 4, 4], 9]);
  await fails(files, "squares of 6 by 6 where no image size is given but F/3.png has 11 by 9");
});

Deno.test("a folder that holds nothing to train on is reported with what it holds", async () => {
  await fails(
    { "a.txt": "", "b.csv": "", "c/d.txt": "", "e.gif": "" },
    "Expected the four IDX files of MNIST or its kin, CIFAR-10's data_batch_1.bin and so on, or " +
      "PNG or JPEG files in F but found c/, a.txt, b.csv and 1 more",
  );
  await fails({}, "but found nothing");
  await fails({ "a.png": png(1) }, "at least 10 PNG or JPEG files in F, of which every 10th");
  await fails({ "a.png": png(1), "b/c.png": png(1) }, "but got both, F/a.png and F/b/c.png");
  const pictures = Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`${i}.png`, png(i)]));
  await fails({ ...pictures, "0x.png": "no picture" }, "but it begins with 6E 6F 20 70");
  await assertRejects(
    () => openDataset({ folder: "no/such" }, "test"),
    FormatError,
    "there is none",
  );
});

Deno.test("a batch mirrors the images that are asked for, left for right", async () => {
  const files = { "train-images-idx3-ubyte": IMAGES, "train-labels-idx1-ubyte": LABELS };
  const dataset = await opening(files, "train");
  const bytes = ({ data }: { data: Float32Array }) =>
    [...data].map((x) => Math.round(127.5 * (x + 1)));
  const images = [1, 0, 1];
  assertEquals(
    bytes(imageBatch(dataset, images, { flip: [true, false, false] })),
    [9, 8, 7, 12, 11, 10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
  );
  assertEquals(
    imageBatch(dataset, images, { flip: [false, false, false] }),
    imageBatch(dataset, images),
  );
  assertThrows(
    () => imageBatch(dataset, images, { flip: [true] }),
    ArgumentError,
    "Expected 3 values of flip, one for each image but got 1",
  );
});
