/** Training of the classifier. */
import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import type { ImageDataset } from "../../src/data/image_dataset.ts";
import { scaleByte } from "../../src/data/pixels.ts";
import {
  crossEntropy,
  shiftedBatch,
  trainClassifier,
} from "../../src/evaluate/classifier_training.ts";
import { accuracyOf, judge } from "../../src/evaluate/quality.ts";
import { ArgumentError } from "../../src/math/errors.ts";
import { Bound } from "../support/bound.ts";
import { inDouble } from "../support/doubles.ts";
import { centralDifference, DIFFERENCES, dot, moved, normals } from "../support/layers.ts";

/** Images of 28×28 with a bright bar whose height is the class, on a drawn ground. */
function bars(count: number, classes: number): ImageDataset {
  const labels = Uint8Array.from({ length: count }, (_, i) => i % classes);
  const pixels = Uint8Array.from({ length: 784 * count }, (_, at) => {
    const i = Math.floor(at / 784), row = Math.floor(at % 784 / 28);
    return row >= 4 + 8 * labels[i] && row < 7 + 8 * labels[i] ? 255 : (at * 37 + i) % 60;
  });
  return { count, imageShape: [1, 28, 28], pixels, labels, classes: 10 };
}

Deno.test("crossEntropy is −ln of the label's probability, and its gradient the derivative of that", () => {
  const certain = crossEntropy(inDouble({ shape: [1, 3], data: Float32Array.of(0, 0, 0) }), [1]);
  assert(Math.abs(certain.loss - Math.log(3)) < 1e-15);
  // Probabilities that underflow, which a logarithm of them would turn into infinity.
  assertEquals(crossEntropy({ shape: [1, 2], data: Float32Array.of(2000, 0) }, [1]).loss, 2000);
  const bound = new Bound(DIFFERENCES);
  const logits = inDouble(normals(0, 0, [4, 5])), labels = [0, 4, 2, 2];
  const { loss, gradient } = crossEntropy(logits, labels);
  for (let k = 1; k <= 5; k++) {
    const direction = inDouble(normals(0, k, [4, 5]));
    const along = (h: number) => crossEntropy(moved(logits, h, direction), labels).loss;
    const difference = centralDifference(along, loss, 4 * 5 + 8);
    bound.check(dot(gradient, direction), difference.derivative, difference.bound);
  }
  bound.settle("crossEntropy's gradient");
});

Deno.test("shiftedBatch moves images by every pair of whole pixels up to 2, black coming in", () => {
  const { pixels, ...rest } = bars(3, 3);
  // No two pixels of an image alike near its middle, so that the move can be read off.
  const dataset = { ...rest, pixels: pixels.map((_, at) => at % 251) };
  const indices = Uint32Array.from({ length: 600 }, (_, n) => n % 3);
  const batch = shiftedBatch(dataset, indices, 0, 1000);
  assertEquals(batch, shiftedBatch(dataset, indices, 0, 1000));
  const seen = new Map<string, number>();
  const value = (n: number, y: number, x: number) =>
    x < 0 || y < 0 || x >= 28 || y >= 28
      ? -1
      : Math.fround(scaleByte(dataset.pixels[784 * indices[n] + 28 * y + x]));
  for (let n = 0; n < indices.length; n++) {
    const moves = [-2, -1, 0, 1, 2].flatMap((dy) => [-2, -1, 0, 1, 2].map((dx) => [dy, dx]));
    const found = moves.filter(([dy, dx]) =>
      [...batch.data.subarray(784 * n, 784 * (n + 1))].every((v, at) =>
        v === value(n, Math.floor(at / 28) - dy, at % 28 - dx)
      )
    );
    assertEquals(found.length, 1, `image ${n}`);
    seen.set(`${found[0]}`, (seen.get(`${found[0]}`) ?? 0) + 1);
  }
  // 24 of each are expected, with a deviation of √(600·0.04·0.96) = 4.8: 3 would be 4 of those away.
  assertEquals(seen.size, 25);
  assert(Math.min(...seen.values()) > 3, JSON.stringify([...seen]));
});

Deno.test("trainClassifier learns, gives the same bits for the same seed, and shows every epoch's average", async () => {
  const dataset = bars(128, 3);
  const epochs: number[] = [];
  const learned = await trainClassifier(dataset, { seed: 1, epochs: 4 }, {
    onEpoch: (epoch) => void epochs.push(epoch),
  });
  assertEquals(epochs, [1, 2, 3, 4]);
  const { predicted } = await judge(learned, dataset);
  // The first weights know nothing of three classes out of ten: a tenth would be right.
  assert(accuracyOf(predicted, dataset.labels).share > 0.9);
  const short = { seed: 1, epochs: 1 };
  const losses: number[] = [];
  const once = await trainClassifier(dataset, short, {
    onStep: (_, __, loss) => losses.push(loss),
  });
  assertEquals(losses.length, 2);
  assertEquals(await trainClassifier(dataset, short), once);
  assertNotEquals(await trainClassifier(dataset, { ...short, seed: 2 }), once);
  await assertRejects(
    () => trainClassifier(bars(63, 3), short),
    ArgumentError,
    "at least 64 images",
  );
});
