/** Properties of the layers that work value by value, row by row, or only move values. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { sumBound, U64 } from "../../src/math/float32.ts";
import { randomBits } from "../../src/math/philox.ts";
import type { Tensor } from "../../src/math/tensor.ts";
import * as nn from "../../src/reference/nn/mod.ts";
import {
  checkDefined,
  DEFINED,
  each,
  EXACT,
  normals,
  pixel,
  range,
  same,
  seeds,
  upTo,
} from "../support/layers.ts";
import { Bound } from "../support/bound.ts";
import { forAll } from "../support/property.ts";

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
