import { type Case, rows, tensor } from "./case.ts";

const { sqrt } = Math;

/** The optimiser. */
export function trainingCases(): Case[] {
  const adam = (fields: Record<string, unknown>) => ({
    op: "adam_step",
    params: rows(1),
    grad: rows(4),
    m: rows(2),
    v: rows(4),
    step: 2,
    lr: 0.5,
    beta1: 0.5,
    beta2: 0.75,
    eps: 1,
    weightDecay: 0.5,
    ...fields,
  });
  return [
    {
      name: "Adam's second step with decoupled decay",
      request: adam({ decoupled: true }),
      // m = 3, v = 7, m̂ = 3/0.75, v̂ = 7/(1 − 9/16) = 16.
      expected: { params: rows(1 - 0.25 - 0.5 * 4 / 5), m: rows(3), v: rows(7) },
    },
    {
      name: "Adam's second step with decay in the gradient",
      request: adam({ decoupled: false }),
      // g = 4.5.
      expected: {
        params: rows(1 - 0.5 * (3.25 / 0.75) / (sqrt((3 + 4.5 ** 2 / 4) * 16 / 7) + 1)),
        m: rows(3.25),
        v: rows(3 + 4.5 ** 2 / 4),
      },
    },
    {
      name: "an average of weights",
      request: { op: "ema_step", ema: rows(4), params: rows(8), decay: 0.75 },
      expected: { ema: rows(5) },
    },
    {
      name: "gradients over the norm",
      request: { op: "clip_grad_norm", grads: [rows(3), tensor([2], [0, 4])], maxNorm: 1 },
      expected: {
        grads: [rows(3 / 5.000001), tensor([2], [0, 4 / 5.000001])],
        norm: 5,
      },
    },
    {
      name: "gradients under the norm",
      request: { op: "clip_grad_norm", grads: [rows(3), rows(4)], maxNorm: 6 },
      expected: { grads: [rows(3), rows(4)], norm: 5 },
    },
  ];
}
