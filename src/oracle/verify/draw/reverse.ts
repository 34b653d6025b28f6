import {
  type Arbitrary,
  type Cell,
  cut,
  type DrawnSchedule,
  type Parts,
  perSample,
  pickIndex,
  POOL,
  timesFrom,
  type When,
} from "./parts.ts";
import { levels } from "./losses.ts";

const PREDICTIONS = ["epsilon", "x0", "v", "previousX"] as const;
const VARIANCES = ["beta", "betaTilde", "learned", "learnedRange"] as const;
const QUANTITIES = ["epsilon", "x0", "v", "score", "previousX"] as const;

/** Every clipping: none, the data's range, another, and by quantile. */
function clip(parts: Parts): Arbitrary<unknown> {
  return parts.choice(
    null,
    { kind: "static", range: 1 },
    { kind: "static", range: 0.5 },
    { kind: "dynamic", quantile: 0.995, max: 1.5 },
    { kind: "dynamic", quantile: 0.5, max: 100 },
  );
}

/** Draws of `convert`, by what is converted to what. */
export function convertCells(parts: Parts): Cell[] {
  return QUANTITIES.flatMap((from) =>
    QUANTITIES.filter((to) => to !== from).map((to): Cell => ({
      label: `from ${from} to ${to}`,
      requests: parts.fc.record({
        shape: parts.shape(),
        schedule: parts.schedule(),
        when: parts.when(),
        x: parts.pool(),
        y: parts.pool(),
      }).map(({ shape, schedule, when, x, y }) => ({
        op: "convert",
        schedule: schedule.json,
        t: timesFrom(schedule, when, shape[0]),
        xt: cut(shape, x),
        from,
        to,
        value: cut(shape, y),
      })),
    }))
  );
}

/** What every reverse step draws. */
function reverseParts(parts: Parts) {
  return {
    shape: parts.shape(),
    schedule: parts.schedule(),
    when: parts.when(),
    clip: clip(parts),
    scale: parts.scale(3, 0.1),
    x: parts.pool(),
    output: parts.pool(POOL, 2),
    raw: parts.pool(POOL, 1.5),
    z: parts.pool(POOL, 3),
  };
}

/** The output of a network: with a learned variance its second half of channels are `raw`. */
function modelOutput(
  shape: readonly number[],
  variance: string,
  output: readonly number[],
  raw: readonly number[],
) {
  if (!variance.startsWith("learned")) return cut(shape, output);
  const [N, C, ...rest] = shape;
  const D = shape.slice(1).reduce((product, s) => product * s, 1);
  // Log-variances lie in −9..3, interpolations around 0.
  const [factor, shift] = variance === "learned" ? [4, -3] : [1, 0];
  const data = Array.from({ length: N }, (_, n) => [
    ...output.slice(n * D, (n + 1) * D),
    ...raw.slice(n * D, (n + 1) * D).map((value) => factor * value + shift),
  ]).flat();
  return { shape: [N, 2 * C, ...rest], data: data.map(Math.fround) };
}

/** Draws of p_mean_variance and ddpm_step, by prediction and variance. */
function reverseCells(parts: Parts, op: string, noise: boolean): Cell[] {
  return PREDICTIONS.flatMap((prediction) =>
    VARIANCES.map((variance): Cell => ({
      label: `prediction ${prediction}, variance ${variance}`,
      requests: parts.fc.record({
        ...reverseParts(parts),
        finalNoise: parts.choice(undefined, true, false),
      }).map(({ shape, schedule, when, clip, scale, x, output, raw, z, finalNoise }) => ({
        op,
        schedule: schedule.json,
        t: timesFrom(schedule, when, shape[0]),
        xt: cut(shape, x, scale),
        modelOutput: modelOutput(shape, variance, output, raw),
        prediction,
        variance,
        clip,
        ...(noise ? { z: cut(shape, z) } : {}),
        ...(noise && finalNoise !== undefined ? { finalNoise } : {}),
      })),
    }))
  );
}

/** Draws of `p_mean_variance`. */
export function pMeanVarianceCells(parts: Parts): Cell[] {
  return reverseCells(parts, "p_mean_variance", false);
}

/** Draws of `ddpm_step`. */
export function ddpmStepCells(parts: Parts): Cell[] {
  return reverseCells(parts, "ddpm_step", true);
}

/** Draws of `vlb_term`, by prediction and variance. */
export function vlbTermCells(parts: Parts): Cell[] {
  return PREDICTIONS.flatMap((prediction) =>
    VARIANCES.map((variance): Cell => ({
      label: `prediction ${prediction}, variance ${variance}`,
      requests: parts.fc.record({
        ...reverseParts(parts),
        x0: parts.pool(POOL, 1),
        cdf: parts.choice("erf", "tanh"),
      }).map(({ shape, schedule, when, clip, x0, x, output, raw, cdf }) => ({
        op: "vlb_term",
        schedule: schedule.json,
        t: timesFrom(schedule, when, shape[0]),
        x0: cut(shape, levels(x0)),
        xt: cut(shape, x, 0.5),
        modelOutput: modelOutput(shape, variance, output, raw),
        prediction,
        variance,
        clip,
        cdf,
      })),
    }))
  );
}

