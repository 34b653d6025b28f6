/** Properties of the layers' backward passes: gradients equal finite differences of the forward pass in double. */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import type { Tensor } from "../../src/math/tensor.ts";
import * as nn from "../../src/reference/nn/mod.ts";
import { checkGradients, DIFFERENCES, normals, seeds, upTo } from "../support/layers.ts";
import { Bound } from "../support/bound.ts";
import { forAll } from "../support/property.ts";

Deno.test("conv2dBackward gives the gradients of conv2d", () => {
  const bound = new Bound(DIFFERENCES);
  const sizes = fc.record({
    seed: seeds,
    N: upTo(2),
    C: upTo(3),
    O: upTo(3),
    H: upTo(6),
    W: upTo(6),
    kH: upTo(4),
    kW: upTo(5),
    stride: upTo(3),
    padding: fc.tuple(fc.nat(3), fc.nat(3), fc.nat(3), fc.nat(3)),
  });
  forAll(sizes, 30, ({ seed, N, C, O, H, W, kH, kW, stride, padding }) => {
    fc.pre(H + padding[0] + padding[1] >= kH && W + padding[2] + padding[3] >= kW);
    const options = { stride, padding };
    const inputs = [
      normals(seed, 0, [N, C, H, W]),
      normals(seed, 1, [O, C, kH, kW]),
      normals(seed, 2, [O]),
    ];
    const backward = (dY: Tensor, x: Tensor, w: Tensor): Tensor[] => {
      const { dX, dWeight, dBias } = nn.conv2dBackward(dY, x, w, options);
      return [dX, dWeight, dBias];
    };
    const layer = (x: Tensor, w: Tensor, b: Tensor): Tensor => nn.conv2d(x, w, b, options);
    checkGradients(bound, seed, inputs, layer, backward, C * kH * kW + 2);
  });
  bound.settle("conv2dBackward gives the gradients of conv2d");
});

Deno.test("upsampleBackward and downsampleBackward give the gradients of what they name", () => {
  const bound = new Bound(DIFFERENCES);
  const sizes = fc.record({
    seed: seeds,
    N: upTo(2),
    C: upTo(2),
    O: upTo(2),
    H: upTo(4),
    W: upTo(4),
  });
  forAll(sizes, 30, ({ seed, N, C, O, H, W }) => {
    const x = normals(seed, 0, [N, C, 2 * H, 2 * W]);
    const weight = normals(seed, 1, [O, C, 3, 3]), bias = normals(seed, 2, [O]);
    const roundings = 9 * C + 2;
    checkGradients(
      bound,
      seed,
      [x, weight, bias],
      (x, w, b) => nn.upsample(x, w, b),
      (dY, x, w) => {
        const { dX, dWeight, dBias } = nn.upsampleBackward(dY, x, w);
        return [dX, dWeight!, dBias!];
      },
      roundings,
    );
    for (const padding of [undefined, [1, 1, 1, 1] as const]) {
      checkGradients(
        bound,
        seed,
        [x, weight, bias],
        (x, w, b) => nn.downsample(x, w, b, padding),
        (dY, x, w) => {
          const { dX, dWeight, dBias } = nn.downsampleBackward(dY, x, w, padding);
          return [dX, dWeight, dBias];
        },
        roundings,
      );
    }
    checkGradients(
      bound,
      seed,
      [x],
      nn.nearestUpsample,
      (dY, x) => [nn.nearestUpsampleBackward(dY, x)],
      2,
    );
    checkGradients(bound, seed, [x], (x) => nn.upsample(x), (dY, x) => {
      const { dX, dWeight, dBias } = nn.upsampleBackward(dY, x);
      assertEquals([dWeight, dBias], [null, null]);
      return [dX];
    }, 2);
    checkGradients(bound, seed, [x], nn.averagePool, (dY, x) => [nn.averagePoolBackward(dY, x)], 4);
  });
  bound.settle("upsampleBackward and downsampleBackward give the gradients of what they name");
});

Deno.test("groupNormBackward gives the gradients of groupNorm", () => {
  const bound = new Bound(DIFFERENCES);
  const sizes = fc.record({
    seed: seeds,
    N: upTo(3),
    groups: upTo(3),
    channels: upTo(3),
    P: fc.integer({ min: 2, max: 9 }),
    eps: fc.constantFrom(0.01, 0.1),
  });
  forAll(sizes, 30, ({ seed, N, groups, channels, P, eps }) => {
    const C = groups * channels, options = { groups, eps };
    const inputs = [normals(seed, 0, [N, C, P]), normals(seed, 1, [C]), normals(seed, 2, [C])];
    checkGradients(bound, seed, inputs, (x, w, b) => nn.groupNorm(x, w, b, options), (dY, x, w) => {
      const { dX, dWeight, dBias } = nn.groupNormBackward(dY, x, w, options);
      return [dX, dWeight, dBias];
    }, channels * P + 8);
  });
  bound.settle("groupNormBackward gives the gradients of groupNorm");
});

