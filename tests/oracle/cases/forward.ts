import { type Case, INVERSE, KEPT, ONE, rows, TWO } from "./case.ts";

const { sqrt, log } = Math;

/** The forward process. */
export function forwardCases(): Case[] {
  return [
    {
      name: "a forward step",
      request: { op: "q_step", schedule: TWO, t: 2, xPrev: rows(3), noise: rows(-2) },
      expected: { x: rows(3 / 2 - 2 * sqrt(0.75)) },
    },
    {
      name: "a forward step between kept times",
      request: { op: "q_step", schedule: KEPT, t: 4, xPrev: rows(3), noise: rows(-2) },
      expected: { x: rows(3 / 2 - 2 * sqrt(0.75)) },
    },
    {
      name: "a forward step with β = 1",
      request: { op: "q_step", schedule: INVERSE, t: 4, xPrev: rows(3), noise: rows(-2) },
      expected: { x: rows(-2) },
    },
    {
      name: "x_t with one time per sample",
      request: { op: "q_sample", schedule: TWO, t: [1, 2], x0: rows(8, 8), noise: rows(1, -1) },
      expected: { x: rows(4 + sqrt(0.75), 2 - sqrt(15) / 4) },
    },
    {
      name: "moments of x_t with one time for the batch",
      request: { op: "q_mean_variance", schedule: TWO, t: 2, x0: rows(8, -4) },
      expected: {
        mean: rows(2, -1),
        variance: [15 / 16, 15 / 16],
        logVariance: [log(15 / 16), log(15 / 16)],
      },
    },
    {
      name: "moments of x_T where ᾱ_T = 0",
      request: { op: "q_mean_variance", schedule: INVERSE, t: 4, x0: rows(8) },
      expected: { mean: rows(0), variance: [1], logVariance: [0] },
    },
    {
      name: "the posterior at the first and the second step",
      request: { op: "q_posterior", schedule: TWO, t: [1, 2], x0: rows(0.5, 0.5), xt: rows(3, 3) },
      expected: {
        mean: rows(0.5, 1.4),
        variance: [0, 0.6],
        logVarianceClipped: [log(0.6), log(0.6)],
      },
    },
    {
      name: "the posterior of a one-step process",
      request: { op: "q_posterior", schedule: ONE, t: 1, x0: rows(0.5), xt: rows(3) },
      expected: { mean: rows(0.5), variance: [0], logVarianceClipped: [log(0.75)] },
    },
    {
      name: "the posterior where ᾱ_t = 0",
      request: { op: "q_posterior", schedule: INVERSE, t: 4, x0: rows(0.5), xt: rows(3) },
      expected: { mean: rows(0.25), variance: [0.75], logVarianceClipped: [log(0.75)] },
    },
  ];
}

/** Every pair of quantities at step 2 of TWO, at x_t = 1/2: x̂_0 and ε̂ decoded and encoded in plain words. */
export function conversionCases(): Case[] {
  const xt = 0.5, value = 0.25, root = sqrt(15 / 16);
  const decoded: Record<string, number> = {
    epsilon: (xt - root * value) * 4,
    x0: value,
    v: xt / 4 - root * value,
    score: (xt + 15 / 16 * value) * 4,
    previousX: (value - 0.4 * xt) / 0.4,
  };
  const encode = (x0: number): Record<string, number> => {
    const epsilon = (xt - x0 / 4) / root;
    return {
      epsilon,
      x0,
      v: epsilon / 4 - root * x0,
      score: -epsilon / root,
      previousX: 0.4 * x0 + 0.4 * xt,
    };
  };
  return Object.keys(decoded).flatMap((from) =>
    Object.keys(decoded).map((to) => ({
      name: `${from} as ${to}`,
      request: {
        op: "convert",
        schedule: TWO,
        t: 2,
        xt: rows(xt),
        from,
        to,
        value: rows(value),
      },
      expected: { value: rows(from === to ? value : encode(decoded[from])[to]) },
    }))
  );
}
