/**
 * What an evaluation found, and how it is said to people.
 *
 * @module
 */
import type { BoundInBits } from "./bits.ts";
import type { Quality } from "./quality.ts";

/** Where samples came from. */
export type SampleSource =
  | { readonly file: string }
  | {
    readonly sampler: "ddpm" | "ddim";
    readonly steps: number;
    readonly variance: "beta" | "betaTilde" | null;
    readonly eta: number | null;
    readonly guidance: number | null;
    readonly guidanceRescale: number | null;
    readonly seed: number;
    /** Seconds that sampling took. */
    readonly seconds: number;
  };

/** Figures of samples next to those of as many training images. */
export interface SampleReport {
  /** Where they came from. */
  readonly source: SampleSource;
  /** How many. */
  readonly count: number;
  /** The classifier that judged them, and the share of test images that it recognises. */
  readonly classifier: { readonly file: string; readonly testAccuracy: number };
  /** The samples' figures. */
  readonly figures: Quality;
  /** Those of as many training images: what a perfect model would get. */
  readonly training: Quality;
}

/** The bound and what it was computed from. */
export interface BitsReport extends BoundInBits {
  /** Number of test images. */
  readonly images: number;
  /** 1 for all terms; K where one time out of K stands for all of them. */
  readonly every: number;
  /** The reverse process's variance. */
  readonly variance: "beta" | "betaTilde";
  /** Whether the model was told the images' classes. */
  readonly conditional: boolean;
}

/** What an evaluation found. */
export interface Report {
  /** The model, and the step that its training had come to; null where only a file of samples was judged. */
  readonly model: { readonly file: string; readonly step: number } | null;
  /** What computed; null where no model ran. */
  readonly device: "cpu" | "webgpu" | null;
  /** Description of the adapter, if there was one. */
  readonly adapter: string | null;
  /** Null where no samples were asked for. */
  readonly samples: SampleReport | null;
  /** Null where no bits were asked for. */
  readonly bits: BitsReport | null;
}

/** A report as lines of text. */
export function reportText({ samples, bits }: Report): string {
  return [
    ...samples === null ? [] : sampleLines(samples),
    ...samples === null || bits === null ? [] : [""],
    ...bits === null ? [] : bitsLines(bits),
  ].join("\n");
}

function sampleLines({ count, classifier, figures, training }: SampleReport): string[] {
  const row = (name: string, of: (quality: Quality) => string) =>
    [name.padEnd(18), of(figures).padStart(10), of(training).padStart(18)].join("  ");
  const classes = figures.accuracy?.perClass.flatMap((share, k) =>
    share === null ? [] : [`${k}: ${percent(share)}`]
  );
  return [
    [`${count} images`.padEnd(18), "samples".padStart(10), "training images".padStart(18)].join(
      "  ",
    ),
    ...figures.accuracy === null ? [] : [
      row("class accuracy", ({ accuracy }) => accuracy === null ? "" : percent(accuracy.share)),
    ],
    row("Fréchet distance", ({ frechet }) => frechet.toFixed(4)),
    row("precision", ({ precision }) => precision.toFixed(4)),
    row("recall", ({ recall }) => recall.toFixed(4)),
    ...classes === undefined ? [] : [`class accuracy by class: ${classes.join("  ")}`],
    `the classifier recognises ${percent(classifier.testAccuracy)} of the test images`,
  ];
}

function bitsLines(report: BitsReport): string[] {
  const { images, every, variance, conditional, terms, total, standardError } = report;
  const error = standardError === null ? "" : ` ± ${standardError.toFixed(4)}`;
  const which = every === 1
    ? `all ${terms} terms`
    : `an estimate from ${terms} terms per image, one time out of every ${every}`;
  return [
    `bits per dimension  ${total.toFixed(4)}${error}`,
    `  L_0               ${report.decoder.toFixed(4)}`,
    `  L_1 … L_(T−1)     ${report.steps.toFixed(4)}`,
    `  L_T               ${report.prior.toFixed(4)}`,
    `upper bound over ${images} test ${images === 1 ? "image" : "images"}, ${which}; variance ` +
    `${variance}${conditional ? ", given the classes" : ""}`,
  ];
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}
