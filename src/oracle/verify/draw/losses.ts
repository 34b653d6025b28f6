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
      parts.choice({ weighting: "minSnr", gamma: 5 }, { weighting: "minSnr", gamma: 0.5 }),
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

/** Draws of `adam_step`, by kind of weight decay. */
export function adamStepCells(parts: Parts): Cell[] {
  const { fc } = parts;
  return [true, false].map((decoupled): Cell => ({
    label: `decoupled ${decoupled}`,
    requests: fc.record({
      size: fc.integer({ min: 1, max: 6 }),
      step: parts.choice(1, 2, 10, 1000),
      lr: parts.choice(0.1, 0.001),
      beta1: parts.choice(0.9, 0.5, 0),
      beta2: parts.choice(0.75, 0.999, 0.99),
      eps: parts.choice(0.1, 1e-3, 1e-8),
      weightDecay: parts.choice(0, 0.1, 0.01),
      scale: parts.scale(0.01),
      params: parts.pool(6),
      grad: parts.pool(6),
      m: parts.pool(6),
      v: parts.pool(6),
    }).map(({ size, params, grad, m, v, scale, ...options }) => ({
      op: "adam_step",
      params: cut([size], params),
      grad: cut([size], grad, scale),
      m: cut([size], m, scale),
      v: cut([size], v.map(Math.abs), scale * scale),
      ...options,
      decoupled,
    })),
  }));
}

/** Draws of `ema_step`. */
export function emaStepCells(parts: Parts): Cell[] {
  return [{
    label: "",
    requests: parts.fc.record({
      size: parts.fc.integer({ min: 1, max: 6 }),
      decay: parts.choice(0.75, 0.9999, 0.99, 0, 1),
      ema: parts.pool(6),
      params: parts.pool(6),
    }).map(({ size, decay, ema, params }) => ({
      op: "ema_step",
      ema: cut([size], ema),
      params: cut([size], params),
      decay,
    })),
  }];
}

/** Draws of `clip_grad_norm`. */
export function clipGradNormCells(parts: Parts): Cell[] {
  const { fc } = parts;
  return [{
    label: "",
    requests: fc.record({
      sizes: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 3 }),
      maxNorm: parts.choice(1, 0.1, 5, 100),
      // Where the norm is near 1e−6, that constant shows.
      scale: parts.scale(1e-6, 0.1),
      pool: parts.pool(18),
    }).map(({ sizes, maxNorm, scale, pool }) => ({
      op: "clip_grad_norm",
      grads: sizes.map((size, k) => cut([size], pool.slice(6 * k), scale)),
      maxNorm: scale === 1e-6 ? maxNorm * 1e-6 : maxNorm,
    })),
  }];
}

/** Draws of `time_embedding`, by order and shift. */
export function timeEmbeddingCells(parts: Parts): Cell[] {
  const { fc } = parts;
  return ["sinCos", "cosSin"].flatMap((order) =>
    [1, 0].map((shift): Cell => ({
      label: `order ${order}, shift ${shift}`,
      requests: fc.record({
        timesteps: fc.array(fc.integer({ min: 0, max: 999 }), { minLength: 1, maxLength: 3 }),
        dim: fc.integer({ min: 4, max: 17 }),
        maxPeriod: parts.choice(10000, 100),
      }).map((fields) => ({ op: "time_embedding", ...fields, order, shift })),
    }))
  );
}

/** Draws of an operation on a stream of random numbers. */
function streamCells(parts: Parts, op: string): Cell[] {
  const { fc } = parts;
  const any = fc.oneof(
    { withCrossShrink: true },
    fc.integer({ min: 0, max: 20 }),
    fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  );
  return [{
    label: "",
    requests: fc.record({
      seed: any,
      stream: any,
      index: fc.oneof(
        { withCrossShrink: true },
        fc.integer({ min: 0, max: 20 }),
        fc.integer({
          min: 0,
          max: 2 ** 40,
        }),
      ),
      count: fc.integer({ min: 1, max: 9 }),
    }).map((fields) => ({ op, ...fields })),
  }];
}

/** Draws of `random_bits`. */
export function randomBitsCells(parts: Parts): Cell[] {
  return streamCells(parts, "random_bits");
}

/** Draws of `normal`. */
export function normalCells(parts: Parts): Cell[] {
  return streamCells(parts, "normal");
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
    }).map(({ shape, mean1, log1, mean2, log2 }) => ({
      op: "normal_kl",
      mean1: cut(shape, mean1),
      logVariance1: cut(shape, log1),
      mean2: cut(shape, mean2),
      logVariance2: cut(shape, log2),
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
    }).map(({ shape, x0, mean, logScale, near }) => {
      const pixels = levels(x0);
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
