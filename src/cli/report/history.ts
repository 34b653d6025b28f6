/**
 * The measurements of a run, however long, in no more room than a curve needs.
 *
 * @module
 */
import { QUARTILES, type StepMetric } from "../metrics.ts";

/** A point of a curve. */
export type Point = readonly [x: number, y: number];

/** What is measured of every step: numbers that have a curve each. */
export type Measurement = "loss" | "gradNorm" | "lr" | "imagesPerSecond" | `quartile${number}`;

/** Points of a curve, at most; twice as many as fit side by side are enough. */
const MOST = 1000;

/** Means over consecutive steps. */
interface Bucket {
  /** First step. */
  first: number;
  /** Last step. */
  last: number;
  /** Sum and number of the values of each measurement. */
  readonly sums: Map<Measurement, { sum: number; count: number }>;
}

/** Curves of a run: exact while there are few steps, then means over 2, 4, 8, … of them. */
export class History {
  #buckets: Bucket[] = [];
  #width = 1;

  /** Takes a step in; steps come in order. */
  add(metric: StepMetric): void {
    let bucket = this.#buckets.at(-1);
    if (bucket === undefined || metric.step >= bucket.first + this.#width) {
      bucket = { first: metric.step, last: metric.step, sums: new Map() };
      this.#buckets.push(bucket);
    }
    bucket.last = metric.step;
    for (const [name, value] of measurementsOf(metric)) {
      if (value === null || !Number.isFinite(value)) continue;
      const { sum, count } = bucket.sums.get(name) ?? { sum: 0, count: 0 };
      bucket.sums.set(name, { sum: sum + value, count: count + 1 });
    }
    if (this.#buckets.length > MOST) this.#halve();
  }

  /** The curve of a measurement over the steps. */
  curve(name: Measurement): Point[] {
    return this.#buckets.flatMap(({ first, last, sums }) => {
      const found = sums.get(name);
      return found === undefined ? [] : [[(first + last) / 2, found.sum / found.count] as const];
    });
  }

  #halve(): void {
    this.#width *= 2;
    const merged: Bucket[] = [];
    for (let i = 0; i < this.#buckets.length; i += 2) {
      merged.push(joined(this.#buckets.slice(i, i + 2)));
    }
    this.#buckets = merged;
  }
}

function joined(buckets: readonly Bucket[]): Bucket {
  const sums: Bucket["sums"] = new Map();
  for (const bucket of buckets) {
    for (const [name, { sum, count }] of bucket.sums) {
      const before = sums.get(name) ?? { sum: 0, count: 0 };
      sums.set(name, { sum: before.sum + sum, count: before.count + count });
    }
  }
  return { first: buckets[0].first, last: buckets[buckets.length - 1].last, sums };
}

function measurementsOf(metric: StepMetric): [Measurement, number | null][] {
  const { loss, gradNorm, lr, imagesPerSecond } = metric;
  return [
    ...Object.entries({ loss, gradNorm, lr, imagesPerSecond }) as [Measurement, number | null][],
    ...Array.from(
      { length: QUARTILES },
      (_, q): [Measurement, number | null] => [`quartile${q}`, metric.lossByQuartile[q]],
    ),
  ];
}

/** A curve's running mean over about a thirtieth of its points, weights falling geometrically backwards. */
export function smoothed(points: readonly Point[]): Point[] {
  const kept = 1 - 1 / Math.max(1, points.length / 30);
  let sum = 0, weight = 0;
  return points.map(([x, y]) => {
    sum = kept * sum + y;
    weight = kept * weight + 1;
    return [x, sum / weight];
  });
}