/** Draws of `dpm_solver_step`, by order and prediction. */
export function dpmSolverStepCells(parts: Parts): Cell[] {
  return [1, 2, 3].flatMap((order) =>
    PREDICTIONS.filter((prediction) => prediction !== "previousX").map((prediction): Cell => ({
      label: `order ${order}, prediction ${prediction}`,
      requests: parts.fc.record({
        ...reverseParts(parts),
        first: parts.pool(),
        second: parts.pool(),
        final: parts.choice(false, false, true),
      }).map(({ shape, schedule, when, clip, x, output, first, second, final }) => {
        // order kept times and the one before them: t, the history above it, tPrev below it.
        const { times } = schedule, n = times.length;
        // Above t the history, below it the end, which is 0 for order 1 only.
        const low = order > 1 ? 1 : 0;
        const index = (sample: number) =>
          low + pickIndex(when.picks[sample], Math.max(n - low - (order - 1), 1));
        const at = (of: (k: number) => number) => perSample(when, shape[0], (s) => of(index(s)));
        return {
          op: "dpm_solver_step",
          schedule: schedule.json,
          order,
          t: at((k) => times[Math.min(k, n - 1)]),
          tPrev: at((k) => {
            const start = Math.min(k, n - 1);
            return start === 0 || (final && order === 1) ? 0 : times[start - 1];
          }),
          history: [first, second].slice(0, order - 1).map((pool, i) => ({
            t: at((k) => times[Math.min(k + 1 + i, n - 1)]),
            x0: cut(shape, pool, 0.25),
          })),
          xt: cut(shape, x),
          modelOutput: cut(shape, output),
          prediction,
          clip,
        };
      }),
    }))
  );
}

/** Times t and, for each, one below: 0, the next lower kept one, or any. */
function descending(schedule: DrawnSchedule, when: When, N: number) {
  const { times } = schedule;
  const index = (n: number) => pickIndex(when.picks[n], times.length);
  return {
    t: perSample(when, N, (n) => times[index(n)]),
    tPrev: perSample(when, N, (n) => {
      const k = index(n), other = when.others[n];
      if (k === 0 || other < 300) return 0;
      return other < 700 ? times[k - 1] : times[other % k];
    }),
  };
}

/** Times t and, for each, one above: the next higher kept one, any, or T + 1. */
function ascending(schedule: DrawnSchedule, when: When, N: number) {
  const { times, T } = schedule, n = times.length;
  const index = (sample: number) => pickIndex(when.picks[sample], n);
  return {
    t: perSample(when, N, (sample) => times[index(sample)]),
    tNext: perSample(when, N, (sample) => {
      const k = index(sample), other = when.others[sample];
      if (k === n - 1 || other >= 850) return T + 1;
      return other < 600 ? times[k + 1] : times[k + 1 + other % (n - 1 - k)];
    }),
  };
}

/** Draws of `ddim_step`, by prediction and whether ε̂ is re-derived. */
export function ddimStepCells(parts: Parts): Cell[] {
  return PREDICTIONS.filter((prediction) => prediction !== "previousX").flatMap((prediction) =>
    [true, false].map((rederiveEpsilon): Cell => ({
      label: `prediction ${prediction}, rederiveEpsilon ${rederiveEpsilon}`,
      requests: parts.fc.record({
        ...reverseParts(parts),
        eta: parts.choice(0, 0, 0.5, 1, 0.25),
        finalAlphaBar: parts.choice(1, 1, 0.9995, 0.95),
      }).map(({ shape, schedule, when, clip, scale, x, output, z, eta, finalAlphaBar }) => ({
        op: "ddim_step",
        schedule: schedule.json,
        ...descending(schedule, when, shape[0]),
        xt: cut(shape, x, scale),
        modelOutput: cut(shape, output),
        prediction,
        eta,
        z: cut(shape, z),
        clip,
        rederiveEpsilon,
        finalAlphaBar,
      })),
    }))
  );
}

/** Draws of `ddim_encode_step`, by prediction. */
export function ddimEncodeStepCells(parts: Parts): Cell[] {
  return PREDICTIONS.filter((prediction) => prediction !== "previousX").map((prediction): Cell => ({
    label: `prediction ${prediction}`,
    requests: parts.fc.record({
      ...reverseParts(parts),
      rederiveEpsilon: parts.choice(true, false),
    }).map(({ shape, schedule, when, clip, scale, x, output, rederiveEpsilon }) => ({
      op: "ddim_encode_step",
      schedule: schedule.json,
      ...ascending(schedule, when, shape[0]),
      xt: cut(shape, x, scale),
      modelOutput: cut(shape, output),
      prediction,
      clip,
      rederiveEpsilon,
    })),
  }));
}
