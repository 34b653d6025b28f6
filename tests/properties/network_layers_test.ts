/** Properties of the layers' forward passes: each equals its definition, written out as plain sums. */
import fc from "fast-check";
import { type Shape, sizeOf, type Tensor } from "../../src/math/tensor.ts";
import * as nn from "../../src/reference/nn/mod.ts";
import {
  checkDefined,
  DEFINED,
  type Defined,
  each,
  EXACT,
  normals,
  pixel,
  range,
  same,
  seeds,
  total,
  upTo,
} from "../support/layers.ts";
import { Bound } from "../support/bound.ts";
import { forAll } from "../support/property.ts";

/** Σ_{c,a,b} weight·x + bias for every output. */
function convolution(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  stride: number,
  [top, bottom, left, right]: nn.Padding,
): { shape: Shape; definition: Defined[] } {
  const [N, C, H, W] = x.shape, [O, , kH, kW] = weight.shape;
  const outH = 1 + Math.floor((H + top + bottom - kH) / stride);
  const outW = 1 + Math.floor((W + left + right - kW) / stride);
  const shape = [N, O, outH, outW];
  const definition = each(shape, (n, o, i, j) => {
    const terms = range(C).flatMap((c) =>
      range(kH).flatMap((a) =>
        range(kW).map((b) =>
          pixel(x, n, c, stride * i + a - top, stride * j + b - left) * pixel(weight, o, c, a, b)
        )
      )
    );
    return total([...terms, bias === null ? 0 : bias.data[o]], 1);
  });
  return { shape, definition };
}

Deno.test("conv2d sums weight times shifted image over channels and taps", () => {
  const bound = new Bound(DEFINED);
  const sizes = fc.record({
    seed: seeds,
    N: upTo(2),
    C: upTo(3),
    O: upTo(3),
    H: upTo(7),
    W: upTo(7),
    kH: upTo(4),
    kW: upTo(5),
    stride: upTo(3),
    padding: fc.tuple(fc.nat(3), fc.nat(3), fc.nat(3), fc.nat(3)),
    biased: fc.boolean(),
  });
  forAll(sizes, 30, ({ seed, N, C, O, H, W, kH, kW, stride, padding, biased }) => {
    fc.pre(H + padding[0] + padding[1] >= kH && W + padding[2] + padding[3] >= kW);
    const x = normals(seed, 0, [N, C, H, W]), weight = normals(seed, 1, [O, C, kH, kW]);
    const bias = biased ? [normals(seed, 2, [O])] : [];
    const { shape, definition } = convolution(x, weight, bias[0] ?? null, stride, padding);
    const layer = (x: Tensor, w: Tensor, b: Tensor | null = null): Tensor =>
      nn.conv2d(x, w, b, { stride, padding });
    checkDefined(bound, [x, weight, ...bias], layer, shape, definition);
  });
  bound.settle("conv2d sums weight times shifted image over channels and taps");
});

Deno.test("downsample is the convolution of stride 2, padded right and bottom unless told otherwise", () => {
  const bound = new Bound(DEFINED);
  const sizes = fc.record({ seed: seeds, C: upTo(2), O: upTo(3), H: upTo(6), W: upTo(7) });
  forAll(sizes, 30, ({ seed, C, O, H, W }) => {
    fc.pre(H > 1 && W > 1);
    const x = normals(seed, 0, [2, C, H, W]);
    const weight = normals(seed, 1, [O, C, 3, 3]), bias = normals(seed, 2, [O]);
    for (const padding of [undefined, [1, 1, 1, 1] as const]) {
      const stated = convolution(x, weight, bias, 2, padding ?? [0, 1, 0, 1]);
      const layer = (x: Tensor, w: Tensor, b: Tensor): Tensor => nn.downsample(x, w, b, padding);
      checkDefined(bound, [x, weight, bias], layer, stated.shape, stated.definition);
    }
  });
  bound.settle(
    "downsample is the convolution of stride 2, padded right and bottom unless told otherwise",
  );
});

Deno.test("upsample repeats each pixel in a 2×2 block, then convolves", () => {
  const bound = new Bound(DEFINED);
  const sizes = fc.record({ seed: seeds, N: upTo(2), C: upTo(2), H: upTo(4), W: upTo(5) });
  forAll(sizes, 30, ({ seed, N, C, H, W }) => {
    const x = normals(seed, 0, [N, C, H, W]);
    const shape = [N, C, 2 * H, 2 * W];
    const doubled = each(
      shape,
      (n, c, i, j) => same(pixel(x, n, c, Math.floor(i / 2), Math.floor(j / 2))),
    );
    checkDefined(bound, [x], nn.nearestUpsample, shape, doubled);
    checkDefined(bound, [x], (x) => nn.upsample(x), shape, doubled);
    const weight = normals(seed, 1, [2, C, 3, 3]), bias = normals(seed, 2, [2]);
    const big = { shape, data: Float32Array.from(doubled, ({ value }) => value) };
    const { shape: out, definition } = convolution(big, weight, bias, 1, [1, 1, 1, 1]);
    checkDefined(bound, [x, weight, bias], (x, w, b) => nn.upsample(x, w, b), out, definition);
  });
  bound.settle("upsample repeats each pixel in a 2×2 block, then convolves");
});

