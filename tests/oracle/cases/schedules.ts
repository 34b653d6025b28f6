import { type Case, KEPT, TWO } from "./case.ts";

const { sqrt, log, exp, cos } = Math;

/** Schedules and kept times. */
export function scheduleCases(): Case[] {
  const timesteps = (spacing: string, T: number, steps: number, expected: number[]): Case => ({
    name: `${steps} ${spacing} times of ${T}`,
    request: { op: "timesteps", T, spacing, steps },
    expected: { timesteps: expected },
  });
  const twice = (value: number) => [value, value];
  const two = {
    beta: twice(0.75),
    alpha: twice(0.25),
    alphaBar: [1 / 4, 1 / 16],
    betaTilde: [0, 0.6],
    logBetaTildeClipped: twice(log(0.6)),
    posteriorCoefX0: [1, 0.4],
    posteriorCoefXt: [0, 0.4],
    sqrtAlphaBar: [1 / 2, 1 / 4],
    sqrtOneMinusAlphaBar: [sqrt(3) / 2, sqrt(15) / 4],
    snr: [1 / 3, 1 / 15],
  };
  const one = (beta: number) => ({
    timesteps: [1],
    beta: [beta],
    alpha: [1 - beta],
    alphaBar: [1 - beta],
    betaTilde: [0],
    logBetaTildeClipped: [log(beta)],
    posteriorCoefX0: [1],
    posteriorCoefXt: [0],
    sqrtAlphaBar: [sqrt(1 - beta)],
    sqrtOneMinusAlphaBar: [sqrt(beta)],
    snr: [(1 - beta) / beta],
  });
  const scheduleOf = (schedule: unknown) => ({ op: "schedule", schedule });
  const cosine = 1 - (cos(1.008 / 1.008 * Math.PI / 2) / cos(0.008 / 1.008 * Math.PI / 2)) ** 2;
  return [
    { name: "two equal steps", request: scheduleOf(TWO), expected: { timesteps: [1, 2], ...two } },
    {
      name: "two kept steps",
      request: scheduleOf(KEPT),
      expected: { timesteps: [2, 4], ...two },
    },
    {
      name: "the same steps as a list, and as a linear schedule of equal ends",
      request: scheduleOf({ kind: "betas", betas: [0.75, 0.75] }),
      expected: { timesteps: [1, 2], ...two },
    },
    {
      name: "a linear schedule of equal ends",
      request: scheduleOf({ kind: "linear", T: 2, betaStart: 0.75, betaEnd: 0.75 }),
      expected: { timesteps: [1, 2], ...two },
    },
    {
      name: "a quadratic schedule of equal ends",
      request: scheduleOf({ kind: "quadratic", T: 2, betaStart: 0.75, betaEnd: 0.75 }),
      expected: { timesteps: [1, 2], ...two },
    },
    {
      name: "a one-step inverse schedule",
      request: scheduleOf({ kind: "inverse", T: 1 }),
      expected: one(1),
    },
    {
      name: "one sigmoid step: σ(−6) of the way",
      request: scheduleOf({ kind: "sigmoid", T: 1, betaStart: 0.25, betaEnd: 0.75 }),
      expected: one(0.25 + 0.5 / (1 + exp(6))),
    },
    {
      name: "one cosine step is capped",
      request: scheduleOf({ kind: "cosine", T: 1 }),
      expected: one(Math.min(cosine, 0.999)),
    },
    {
      name: "one sigmoidAlphaBar step is capped",
      request: scheduleOf({
        kind: "sigmoidAlphaBar",
        T: 1,
        start: -3,
        end: 3,
        tau: 1,
        maxBeta: 0.5,
      }),
      expected: one(0.5),
    },
    {
      name: "zero terminal SNR: √ᾱ = ½, ¼ becomes ½, 0",
      request: scheduleOf({ ...TWO, zeroTerminalSnr: true }),
      expected: {
        timesteps: [1, 2],
        beta: [0.75, 1],
        alpha: [0.25, 0],
        alphaBar: [0.25, 0],
        betaTilde: [0, 0.75],
        logBetaTildeClipped: twice(log(0.75)),
        posteriorCoefX0: [1, 0.5],
        posteriorCoefXt: [0, 0],
        sqrtAlphaBar: [0.5, 0],
        sqrtOneMinusAlphaBar: [sqrt(0.75), 1],
        snr: [1 / 3, 0],
      },
    },
    timesteps("leading", 10, 4, [7, 5, 3, 1]),
    timesteps("trailing", 10, 4, [10, 8, 5, 2]),
    timesteps("linspace", 10, 4, [10, 7, 4, 1]),
    timesteps("linspace", 10, 1, [1]),
    timesteps("quadratic", 10, 4, [9, 4, 1]),
    timesteps("quadratic", 10, 1, [1]),
    timesteps("stride", 10, 4, [10, 7, 4, 1]),
    timesteps("stride", 10, 5, [9, 7, 5, 3, 1]),
    timesteps("sections", 6, 3, [6, 3, 1]),
    {
      name: "times by sections",
      request: { op: "timesteps", T: 11, spacing: "sections", sections: [2, 3] },
      // Sections 1..6 and 7..11: both ends, and both ends with the middle.
      expected: { timesteps: [11, 9, 7, 6, 1] },
    },
  ];
}
