/** Properties of the layers' forward passes: each equals its definition, written out as plain sums. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { sumBound, U64 } from "../../src/math/float32.ts";
import { randomBits } from "../../src/math/philox.ts";
import { type Shape, sizeOf, type Tensor } from "../../src/math/tensor.ts";
import * as nn from "../../src/reference/nn/mod.ts";
import { checkDefined, DEFINED, type Defined, normals, seeds, upTo } from "../support/layers.ts";
import { Bound } from "../support/bound.ts";
import { forAll } from "../support/property.ts";

/** x[n,c,i,j], zero outside. */
function pixel(x: Tensor, n: number, c: number, i: number, j: number): number {
  const [, C, H, W] = x.shape;
  return i < 0 || j < 0 || i >= H || j >= W ? 0 : x.data[((n * C + c) * H + i) * W + j];
}

/** One entry per element of `shape`, row-major, from its indices. */
function each(shape: Shape, element: (...index: number[]) => Defined): Defined[] {
  return Array.from({ length: sizeOf(shape) }, (_, flat) => {
    const index = shape.map((_, d) => Math.floor(flat / sizeOf(shape.slice(d + 1))) % shape[d]);
    return element(...index);
  });
}

/** A sum of terms. */
function total(terms: readonly number[], more = 0): Defined {
  return {
    value: terms.reduce((a, b) => a + b, 0),
    magnitude: terms.reduce((a, b) => a + Math.abs(b), 0),
    roundings: terms.length + 1 + more,
  };
}

/** A value that is copied or rounded once: both sides do the same single operation. */
function same(value: number): Defined {
  return { value, magnitude: 0, roundings: 0 };
}

function range(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i);
}

/** The bound where both sides do the same operations in the same order. */
const EXACT = "0";

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

