import { type Arbitrary, type Cell, cut, type Parts, POOL, timesFrom } from "./parts.ts";

const VARIANCES = [{ variance: "beta" }, { variance: "betaTilde" }, { sigma2: 0.03 }] as const;

/** How a weight's σ² is chosen, as the report names it. */
function named(variance: Readonly<Record<string, unknown>>): string {
  return Object.entries(variance).map(([name, value]) =>
    name === "sigma2" ? "sigma2" : `${name} ${value}`
  ).join();
}

/** Draws of `loss_simple`. */
export function lossSimpleCells(parts: Parts): Cell[] {
  return [{
    label: "",
    requests: parts.fc.record({
      shape: parts.shape(),
      scale: parts.scale(0.01, 100),
      x: parts.pool(),
      y: parts.pool(),
    }).map(({ shape, scale, x, y }) => ({
      op: "loss_simple",
      epsilon: cut(shape, x),
      epsilonHat: cut(shape, y, scale),
    })),
  }];
}

/** Draws of `loss_weight`, by σ². */
export function lossWeightCells(parts: Parts): Cell[] {
  return VARIANCES.map((variance): Cell => ({
    label: named(variance),
    requests: parts.fc.record({ schedule: parts.schedule(), when: parts.when() })
      .map(({ schedule, when }) => ({
        op: "loss_weight",
        schedule: schedule.json,
        t: timesFrom(schedule, when, 3),
        ...variance,
      })),
  }));
}

/** A weighting's fields, and whether it needs ᾱ > 0. */
interface Weighting {
  readonly label: string;
  readonly fields: (parts: Parts) => Arbitrary<Readonly<Record<string, unknown>>>;
  readonly signal: boolean;
}

const WEIGHTINGS: readonly Weighting[] = [
  {
    label: "weighting none",
    fields: (parts) => parts.choice({ weighting: "none" }),
    signal: false,
  },
  ...VARIANCES.map((variance): Weighting => ({
    label: `weighting vlb, ${named(variance)}`,
    fields: (parts) => parts.choice({ weighting: "vlb", ...variance }),
    signal: true,
  })),
  {
    label: "weighting minSnr",
    fields: (parts) =>
      parts.choice(
        { weighting: "minSnr", gamma: 5 },
        { weighting: "minSnr", gamma: 0.5 },
      ),
    signal: true,
  },
  {
    label: "weighting p2",
    fields: (parts) =>
      parts.choice(
        { weighting: "p2", p2K: 1, p2Gamma: 1 },
        { weighting: "p2", p2K: 0.5, p2Gamma: 0.5 },
        { weighting: "p2", p2K: 2, p2Gamma: 2 },
      ),
    signal: false,
  },
];

/** Draws of `loss_weighted`, by weighting. */
export function lossWeightedCells(parts: Parts): Cell[] {
  return WEIGHTINGS.map(({ label, fields, signal }): Cell => ({
    label,
    requests: parts.fc.record({
      shape: parts.shape(),
      schedule: signal ? parts.scheduleWithSignal() : parts.schedule(),
      when: parts.when(),
      fields: fields(parts),
      x: parts.pool(),
      y: parts.pool(),
    }).map(({ shape, schedule, when, fields, x, y }) => ({
      op: "loss_weighted",
      schedule: schedule.json,
      t: timesFrom(schedule, when, shape[0]),
      epsilon: cut(shape, x),
      epsilonHat: cut(shape, y),
      ...fields,
    })),
  }));
}

/** Draws of `guide`, with and without rescaling. */
export function guideCells(parts: Parts): Cell[] {
  return [false, true].map((rescaled): Cell => ({
    label: rescaled ? "rescale above 0" : "rescale 0",
    requests: parts.fc.record({
      shape: parts.shape(),
      scale: parts.choice(7.5, 1, 0, 3, -1),
      rescale: rescaled ? parts.choice(0.7, 1, 0.25) : parts.choice(0),
      x: parts.pool(),
      y: parts.pool(),
    }).map(({ shape: [N, C, H, W], scale, rescale, x, y }) => {
      // A standard deviation takes two elements.
      const shape = rescaled && C * H * W === 1 ? [N, 1, 1, 2] : [N, C, H, W];
      return {
        op: "guide",
        conditional: cut(shape, x),
        unconditional: cut(shape, y),
        scale,
        rescale,
      };
    }),
  }));
}

/** Draws of `normal_kl`. */
export function normalKlCells(parts: Parts): Cell[] {
  return [{
    label: "",
    requests: parts.fc.record({
      shape: parts.shape(),
      mean1: parts.pool(),
      log1: parts.pool(POOL, 3),
      mean2: parts.pool(),
      log2: parts.pool(POOL, 3),
      scale: parts.scale(3),
    }).map(({ shape, mean1, log1, mean2, log2, scale }) => ({
      op: "normal_kl",
      mean1: cut(shape, mean1),
      logVariance1: cut(shape, log1, scale),
      mean2: cut(shape, mean2),
      logVariance2: cut(shape, log2, scale),
    })),
  }];
}

/** A number in [−1, 1] to the nearest of the 256 levels; the ends more often than others. */
export function levels(pool: readonly number[]): readonly number[] {
  return pool.map((value) => {
    const level = Math.round(Math.min(Math.max(value * 1.25, -1), 1) * 127.5 + 127.5);
    return Math.fround(level / 127.5 - 1);
  });
}

/** Draws of `decoder_nll`, by Φ. */
export function decoderNllCells(parts: Parts): Cell[] {
  return ["erf", "tanh"].map((cdf): Cell => ({
    label: `cdf ${cdf}`,
    requests: parts.fc.record({
      shape: parts.shape(),
      x0: parts.pool(POOL, 1),
      mean: parts.pool(POOL, 1.5),
      logScale: parts.pool(POOL, 3),
      near: parts.choice(true, false),
      edge: parts.choice(1, 1, 1, 0.9995, 0.9985),
    }).map(({ shape, x0, mean, logScale, near, edge }) => {
      // On both sides of 0.999 at times, which tells where exactly the open ends begin.
      const pixels = levels(x0).map((x) => Math.abs(x) === 1 ? x * edge : x);
      return {
        op: "decoder_nll",
        x0: cut(shape, pixels),
        // Near its pixel a mean leaves a probability that is not all tail.
        mean: cut(shape, near ? mean.map((m, i) => pixels[i] + m / 50) : mean),
        logScale: cut(shape, logScale.map((s) => s - 2)),
        cdf,
      };
    }),
  }));
}

/** Draws of `prior_kl`. */
export function priorKlCells(parts: Parts): Cell[] {
  return [{
    label: "",
    requests: parts.fc.record({
      shape: parts.shape(),
      schedule: parts.schedule(),
      x0: parts.pool(POOL, 1),
    }).map(({ shape, schedule, x0 }) => ({
      op: "prior_kl",
      schedule: schedule.json,
      x0: cut(shape, x0),
    })),
  }];
}
