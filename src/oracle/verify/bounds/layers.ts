/**
 * Layers written out term by term, forward and backward.
 *
 * @module
 */
import { roundingBound } from "../../../math/float32.ts";
import type { Shape } from "../../../math/tensor.ts";
import { type Fields, integerField, numbersField, stringField, valueOf } from "../../fields.ts";
import { optionalTensorField, tensorField } from "../../tensors.ts";
import { type Bounds, type BoundsOf, given, type Model } from "../model.ts";
import { type Approx, exact, negative, type Rounding } from "../rounding.ts";
import { type Grid, gridOf, type Layer, lists } from "./grid.ts";
import { attentionLayer, groupNormLayer } from "./mixing_layers.ts";

/** Fast convolutions (Winograd) trade products for sums of larger terms. */
const FAST_CONVOLUTION = 8;

/** A sum whose terms may be computed by a fast algorithm. */
function fastSum(terms: readonly Approx[], a: Rounding): Approx {
  const sum = a.sum(terms);
  const size = terms.reduce((total, { v }) => total + Math.abs(v), 0);
  return { v: sum.v, e: sum.e + FAST_CONVOLUTION * a.u * size };
}

interface Convolution {
  readonly y: Grid;
  readonly backward: (dY: Grid) => { dX: Approx[]; dWeight: Approx[]; dBias: Approx[] };
}

/** Calls `visit` for every product of a convolution: indices of y, x and weight. */
function everyProduct(
  x: Shape,
  weight: Shape,
  stride: number,
  padding: readonly number[],
  visit: (y: number, x: number, w: number) => void,
): Shape {
  const [N, C, H, W] = x, [O, , kH, kW] = weight;
  const [top, bottom, left, right] = padding;
  const rows = Math.floor((H + top + bottom - kH) / stride) + 1;
  const columns = Math.floor((W + left + right - kW) / stride) + 1;
  for (let n = 0; n < N; n++) {
    for (let o = 0; o < O; o++) {
      for (let i = 0; i < rows; i++) {
        for (let j = 0; j < columns; j++) {
          const y = ((n * O + o) * rows + i) * columns + j;
          for (let c = 0; c < C; c++) {
            for (let di = 0; di < kH; di++) {
              for (let dj = 0; dj < kW; dj++) {
                const h = i * stride + di - top, w = j * stride + dj - left;
                if (h < 0 || h >= H || w < 0 || w >= W) continue;
                visit(y, ((n * C + c) * H + h) * W + w, ((o * C + c) * kH + di) * kW + dj);
              }
            }
          }
        }
      }
    }
  }
  return [N, O, rows, columns];
}

function convolution(
  x: Grid,
  weight: Grid,
  bias: Grid | null,
  stride: number,
  padding: readonly number[],
  a: Rounding,
): Convolution {
  const size = (shape: Shape) => shape.reduce((product, s) => product * s, 1);
  const shape = everyProduct(x.shape, weight.shape, stride, padding, () => {});
  const [, O, rows, columns] = shape, plane = rows * columns;
  const each = (visit: (y: number, x: number, w: number) => void) =>
    everyProduct(x.shape, weight.shape, stride, padding, visit);
  const terms = lists(size(shape));
  each((y, xi, w) => terms[y].push(a.mul(x.values[xi], weight.values[w])));
  if (bias !== null) {
    terms.forEach((list, y) => list.push(bias.values[Math.floor(y / plane) % O]));
  }
  return {
    y: { shape, values: terms.map((list) => fastSum(list, a)) },
    backward: ({ values: dY }) => {
      const dX = lists(x.values.length), dWeight = lists(weight.values.length), dBias = lists(O);
      each((y, xi, w) => {
        dX[xi].push(a.mul(dY[y], weight.values[w]));
        dWeight[w].push(a.mul(dY[y], x.values[xi]));
      });
      dY.forEach((d, y) => dBias[Math.floor(y / plane) % O].push(d));
      return {
        dX: dX.map((list) => fastSum(list, a)),
        dWeight: dWeight.map((list) => fastSum(list, a)),
        dBias: dBias.map((list) => a.sum(list)),
      };
    },
  };
}

function optionalGrid(request: Fields, name: string): Grid | null {
  const x = optionalTensorField(request, name);
  return x === null ? null : gridOf(x);
}

function convLayer(request: Fields, stride: number, a: Rounding): Layer {
  const x = gridOf(tensorField(request, "x")), weight = gridOf(tensorField(request, "weight"));
  const { y, backward } = convolution(
    x,
    weight,
    optionalGrid(request, "bias"),
    stride,
    numbersField(request, "padding"),
    a,
  );
  return { y: y.values, backward: (dY) => ({ ...backward(dY) }) };
}