Deno.test("silu is x(1 + tanh(x/2))/2", () => {
  const bound = new Bound(DEFINED);
  forAll(
    fc.record({ seed: seeds, n: upTo(20), k: fc.integer({ min: -3, max: 3 }) }),
    30,
    ({ seed, n, k }) => {
      const x = normals(seed, 0, [n]);
      const scaled = { shape: x.shape, data: x.data.map((v) => v * 3 ** k) };
      // For negative x the sum 1 + tanh cancels, so the bound is relative to |x|.
      const definition = Array.from(scaled.data, (v) => ({
        value: v * (1 + Math.tanh(v / 2)) / 2,
        magnitude: Math.abs(v),
        roundings: 5,
      }));
      checkDefined(bound, [scaled], nn.silu, [n], definition);
    },
  );
  bound.settle("silu is x(1 + tanh(x/2))/2");
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

Deno.test("dropout keeps a value, over 1 − p, where its word is at least p of the range", () => {
  const bound = new Bound(EXACT);
  const sizes = fc.record({
    seed: seeds,
    D: upTo(9),
    probability: fc.constantFrom(0, 0.1, 0.5, 0.9),
    streams: fc.array(fc.nat(1000), { minLength: 1, maxLength: 3 }),
  });
  forAll(sizes, 30, ({ seed, D, probability, streams }) => {
    const x = normals(seed, 0, [streams.length, D]);
    const definition = each(x.shape, (n, i) => {
      const [word] = randomBits(seed, streams[n], i, 1);
      return same(word / 2 ** 32 < probability ? 0 : x.data[n * D + i] / (1 - probability));
    });
    checkDefined(
      bound,
      [x],
      (x) => nn.dropout(x, { probability, seed, streams }),
      x.shape,
      definition,
    );
  });
});

Deno.test("dropout drops about the share it should, and the same for a sample in any batch", () => {
  const x = { shape: [2, 4000], data: new Float32Array(8000).fill(1) };
  const { data } = nn.dropout(x, { probability: 0.3, seed: 5, streams: [8, 9] });
  // 8000 draws of probability 0.3: 5 standard deviations are 5·√(0.21/8000) = 0.026.
  const dropped = data.filter((v) => v === 0).length / data.length;
  assert(Math.abs(dropped - 0.3) < 0.026, `${dropped}`);
  const alone = nn.dropout({ shape: [1, 4000], data: x.data.subarray(4000) }, {
    probability: 0.3,
    seed: 5,
    streams: [9],
  });
  assertEquals(alone.data, data.subarray(4000));
});

Deno.test("timeEmbedding has sines and cosines of t over a geometric ladder of periods", () => {
  const bound = new Bound(DEFINED);
  const sizes = fc.record({
    times: fc.array(fc.nat(8000).map((k) => k / 8), { minLength: 1, maxLength: 3 }),
    dim: fc.integer({ min: 4, max: 33 }),
    shift: fc.constantFrom(0, 1),
    order: fc.constantFrom("sinCos" as const, "cosSin" as const),
    maxPeriod: fc.constantFrom(10, 10000),
  });
  forAll(sizes, 30, ({ times, dim, shift, order, maxPeriod }) => {
    const half = Math.floor(dim / 2);
    const definition = each([times.length, dim], (n, column) => {
      if (column === 2 * half) return same(0);
      const angle = times[n] / Math.exp(Math.log(maxPeriod) * (column % half) / (half - shift));
      const sine = (column < half) === (order === "sinCos");
      // The exponent, below 9.3, goes through three roundings, so the angle is off by less than 32u
      // relative; sine and cosine add 2u.
      return {
        value: sine ? Math.sin(angle) : Math.cos(angle),
        magnitude: Math.abs(angle) + 1 / 16,
        roundings: 32,
      };
    });
    const wide = nn.timeEmbeddingDoubles(times, dim, { shift, order, maxPeriod });
    definition.forEach(({ value, magnitude, roundings }, i) =>
      bound.check(wide[i], value, 2 * sumBound(roundings, magnitude, U64))
    );
    const stored = nn.timeEmbedding(times, dim, { shift, order, maxPeriod });
    assertEquals(stored.shape, [times.length, dim]);
    assertEquals(stored.data, Float32Array.from(wide));
  });
  assertEquals(
    nn.timeEmbedding([7], 8),
    nn.timeEmbedding([7], 8, { order: "sinCos", shift: 1, maxPeriod: 10000 }),
    "the defaults are DDPM's",
  );
  bound.settle("timeEmbedding has sines and cosines of t over a geometric ladder of periods");
});

Deno.test("layers that move, add and scale values do exactly that", () => {
  const bound = new Bound(EXACT);
  const sizes = fc.record({
    seed: seeds,
    N: upTo(3),
    A: upTo(3),
    B: upTo(3),
    H: upTo(3),
    W: upTo(3),
  });
  forAll(sizes, 30, ({ seed, N, A, B, H, W }) => {
    const a = normals(seed, 0, [N, A, H, W]), a2 = normals(seed, 1, [N, A, H, W]);
    const b = normals(seed, 2, [N, B, H, W]), e = normals(seed, 3, [N, A]);
    const scaleAndShift = normals(seed, 4, [N, 2 * A]);
    const at = (x: Tensor) => (n: number, c: number, i: number, j: number) => pixel(x, n, c, i, j);
    checkDefined(
      bound,
      [a, a2],
      (a, b) => nn.add(a, b, 3),
      a.shape,
      each(a.shape, (...k) => same((at(a)(...k as Four) + at(a2)(...k as Four)) / 3)),
    );
    checkDefined(
      bound,
      [a, e],
      nn.addPerChannel,
      a.shape,
      each(a.shape, (n, c, i, j) => same(pixel(a, n, c, i, j) + e.data[n * A + c])),
    );
    checkDefined(
      bound,
      [a, scaleAndShift],
      nn.scaleShift,
      a.shape,
      each(a.shape, (n, c, i, j) => {
        const scale = scaleAndShift.data[n * 2 * A + c], x = pixel(a, n, c, i, j);
        return same(x * (1 + scale) + scaleAndShift.data[n * 2 * A + A + c]);
      }),
    );
    checkDefined(
      bound,
      [a, b],
      nn.concatChannels,
      [N, A + B, H, W],
      each(
        [N, A + B, H, W],
        (n, c, i, j) => same(c < A ? pixel(a, n, c, i, j) : pixel(b, n, c - A, i, j)),
      ),
    );
    checkDefined(
      bound,
      [a],
      nn.centered,
      a.shape,
      each(a.shape, (...k) => same(2 * at(a)(...k as Four) - 1)),
    );
    checkDefined(
      bound,
      [a],
      (x) => nn.permute(x, [2, 0, 3, 1]),
      [H, N, W, A],
      each([H, N, W, A], (i, n, j, c) => same(pixel(a, n, c, i, j))),
    );
    assertEquals(nn.permute(nn.permute(a, [2, 0, 3, 1]), nn.inverseAxes([2, 0, 3, 1])), a);
    assertEquals(nn.reshape(a, [N * A, H * W]).data, a.data);
    assertEquals(nn.reshape(a, [N * A, H * W]).shape, [N * A, H * W]);
    const labels = range(N).map((n) => (n * 2 + seed) % A);
    const table = normals(seed, 5, [A, B]);
    checkDefined(
      bound,
      [table],
      (table) => nn.embedding(labels, table),
      [N, B],
      each([N, B], (n, c) => same(table.data[labels[n] * B + c])),
    );
  });
});

type Four = [number, number, number, number];
