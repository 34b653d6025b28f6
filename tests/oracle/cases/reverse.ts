import { type Case, INVERSE, KEPT, ONE, rows, tensor, TWO } from "./case.ts";

const { sqrt, log, exp } = Math;

/** The reverse process. */
export function reverseCases(): Case[] {
  const p = (fields: Record<string, unknown>) => ({
    op: "p_mean_variance",
    schedule: TWO,
    xt: rows(0.5),
    modelOutput: rows(0.25),
    ...fields,
  });
  const learned = (second: number) => tensor([1, 2], [0.25, second]);
  return [
    {
      name: "p with x0 and β at the second step",
      request: p({ t: 2, prediction: "x0", variance: "beta" }),
      expected: {
        mean: rows(0.3),
        variance: rows(0.75),
        logVariance: rows(log(0.75)),
        x0: rows(0.25),
      },
    },
    {
      name: "p with β at the first step has β̃ of the second",
      request: p({ t: 1, prediction: "x0", variance: "beta" }),
      expected: {
        mean: rows(0.25),
        variance: rows(0.6),
        logVariance: rows(log(0.6)),
        x0: rows(0.25),
      },
    },
    {
      name: "p with β in a one-step process",
      request: p({ schedule: ONE, t: 1, prediction: "x0", variance: "beta" }),
      expected: {
        mean: rows(0.25),
        variance: rows(0.75),
        logVariance: rows(log(0.75)),
        x0: rows(0.25),
      },
    },
    {
      name: "p with β̃ at the first step has no variance",
      request: p({ t: 1, prediction: "x0", variance: "betaTilde" }),
      expected: {
        mean: rows(0.25),
        variance: rows(0),
        logVariance: rows(log(0.6)),
        x0: rows(0.25),
      },
    },
    {
      name: "p with a learned log-variance",
      request: p({ t: 2, prediction: "x0", variance: "learned", modelOutput: learned(-1) }),
      expected: { mean: rows(0.3), variance: rows(exp(-1)), logVariance: rows(-1), x0: rows(0.25) },
    },
    {
      name: "p with a learned range, v beyond 1",
      request: p({ t: 2, prediction: "x0", variance: "learnedRange", modelOutput: learned(3) }),
      expected: {
        mean: rows(0.3),
        variance: rows(0.75 ** 2 / 0.6),
        logVariance: rows(2 * log(0.75) - log(0.6)),
        x0: rows(0.25),
      },
    },
    {
      name: "p with ε and static clipping",
      request: p({
        t: 2,
        prediction: "epsilon",
        variance: "beta",
        modelOutput: rows(-1),
        clip: { kind: "static", range: 2 },
      }),
      expected: { mean: rows(1), variance: rows(0.75), logVariance: rows(log(0.75)), x0: rows(2) },
    },
    {
      name: "p with the mean itself, clipping the reported x_0 only",
      request: p({
        t: 2,
        prediction: "previousX",
        variance: "beta",
        modelOutput: rows(5),
        clip: { kind: "static", range: 2 },
      }),
      expected: { mean: rows(5), variance: rows(0.75), logVariance: rows(log(0.75)), x0: rows(2) },
    },
    {
      name: "p with v where ᾱ_t = 0",
      request: p({ schedule: INVERSE, t: 4, prediction: "v", variance: "betaTilde" }),
      expected: {
        mean: rows(-0.125),
        variance: rows(0.75),
        logVariance: rows(log(0.75)),
        x0: rows(-0.25),
      },
    },
    {
      name: "p with dynamic clipping: the median of 1, 2, 4 is 2",
      request: p({
        t: 1,
        xt: tensor([1, 3], [0, 0, 0]),
        modelOutput: tensor([1, 3], [1, -2, 4]),
        prediction: "x0",
        variance: "betaTilde",
        clip: { kind: "dynamic", quantile: 0.5, max: 3 },
      }),
      expected: {
        mean: tensor([1, 3], [0.5, -1, 1]),
        variance: tensor([1, 3], [0, 0, 0]),
        logVariance: tensor([1, 3], [log(0.6), log(0.6), log(0.6)]),
        x0: tensor([1, 3], [0.5, -1, 1]),
      },
    },
  ];
}

