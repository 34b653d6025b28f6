import { type Case, rows, tensor } from "./case.ts";

const { sqrt, log, exp } = Math;

/** Layers with their gradients. */
export function layerCases(): Case[] {
  const layer = (name: string, fields: Record<string, unknown>) => ({
    op: "layer",
    layer: name,
    ...fields,
  });
  const image = tensor([1, 1, 2, 2], [1, 2, 3, 4]);
  const ones = tensor([1, 1, 3, 3], new Array(9).fill(1));
  const root = sqrt(1 + 0.5);
  return [
    {
      name: "conv2d with uneven padding and stride",
      request: layer("conv2d", {
        x: image,
        weight: ones,
        bias: tensor([1], [10]),
        stride: 2,
        padding: [0, 1, 0, 1],
        gradient: tensor([1, 1, 1, 1], [2]),
      }),
      expected: {
        y: tensor([1, 1, 1, 1], [20]),
        grads: {
          dX: tensor([1, 1, 2, 2], [2, 2, 2, 2]),
          dWeight: tensor([1, 1, 3, 3], [2, 4, 0, 6, 8, 0, 0, 0, 0]),
          dBias: tensor([1], [2]),
        },
      },
    },
    {
      name: "conv2d without a bias has no gradient for one",
      request: layer("conv2d", {
        x: image,
        weight: tensor([1, 1, 1, 1], [3]),
        stride: 1,
        padding: [0, 0, 0, 0],
        gradient: image,
      }),
      expected: {
        y: tensor([1, 1, 2, 2], [3, 6, 9, 12]),
        grads: {
          dX: tensor([1, 1, 2, 2], [3, 6, 9, 12]),
          dWeight: tensor([1, 1, 1, 1], [30]),
        },
      },
    },
    {
      name: "groupNorm of two channels in one group",
      // Mean 2, variance 1, eps ½: x̂ = ∓1/√1.5.
      request: layer("groupNorm", {
        x: tensor([1, 2], [1, 3]),
        weight: tensor([2], [1, 2]),
        bias: tensor([2], [0.5, 0]),
        groups: 1,
        eps: 0.5,
        gradient: tensor([1, 2], [1, 0]),
      }),
      expected: {
        y: tensor([1, 2], [0.5 - 1 / root, 2 / root]),
        grads: {
          // g = (1, 0), mean ½, mean of g·x̂ = −½/root: (g − ½ + x̂·½/root)/root.
          dX: tensor([1, 2], [(0.5 - 0.5 / root ** 2) / root, (-0.5 + 0.5 / root ** 2) / root]),
          dWeight: tensor([2], [-1 / root, 0]),
          dBias: tensor([2], [1, 0]),
        },
      },
    },
    {
      name: "silu at 0",
      request: layer("silu", { x: rows(0), gradient: rows(2) }),
      expected: { y: rows(0), grads: { dX: rows(1) } },
    },
    {
      name: "linear",
      request: layer("linear", {
        x: tensor([1, 2], [1, 2]),
        weight: tensor([1, 2], [3, 4]),
        bias: tensor([1], [5]),
        gradient: tensor([1, 1], [2]),
      }),
      expected: {
        y: tensor([1, 1], [16]),
        grads: {
          dX: tensor([1, 2], [6, 8]),
          dWeight: tensor([1, 2], [2, 4]),
          dBias: tensor([1], [2]),
        },
      },
    },
    {
      name: "attention over two keys, softmax of (0, ln 3)",
      // Scale ln 3 and keys 0 and 1 give probabilities ¼ and ¾, up to float32's ln 3.
      request: layer("attention", {
        q: tensor([1, 1, 1, 1], [1]),
        k: tensor([1, 1, 2, 1], [0, 1]),
        v: tensor([1, 1, 2, 1], [8, 4]),
        scale: log(3),
        gradient: tensor([1, 1, 1, 1], [1]),
      }),
      expected: {
        y: tensor([1, 1, 1, 1], [5]),
        grads: {
          // dScores = P∘(v − y) = ¼·3, ¾·(−1).
          dQ: tensor([1, 1, 1, 1], [-0.75 * log(3)]),
          dK: tensor([1, 1, 2, 1], [0.75 * log(3), -0.75 * log(3)]),
          dV: tensor([1, 1, 2, 1], [0.25, 0.75]),
        },
      },
    },
    {
      name: "attention scales by D^−½ unless told otherwise",
      request: layer("attention", {
        q: tensor([1, 1, 1, 4], [1, 1, 1, 1]),
        k: tensor([1, 1, 2, 4], [0, 0, 0, 0, 1, 0, 0, 0]),
        v: tensor([1, 1, 2, 4], [0, 0, 0, 0, 1, 1, 1, 1]),
      }),
      expected: { y: tensor([1, 1, 1, 4], new Array(4).fill(1 / (1 + exp(-0.5)))) },
    },
    {
      name: "upsample alone",
      request: layer("upsample", {
        x: tensor([1, 1, 1, 2], [1, 2]),
        gradient: tensor([1, 1, 2, 4], [1, 2, 3, 4, 5, 6, 7, 8]),
      }),
      expected: {
        y: tensor([1, 1, 2, 4], [1, 1, 2, 2, 1, 1, 2, 2]),
        grads: { dX: tensor([1, 1, 1, 2], [14, 22]) },
      },
    },
    {
      name: "upsample and a convolution",
      request: layer("upsample", {
        x: tensor([1, 1, 1, 1], [3]),
        weight: ones,
        bias: tensor([1], [1]),
        gradient: tensor([1, 1, 2, 2], [1, 0, 0, 0]),
      }),
      expected: {
        y: tensor([1, 1, 2, 2], [13, 13, 13, 13]),
        grads: {
          dX: tensor([1, 1, 1, 1], [4]),
          dWeight: tensor([1, 1, 3, 3], [0, 0, 0, 0, 3, 3, 0, 3, 3]),
          dBias: tensor([1], [1]),
        },
      },
    },
    {
      name: "downsample",
      request: layer("downsample", {
        x: image,
        weight: ones,
        bias: tensor([1], [0]),
        padding: [1, 1, 1, 1],
      }),
      expected: { y: tensor([1, 1, 1, 1], [10]) },
    },
  ];
}
