import { type Case, INVERSE, rows, TWO } from "./case.ts";

/** Losses and their weights. */
export function lossCases(): Case[] {
  const weighted = (fields: Record<string, unknown>) => ({
    op: "loss_weighted",
    schedule: TWO,
    t: [1, 2],
    epsilon: rows(1, 1),
    epsilonHat: rows(2, 4),
    ...fields,
  });
  const loss = (w1: number, w2: number) => ({
    sum: w1 + 9 * w2,
    mean: (w1 + 9 * w2) / 2,
    gradient: rows(w1, 3 * w2),
  });
  const w = (fields: Record<string, unknown>) => ({ op: "loss_weight", schedule: TWO, ...fields });
  return [
    {
      name: "L_simple",
      request: { op: "loss_simple", epsilon: rows(1, 1), epsilonHat: rows(2, 4) },
      expected: loss(1, 1),
    },
    {
      name: "w(t) for β",
      request: w({ t: [1, 2], variance: "beta" }),
      expected: { w: [2, 1.6] },
    },
    {
      name: "w(t) for β̃ is infinite at the first step",
      request: w({ t: [1, 2], variance: "betaTilde" }),
      expected: { w: ["Infinity", 2] },
    },
    { name: "w(t) for a number", request: w({ t: 2, sigma2: 0.5 }), expected: { w: 2.4 } },
    {
      name: "w(t) where α = 0",
      request: w({ schedule: INVERSE, t: 4, variance: "beta" }),
      expected: { w: "Infinity" },
    },
    {
      name: "a loss without weights",
      request: weighted({ weighting: "none" }),
      expected: loss(1, 1),
    },
    {
      name: "a loss with the bound's weights",
      request: weighted({ weighting: "vlb", variance: "beta" }),
      expected: loss(2, 1.6),
    },
    {
      name: "a loss with the bound's weights for a number",
      request: weighted({ weighting: "vlb", sigma2: 0.5 }),
      expected: loss(3, 2.4),
    },
    // SNR is 1/3 and 1/15.
    {
      name: "a loss with min-SNR weights, γ = 5",
      request: weighted({ weighting: "minSnr" }),
      expected: loss(1, 1),
    },
    {
      name: "a loss with min-SNR weights, γ = 1/10",
      request: weighted({ weighting: "minSnr", gamma: 0.1 }),
      expected: loss(0.3, 1),
    },
    {
      name: "a loss with P2 weights, k = 1, γ = 1",
      request: weighted({ weighting: "p2" }),
      expected: loss(3 / 4, 15 / 16),
    },
    {
      name: "a loss with P2 weights, k = 2/3, γ = 2",
      request: weighted({ weighting: "p2", p2K: 2 / 3, p2Gamma: 2 }),
      expected: loss(1, (11 / 15) ** -2),
    },
  ];
}
