import { type Case, INVERSE, rows, tensor } from "./case.ts";

const { sqrt, log } = Math;

/** SNR 3, 1, 1/3, 1/9, so that λ falls by h = ½ ln 3 per step; ᾱ = 3/4, 1/2, 1/4, 1/10. */
const EVEN = { kind: "betas", betas: [1 / 4, 1 / 3, 1 / 2, 3 / 5] };

/** DPM-Solver++. With m_0 = 1/4, m_1 = 1/2, m_2 = −1 and even λ the differences are −1/4 and 3/2. */
export function solverCases(): Case[] {
  const step = (fields: Record<string, unknown>) => ({
    op: "dpm_solver_step",
    schedule: EVEN,
    t: 2,
    tPrev: 1,
    history: [{ t: 3, x0: rows(0.5) }, { t: 4, x0: rows(-1) }],
    xt: rows(0.5),
    modelOutput: rows(0.25),
    prediction: "x0",
    ...fields,
  });
  const phi1 = 1 - 1 / sqrt(3), h = log(3) / 2;
  const phi2 = 1 - phi1 / h, phi3 = phi2 / h - 1 / 2;
  const kept = sqrt(1 / 2) * 0.5, signal = sqrt(3 / 4);
  const result = (x: number) => ({ x: rows(x), x0: rows(0.25) });
  return [
    {
      name: "DPM-Solver++ of order 1, whose history is not used",
      request: step({ order: 1 }),
      expected: result(kept + signal * phi1 * 0.25),
    },
    {
      name: "DPM-Solver++ of order 1 to time 0 is x_0, with one time per sample",
      request: step({
        order: 1,
        t: [2, 1],
        tPrev: [1, 0],
        history: [],
        xt: rows(0.5, 0.5),
        modelOutput: rows(0.25, 0.75),
      }),
      expected: { x: rows(kept + signal * phi1 * 0.25, 0.75), x0: rows(0.25, 0.75) },
    },
    {
      name: "DPM-Solver++ of order 1 from ᾱ = 0: √ᾱ_prev·x_0 + √(1−ᾱ_prev)·x_t",
      request: step({ schedule: INVERSE, order: 1, t: 4, tPrev: 2, history: [] }),
      expected: result(sqrt(1 / 2) * 0.25 + sqrt(1 / 2) * 0.5),
    },
    {
      name: "DPM-Solver++ of order 2",
      request: step({ order: 2 }),
      expected: result(kept + signal * phi1 * (0.25 - 0.25 / 2)),
    },
    {
      name: "DPM-Solver++ of order 2 over two steps at once: r_0 = 1/2",
      request: step({ order: 2, t: 3, tPrev: 1, history: [{ t: 4, x0: rows(0.5) }] }),
      expected: result(sqrt(1 / 3) * 0.5 + signal * (1 - 1 / 3) * (0.25 - 2 * 0.25 / 2)),
    },
    {
      name: "DPM-Solver++ of order 2 after a prediction at ᾱ = 0 is of order 1",
      request: step({
        schedule: INVERSE,
        order: 2,
        t: 3,
        tPrev: 2,
        history: [{ t: 4, x0: rows(9) }],
      }),
      expected: result(sqrt(2 / 3) * 0.5 + sqrt(1 / 2) * phi1 * 0.25),
    },
    {
      name: "DPM-Solver++ of order 3",
      request: step({ order: 3 }),
      // D_1 = −1/4 + ½(−1/4 − 3/2), D_2 = ½(−1/4 − 3/2).
      expected: result(kept + signal * (phi1 * 0.25 - phi2 * 1.125 + phi3 * 0.875)),
    },
    {
      name: "DPM-Solver++ of order 3 reads ε and clips x_0",
      request: step({
        order: 3,
        prediction: "epsilon",
        modelOutput: rows(-4),
        clip: { kind: "static", range: 0.25 },
      }),
      expected: result(kept + signal * (phi1 * 0.25 - phi2 * 1.125 + phi3 * 0.875)),
    },
  ];
}

/** Guidance. The deviation of 2c − u = [−1, 3] is twice that of c = [0, 2]. */
export function guidanceCases(): Case[] {
  const guide = (fields: Record<string, unknown>) => ({
    op: "guide",
    conditional: tensor([1, 2], [0, 2]),
    unconditional: tensor([1, 2], [1, 1]),
    scale: 2,
    rescale: 0,
    ...fields,
  });
  return [
    {
      name: "guidance of a condition that pulls away",
      request: guide({}),
      expected: { value: tensor([1, 2], [-1, 3]) },
    },
    {
      name: "guidance at scale −1/2",
      request: guide({ scale: -0.5 }),
      expected: { value: tensor([1, 2], [1.5, 0.5]) },
    },
    {
      name: "guidance with half of it rescaled",
      request: guide({ rescale: 0.5 }),
      expected: { value: tensor([1, 2], [-0.75, 2.25]) },
    },
    {
      name: "guidance rescaled sample by sample, over all channels",
      request: guide({
        conditional: tensor([2, 2, 1, 1], [0, 2, 5, 6]),
        unconditional: tensor([2, 2, 1, 1], [1, 1, 5, 4]),
        rescale: 1,
      }),
      // The second sample is [5, 8] before, with three times the deviation of [5, 6].
      expected: { value: tensor([2, 2, 1, 1], [-0.5, 1.5, 5 / 3, 8 / 3]) },
    },
  ];
}
