import { type Case, INVERSE, rows, TWO } from "./case.ts";

const { sqrt, log, exp } = Math;

/** The bound and its parts. */
export function likelihoodCases(): Case[] {
  /** Φ(1), from a table. */
  const phi1 = 0.8413447460685429;
  const vlb = (fields: Record<string, unknown>) => ({
    op: "vlb_term",
    schedule: TWO,
    x0: rows(0.5),
    xt: rows(0.5),
    modelOutput: rows(0.25),
    prediction: "x0",
    variance: "beta",
    cdf: "erf",
    ...fields,
  });
  return [
    {
      name: "the KL divergence of two Gaussians",
      request: {
        op: "normal_kl",
        mean1: rows(0, 3, 1),
        logVariance1: rows(0, 0, 2),
        mean2: rows(0, 0, 0),
        logVariance2: rows(0, 0, 1),
      },
      expected: { kl: rows(0, 4.5, (1 - 2 + Math.E - 1 + exp(-1)) / 2) },
    },
    {
      name: "the decoder at both edges and inside, one σ = half a bin",
      request: {
        op: "decoder_nll",
        x0: rows(-1, 1, 0, 0.25),
        mean: rows(-1, 1, 0, 50),
        // float32 rounds ln(1/255): σ is taken from the rounded one.
        logScale: rows(...new Array(4).fill(Math.fround(log(1 / 255)))),
        cdf: "erf",
      },
      expected: {
        // ln Φ(1) moves by φ(1)/Φ(1)·2^−22.5 under that rounding: corrected to first order.
        nll: rows(...decoderNlls(phi1)),
      },
    },
    {
      name: "a term of the bound: the KL of the second step",
      request: vlb({ t: 2 }),
      // μ̃ = 0.4·0.5 + 0.4·0.5, μ_θ = 0.3, variances 3/5 and 3/4.
      expected: {
        bitsPerDim: [(log(0.75 / 0.6) + 0.6 / 0.75 - 1 + 0.1 ** 2 / 0.75) / 2 / Math.LN2],
      },
    },
    {
      name: "a term of the bound: the decoder at the first step, past the floor",
      request: vlb({ t: 1, modelOutput: rows(50) }),
      expected: { bitsPerDim: [12 * log(10) / Math.LN2] },
    },
    {
      name: "L_T per sample",
      request: { op: "prior_kl", schedule: TWO, x0: rows(2, 0) },
      expected: {
        bitsPerDim: [4 / 16, 0].map((m2) => (m2 + 15 / 16 - 1 - log(15 / 16)) / 2 / Math.LN2),
      },
    },
    {
      name: "L_T where ᾱ_T = 0",
      request: { op: "prior_kl", schedule: INVERSE, x0: rows(2) },
      expected: { bitsPerDim: [0] },
    },
  ];
}

/** −ln Φ(u), twice; −ln(2Φ(u) − 1); and the floor; where u = e^(−logScale)/255 is 1 up to rounding. */
function decoderNlls(phi1: number): number[] {
  const u = exp(-Math.fround(log(1 / 255))) / 255;
  const density = exp(-0.5) / sqrt(2 * Math.PI);
  const phi = phi1 + density * (u - 1);
  return [-log(phi), -log(phi), -log(2 * phi - 1), 12 * log(10)];
}