/** Sampling steps. */
export function stepCases(): Case[] {
  const ddpm = (fields: Record<string, unknown>) => ({
    op: "ddpm_step",
    schedule: TWO,
    xt: rows(0.5),
    modelOutput: rows(0.25),
    prediction: "x0",
    variance: "betaTilde",
    z: rows(2),
    ...fields,
  });
  const ddim = (fields: Record<string, unknown>) => ({
    op: "ddim_step",
    schedule: TWO,
    t: 2,
    xt: rows(0.5),
    modelOutput: rows(0.25),
    prediction: "x0",
    eta: 0,
    z: rows(2),
    ...fields,
  });
  /** ε̂ that belongs to x_t = 1/2 and x̂_0 = 1/4 at step 2 of TWO. */
  const epsilon = (0.5 - 0.25 / 4) / sqrt(15 / 16);
  return [
    {
      name: "a DDPM step with one time per sample: noise in the second step only",
      request: ddpm({
        t: [2, 1],
        xt: rows(0.5, 0.5),
        modelOutput: rows(0.25, 0.25),
        z: rows(2, 2),
      }),
      expected: { x: rows(0.3 + 2 * sqrt(0.6), 0.25), x0: rows(0.25, 0.25) },
    },
    {
      name: "a DDPM step of a respaced process",
      request: ddpm({ schedule: KEPT, t: 4 }),
      expected: { x: rows(0.3 + 2 * sqrt(0.6)), x0: rows(0.25) },
    },
    {
      name: "a DDPM step with noise at the end",
      request: ddpm({ t: 1, finalNoise: true }),
      expected: { x: rows(0.25 + 2 * sqrt(0.6)), x0: rows(0.25) },
    },
    {
      name: "DDIM without noise",
      request: ddim({ tPrev: 1 }),
      expected: { x: rows(0.125 + sqrt(0.75) * epsilon), x0: rows(0.25) },
    },
    {
      name: "DDIM to time 0 is x_0",
      request: ddim({ tPrev: 0, eta: 1 }),
      expected: { x: rows(0.25), x0: rows(0.25) },
    },
    {
      name: "DDIM with η = 1 between adjacent times has β̃",
      request: ddim({ tPrev: 1, eta: 1 }),
      expected: { x: rows(0.3 + 2 * sqrt(0.6)), x0: rows(0.25) },
    },
    {
      name: "DDIM with another ᾱ at time 0: σ² = (1−f)/(1−ᾱ)·(1−ᾱ/f)",
      request: ddim({ tPrev: 0, eta: 1, finalAlphaBar: 0.25 }),
      expected: { x: rows(0.125 + sqrt(0.75 - 0.6) * epsilon + 2 * sqrt(0.6)), x0: rows(0.25) },
    },
    {
      name: "DDIM keeps the network's ε after clipping",
      request: ddim({
        tPrev: 1,
        prediction: "epsilon",
        modelOutput: rows(-1),
        clip: { kind: "static", range: 1 },
        rederiveEpsilon: false,
      }),
      expected: { x: rows(0.5 - sqrt(0.75)), x0: rows(1) },
    },
    {
      name: "DDIM derives ε again from the clipped x_0",
      request: ddim({
        tPrev: 1,
        prediction: "epsilon",
        modelOutput: rows(-1),
        clip: { kind: "static", range: 1 },
      }),
      expected: { x: rows(0.5 + sqrt(0.75) * (0.5 - 0.25) / sqrt(15 / 16)), x0: rows(1) },
    },
    {
      name: "DDIM from ᾱ = 0 with η = 1 forgets x_t",
      request: ddim({ schedule: INVERSE, t: 4, tPrev: 3, eta: 1, z: rows(2) }),
      expected: { x: rows(0.125 + 2 * sqrt(0.75)), x0: rows(0.25) },
    },
    {
      name: "DDIM with η = 1 at an ᾱ far below 2^−53",
      request: ddim({
        schedule: { kind: "constant", T: 80, beta: 0.5 },
        t: 80,
        tPrev: 79,
        eta: 1,
      }),
      // To 2^−79, 1−ᾱ is 1 before and after, so that σ² = 1/2.
      expected: { x: rows(sqrt(0.5) * 0.5 + sqrt(0.5) * 2), x0: rows(0.25) },
    },
    {
      name: "DDIM's inverse to the next time, and to pure noise",
      request: {
        op: "ddim_encode_step",
        schedule: TWO,
        t: [1, 2],
        tNext: [2, 3],
        xt: rows(0.5, 0.5),
        modelOutput: rows(0.25, 0.25),
        prediction: "x0",
      },
      expected: {
        x: rows(0.25 / 4 + sqrt(15 / 16) * (0.5 - 0.25 / 2) / sqrt(0.75), epsilon),
      },
    },
  ];
}