function upsampleLayer(request: Fields, a: Rounding): Layer {
  const x = gridOf(tensorField(request, "x"));
  const [N, C, H, W] = x.shape;
  /** The element of x that an element of the doubled image repeats. */
  const source = (i: number) => {
    const column = i % (2 * W), row = Math.floor(i / (2 * W)) % (2 * H);
    return Math.floor(i / (4 * H * W)) * H * W + (row >> 1) * W + (column >> 1);
  };
  const values = Array.from({ length: N * C * 4 * H * W }, (_, i) => x.values[source(i)]);
  const gather = (dUp: readonly Approx[]) => {
    const terms = lists(x.values.length);
    dUp.forEach((d, i) => terms[source(i)].push(d));
    return terms.map((list) => a.sum(list));
  };
  const weight = optionalGrid(request, "weight");
  if (weight === null) return { y: values, backward: (dY) => ({ dX: gather(dY.values) }) };
  const up = { shape: [N, C, 2 * H, 2 * W], values };
  const conv = convolution(up, weight, optionalGrid(request, "bias"), 1, [1, 1, 1, 1], a);
  return {
    y: conv.y.values,
    backward: (dY) => {
      const { dX, dWeight, dBias } = conv.backward(dY);
      // The reference stores the gradient of the doubled image in float32.
      const stored = dX.map(({ v, e }) => ({ v, e: e + roundingBound(v) }));
      return { dX: gather(stored), dWeight, dBias };
    },
  };
}

function siluLayer(request: Fields, a: Rounding): Layer {
  const x = given(tensorField(request, "x"));
  const sigmoid = x.map((v) => a.div(exact(1), a.add(exact(1), a.exp(negative(v)))));
  return {
    y: x.map((v, i) => a.mul(v, sigmoid[i])),
    backward: ({ values: dY }) => ({
      dX: dY.map((d, i) => {
        const slope = a.add(exact(1), a.mul(x[i], a.sub(exact(1), sigmoid[i])));
        return a.mul(d, a.mul(sigmoid[i], slope));
      }),
    }),
  };
}

function linearLayer(request: Fields, a: Rounding): Layer {
  const x = gridOf(tensorField(request, "x")), weight = gridOf(tensorField(request, "weight"));
  const bias = optionalGrid(request, "bias"), [O, I] = weight.shape;
  const rows = x.values.length / I;
  const terms = lists(rows * O);
  const each = (visit: (y: number, x: number, w: number) => void) => {
    for (let r = 0; r < rows; r++) {
      for (let o = 0; o < O; o++) {
        for (let i = 0; i < I; i++) visit(r * O + o, r * I + i, o * I + i);
      }
    }
  };
  each((y, xi, w) => terms[y].push(a.mul(x.values[xi], weight.values[w])));
  if (bias !== null) terms.forEach((list, y) => list.push(bias.values[y % O]));
  return {
    y: terms.map((list) => a.sum(list)),
    backward: ({ values: dY }) => {
      const dX = lists(x.values.length), dWeight = lists(weight.values.length), dBias = lists(O);
      each((y, xi, w) => {
        dX[xi].push(a.mul(dY[y], weight.values[w]));
        dWeight[w].push(a.mul(dY[y], x.values[xi]));
      });
      dY.forEach((d, y) => dBias[y % O].push(d));
      const sums = (all: Approx[][]) => all.map((list) => a.sum(list));
      return { dX: sums(dX), dWeight: sums(dWeight), dBias: sums(dBias) };
    },
  };
}

function layerOf(request: Fields, model: Model): Layer {
  const { a } = model;
  switch (stringField(request, "layer")) {
    case "conv2d":
      return convLayer(request, integerField(request, "stride", 1, 2 ** 20), a);
    case "downsample":
      return convLayer(request, 2, a);
    case "upsample":
      return upsampleLayer(request, a);
    case "groupNorm":
      return groupNormLayer(request, model);
    case "silu":
      return siluLayer(request, a);
    case "linear":
      return linearLayer(request, a);
    default:
      return attentionLayer(request, model);
  }
}

/** Bounds of `layer`. */
export const layerBounds: BoundsOf = {
  formula: "the layer's sums of products in any order, term by term",
  bounds: (request, model): Bounds => {
    const { y, backward } = layerOf(request, model);
    if (valueOf(request, "gradient") === undefined) return { y };
    const grads = backward(gridOf(tensorField(request, "gradient")));
    return {
      y,
      ...Object.fromEntries(
        Object.entries(grads).map(([name, values]) => [`grads.${name}`, values]),
      ),
    };
  },
};