Deno.test("siluBackward gives the gradient of silu", () => {
  const bound = new Bound(DIFFERENCES);
  forAll(fc.record({ seed: seeds, n: upTo(20) }), 30, ({ seed, n }) => {
    checkGradients(
      bound,
      seed,
      [normals(seed, 0, [n])],
      nn.silu,
      (dY, x) => [nn.siluBackward(dY, x)],
      5,
    );
  });
  bound.settle("siluBackward gives the gradient of silu");
});

Deno.test("linearBackward gives the gradients of linear", () => {
  const bound = new Bound(DIFFERENCES);
  const sizes = fc.record({
    seed: seeds,
    leading: fc.array(upTo(3), { maxLength: 2 }),
    I: upTo(9),
    O: upTo(5),
  });
  forAll(sizes, 30, ({ seed, leading, I, O }) => {
    const inputs = [
      normals(seed, 0, [...leading, I]),
      normals(seed, 1, [O, I]),
      normals(seed, 2, [O]),
    ];
    checkGradients(bound, seed, inputs, (x, w, b) => nn.linear(x, w, b), (dY, x, w) => {
      const { dX, dWeight, dBias } = nn.linearBackward(dY, x, w);
      return [dX, dWeight, dBias];
    }, I + 2);
  });
  bound.settle("linearBackward gives the gradients of linear");
});

Deno.test("attentionBackward gives the gradients of attention", () => {
  const bound = new Bound(DIFFERENCES);
  const sizes = fc.record({
    seed: seeds,
    N: upTo(2),
    heads: upTo(2),
    L: upTo(4),
    S: upTo(4),
    D: upTo(5),
    scale: fc.option(fc.constantFrom(0.3, 0.6), { nil: undefined }),
  });
  forAll(sizes, 30, ({ seed, N, heads, L, S, D, scale }) => {
    const options = scale === undefined ? {} : { scale };
    const inputs = [
      normals(seed, 0, [N, heads, L, D]),
      normals(seed, 1, [N, heads, S, D]),
      normals(seed, 2, [N, heads, S, D]),
    ];
    checkGradients(
      bound,
      seed,
      inputs,
      (q, k, v) => nn.attention(q, k, v, options),
      (dY, q, k, v) => {
        const { dQ, dK, dV } = nn.attentionBackward(dY, q, k, v, options);
        return [dQ, dK, dV];
      },
      2 * S + D + 8,
    );
  });
  bound.settle("attentionBackward gives the gradients of attention");
});

Deno.test("the gradients of the elementwise layers, sums and concatenation are theirs", () => {
  const bound = new Bound(DIFFERENCES);
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
    checkGradients(
      bound,
      seed,
      [a, a2],
      (a, b) => nn.add(a, b, 3),
      (dY) => [nn.addBackward(dY, 3), nn.addBackward(dY, 3)],
      3,
    );
    checkGradients(bound, seed, [a, e], nn.addPerChannel, (dY) => {
      const { dX, dE } = nn.addPerChannelBackward(dY);
      return [dX, dE];
    }, 2);
    checkGradients(bound, seed, [a, normals(seed, 4, [N, 2 * A])], nn.scaleShift, (dY, x, e) => {
      const { dX, dE } = nn.scaleShiftBackward(dY, x, e);
      return [dX, dE];
    }, 4);
    checkGradients(bound, seed, [a, b], nn.concatChannels, (dY) => {
      const { dA, dB } = nn.concatChannelsBackward(dY, A);
      return [dA, dB];
    }, 1);
    checkGradients(bound, seed, [a], nn.centered, (dY) => [nn.centeredBackward(dY)], 3);
    const dropout = { probability: 0.4, seed, streams: [...Array(N).keys()] };
    checkGradients(
      bound,
      seed,
      [a],
      (x) => nn.dropout(x, dropout),
      (dY) => [nn.dropoutBackward(dY, dropout)],
      3,
    );
    const labels = Array.from({ length: N }, (_, n) => (seed + n * n) % A);
    checkGradients(
      bound,
      seed,
      [normals(seed, 5, [A, B])],
      (table) => nn.embedding(labels, table),
      (dY, table) => [nn.embeddingBackward(dY, labels, table)],
      1,
    );
  });
  bound.settle("the gradients of the elementwise layers, sums and concatenation are theirs");
});