Deno.test("averagePool is the mean of each whole 2×2 block", () => {
  const bound = new Bound(EXACT);
  const sizes = fc.record({ seed: seeds, N: upTo(2), C: upTo(3), H: upTo(7), W: upTo(7) });
  forAll(sizes, 30, ({ seed, N, C, H, W }) => {
    fc.pre(H > 1 && W > 1);
    const x = normals(seed, 0, [N, C, H, W]);
    const shape = [N, C, Math.floor(H / 2), Math.floor(W / 2)];
    const definition = each(shape, (n, c, i, j) => {
      const at = (a: number, b: number): number => pixel(x, n, c, 2 * i + a, 2 * j + b);
      return same((at(0, 0) + at(0, 1) + at(1, 0) + at(1, 1)) / 4);
    });
    checkDefined(bound, [x], nn.averagePool, shape, definition);
  });
});

Deno.test("groupNorm has per sample and group the mean and variance that weight and bias say", () => {
  const bound = new Bound(DEFINED);
  const sizes = fc.record({
    seed: seeds,
    N: upTo(3),
    groups: upTo(3),
    channels: upTo(3),
    P: upTo(9),
    eps: fc.constantFrom(1e-6, 1e-5, 0.1),
  });
  forAll(sizes, 30, ({ seed, N, groups, channels, P, eps }) => {
    const C = groups * channels;
    const x = normals(seed, 0, [N, C, P]);
    const weight = normals(seed, 1, [C]), bias = normals(seed, 2, [C]);
    const definition = each([N, C, P], (n, c, p) => {
      const first = c - c % channels;
      const group = x.data.subarray((n * C + first) * P, (n * C + first + channels) * P);
      const size = group.length;
      const mean = group.reduce((a, b) => a + b, 0) / size;
      const meanMagnitude = group.reduce((a, b) => a + Math.abs(b), 0) / size;
      const variance = group.reduce((a, b) => a + (b - mean) ** 2, 0) / size;
      const std = Math.sqrt(variance + eps);
      const distance = x.data[(n * C + c) * P + p] - mean;
      const scaled = weight.data[c] * distance / std;
      // The mean is off by size·u·meanMagnitude. Its error moves the variance only to second order
      // and by its square: (mean off)² ≪ eps·u. The rest is off by about size/2 + 6 roundings.
      const spread = Math.abs(weight.data[c]) * (meanMagnitude + Math.abs(distance)) / std;
      return {
        value: scaled + bias.data[c],
        magnitude: spread + Math.abs(scaled) + Math.abs(bias.data[c]),
        roundings: size + 8,
      };
    });
    const layer = (x: Tensor, w: Tensor, b: Tensor): Tensor =>
      nn.groupNorm(x, w, b, { groups, eps });
    checkDefined(bound, [x, weight, bias], layer, [N, C, P], definition);
  });
  bound.settle("groupNorm has per sample and group the mean and variance that weight and bias say");
});

Deno.test("linear is x·weightᵀ + bias over the last dimension of any shape", () => {
  const bound = new Bound(DEFINED);
  const sizes = fc.record({
    seed: seeds,
    leading: fc.array(upTo(3), { maxLength: 2 }),
    I: upTo(9),
    O: upTo(5),
    biased: fc.boolean(),
  });
  forAll(sizes, 30, ({ seed, leading, I, O, biased }) => {
    const x = normals(seed, 0, [...leading, I]), weight = normals(seed, 1, [O, I]);
    const bias = biased ? [normals(seed, 2, [O])] : [];
    const shape = [...leading, O];
    const definition = each([sizeOf(leading), O], (m, o) => {
      const terms = range(I).map((i) => x.data[m * I + i] * weight.data[o * I + i]);
      return total([...terms, biased ? bias[0].data[o] : 0], 1);
    });
    const layer = (x: Tensor, w: Tensor, b: Tensor | null = null): Tensor => nn.linear(x, w, b);
    checkDefined(bound, [x, weight, ...bias], layer, shape, definition);
  });
  bound.settle("linear is x·weightᵀ + bias over the last dimension of any shape");
});

Deno.test("attention averages values with softmax weights of scaled scores, head by head", () => {
  const bound = new Bound(DEFINED);
  const sizes = fc.record({
    seed: seeds,
    N: upTo(2),
    heads: upTo(3),
    L: upTo(5),
    S: upTo(5),
    D: upTo(6),
    scale: fc.option(fc.constantFrom(0.3, 1, 2), { nil: undefined }),
  });
  forAll(sizes, 30, ({ seed, N, heads, L, S, D, scale }) => {
    const q = normals(seed, 0, [N, heads, L, D]);
    const k = normals(seed, 1, [N, heads, S, D]), v = normals(seed, 2, [N, heads, S, D]);
    const definition = each([N, heads, L, D], (n, h, i, d) => {
      const scores = range(S).map((j) =>
        total(range(D).map((e) => pixel(q, n, h, i, e) * pixel(k, n, h, j, e)))
      );
      const factor = scale ?? D ** -0.5;
      const powers = scores.map((s) => Math.exp(factor * s.value));
      const sum = powers.reduce((a, b) => a + b, 0);
      const terms = powers.map((p, j) => p / sum * pixel(v, n, h, j, d));
      // A score that is off by δ changes its power, and their sum, by a relative δ each.
      const largest = Math.max(...scores.map((s) => factor * s.magnitude));
      return total(terms, S + 6 + 2 * (D + 3) * largest);
    });
    const layer = (q: Tensor, k: Tensor, v: Tensor): Tensor =>
      nn.attention(q, k, v, scale === undefined ? {} : { scale });
    checkDefined(bound, [q, k, v], layer, [N, heads, L, D], definition);
  });
  bound.settle("attention averages values with softmax weights of scaled scores, head by head");
});
