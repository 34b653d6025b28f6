/**
 * The figures of a set of samples: class accuracy, Fréchet distance, precision and recall.
 *
 * @module
 */
import { type Tensor, tensor } from "../math/tensor.ts";
import type { Parameters } from "../spec/unet_parameters.ts";
import { CLASSES, classify, FEATURES } from "./classifier.ts";
import { frechetDistance, type Moments, momentsOf } from "./frechet.ts";
import { type Manifold, manifoldOf, precisionRecall } from "./precision_recall.ts";
import { sampleBatch, type Samples } from "./samples.ts";

/** What the classifier makes of a set of images. */
export interface Judged {
  /** `[N, 64]` */
  readonly features: Tensor;
  /** The most probable class of each image, length N. */
  readonly predicted: Uint8Array;
}

/** Images that the classifier is given at once; no figure depends on it. */
const BATCH = 50;

/**
 * Runs the classifier over a set of images.
 *
 * @param onImages called with the number of images done so far; awaited, so that others get a turn.
 */
export async function judge(
  parameters: Parameters,
  samples: Samples,
  onImages: (done: number) => Promise<void> | void = () => {},
): Promise<Judged> {
  const { count } = samples;
  const features = tensor([count, FEATURES]), predicted = new Uint8Array(count);
  for (let start = 0; start < count; start += BATCH) {
    const end = Math.min(start + BATCH, count);
    const found = classify(parameters, sampleBatch(samples, start, end));
    features.data.set(found.features.data, start * FEATURES);
    for (let i = start; i < end; i++) {
      const at = (i - start) * CLASSES;
      const logits = found.logits.data.subarray(at, at + CLASSES);
      predicted[i] = logits.indexOf(Math.max(...logits));
    }
    await onImages(end);
  }
  return { features, predicted };
}

/** The share of images that were recognised as what they should show. */
export interface Accuracy {
  /** Of all images. */
  readonly share: number;
  /** Of the images of each class; null where there are none. */
  readonly perClass: readonly (number | null)[];
}

/** How many images are recognised as their class. */
export function accuracyOf(predicted: Uint8Array, labels: Uint8Array): Accuracy {
  const images = new Array<number>(CLASSES).fill(0), right = new Array<number>(CLASSES).fill(0);
  labels.forEach((label, i) => {
    images[label]++;
    if (predicted[i] === label) right[label]++;
  });
  const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
  return {
    share: sum(right) / sum(images),
    perClass: images.map((n, k) => n === 0 ? null : right[k] / n),
  };
}

/** What sets of samples are held against: the test images. */
export interface RealImages {
  /** Mean and covariance of their features. */
  readonly moments: Moments;
  /** The balls around their features. */
  readonly manifold: Manifold;
}

/** Moments and balls of the real images' features. */
export function realImages({ features }: Judged): RealImages {
  return { moments: momentsOf(features), manifold: manifoldOf(features) };
}

/** The figures of a set of images. */
export interface Quality {
  /** Share recognised as their class; null for images of no class in particular. */
  readonly accuracy: Accuracy | null;
  /** Fréchet distance of the features from those of the real images. */
  readonly frechet: number;
  /** Share of the images that look like real ones. */
  readonly precision: number;
  /** Share of the real images that look like some of these. */
  readonly recall: number;
}

/**
 * The figures of a set of images.
 *
 * @throws {ArgumentError} if there are fewer than 4 images.
 */
export function qualityOf(
  real: RealImages,
  { features, predicted }: Judged,
  labels: Uint8Array | null,
): Quality {
  return {
    accuracy: labels === null ? null : accuracyOf(predicted, labels),
    frechet: frechetDistance(real.moments, momentsOf(features)),
    ...precisionRecall(real.manifold, manifoldOf(features)),
  };
}
