/** The figures of sets of images whose quality is known. */
import { assert, assertEquals, assertGreater, assertLess } from "@std/assert";
import { loadMnist } from "../../src/data/mnist.ts";
import { accuracyOf, judge, qualityOf, realImages } from "../../src/evaluate/quality.ts";
import { type Samples, samplesOfDataset, someOf } from "../../src/evaluate/samples.ts";
import { randomBits } from "../../src/math/philox.ts";
import { everyFifthTestImage, type Labelled, picked, shippedClassifier } from "./digits.ts";

Deno.test("accuracyOf counts what is recognised, in all and by class", () => {
  assertEquals(accuracyOf(Uint8Array.of(0, 1, 1, 3), Uint8Array.of(0, 0, 1, 9)), {
    share: 2 / 4,
    perClass: [1 / 2, 1, null, null, null, null, null, null, null, 0],
  });
});

Deno.test("the figures tell good samples, bad ones and monotonous ones apart", async () => {
  const classifier = await shippedClassifier();
  const all = await everyFifthTestImage();
  const numbers = Array.from({ length: 400 }, (_, n) => n);
  const test = picked(all, numbers);
  const real = realImages(await judge(classifier, test));
  const figures = async (samples: Samples) =>
    qualityOf(real, await judge(classifier, samples), samples.labels);

  // Everything that the images are held against is themselves.
  const itself = await figures(test);
  // Below 2·D·√(200·D²·u·‖Σ‖²) for D = 64 and ‖Σ‖ < 0.1 (frechet_test.ts).
  assert(Math.abs(itself.frechet) < 1e-4, String(itself.frechet));
  assertEquals([itself.precision, itself.recall], [1, 1]);
  assertGreater(itself.accuracy?.share ?? 0, 0.98);

  // Images as good as the real ones, unseen by the figures.
  const good = await figures(someOf(samplesOfDataset(await loadMnist("train")), 400));
  assertGreater(good.precision, 0.8);
  assertGreater(good.recall, 0.8);
  assertGreater(good.accuracy?.share ?? 0, 0.98);
  assertGreater(good.frechet, itself.frechet);

  // Uniform noise: no digit is recognised but by chance, nothing is where real images are.
  const bytes = new Uint8Array(randomBits(0, 0, 0, 400 * 784 / 4).buffer);
  const noise = await figures({ count: 400, pixels: bytes, labels: test.labels });
  assertLess(noise.accuracy?.share ?? 1, 0.3);
  assertGreater(noise.frechet, 50 * good.frechet);
  assertEquals(noise.precision, 0);
  assertLess(noise.recall, 0.2);

  // Real images under a grain of ±127: still recognised, but not mistaken for real ones.
  const grainy = await figures({
    ...test,
    pixels: test.pixels.map((u, i) => Math.min(255, Math.max(0, u + bytes[i] - 127))),
  });
  assertGreater(grainy.accuracy?.share ?? 0, 0.9);
  assertGreater(grainy.frechet, 3 * good.frechet);
  assertLess(grainy.precision, 0.75);

  // Real images, but few of them: precise, and without variety.
  const few = await figures(picked(test, numbers.map((n) => n % 8)));
  assertEquals(few.precision, 1);
  assertLess(few.recall, 0.1);
  assertGreater(few.frechet, 5 * good.frechet);

  // Digits of the wrong class: only the accuracy sees it.
  const wrong: Labelled = { ...test, labels: test.labels.map((label) => (label + 1) % 10) };
  const misled = await figures(wrong);
  assertLess(misled.accuracy?.share ?? 1, 0.02);
  assertEquals({ ...misled, accuracy: null }, { ...itself, accuracy: null });
  assertEquals(await figures({ ...test, labels: null }), { ...itself, accuracy: null });
});
