/**
 * Digits and the shipped classifier, for the tests of figures.
 *
 * @module
 */
import { loadMnist } from "../../src/data/mnist.ts";
import { decodeClassifier } from "../../src/evaluate/classifier_file.ts";
import type { Samples } from "../../src/evaluate/samples.ts";
import type { Parameters } from "../../src/spec/unet_parameters.ts";

/** The folder of the shipped classifier. */
export const SHIPPED: URL = new URL("../../models/mnist-classifier/", import.meta.url);

/** The shipped classifier. */
export async function shippedClassifier(): Promise<Parameters> {
  const file = new URL("classifier.safetensors", SHIPPED);
  return decodeClassifier(await Deno.readFile(file), file.pathname);
}

/** Images whose classes are known. */
export type Labelled = Samples & { readonly labels: Uint8Array };

/** The images of `samples` with the given numbers. */
export function picked(samples: Labelled, numbers: readonly number[]): Labelled {
  const pixels = new Uint8Array(numbers.length * 784);
  numbers.forEach((i, n) => pixels.set(samples.pixels.subarray(784 * i, 784 * (i + 1)), 784 * n));
  const labels = Uint8Array.from(numbers, (i) => samples.labels[i]);
  return { count: numbers.length, pixels, labels };
}

/** 2000 of the 10,000 test images, from the easier first half of the set and the harder second alike. */
export async function everyFifthTestImage(): Promise<Labelled> {
  const { count, pixels, labels } = await loadMnist("test");
  return picked({ count, pixels, labels }, Array.from({ length: 2000 }, (_, n) => 5 * n));
}
