/** Properties of the network at the edges of what it accepts. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ArgumentError } from "../../src/math/errors.ts";
import { referenceBound } from "../../src/math/float32.ts";
import { tensor } from "../../src/math/tensor.ts";
import * as nn from "../../src/reference/nn/mod.ts";
import { unet } from "../../src/reference/unet.ts";
import { tensorOf } from "../support/arbitraries.ts";
import { Bound } from "../support/bound.ts";
import { forAll } from "../support/property.ts";
import { smallUnets } from "../support/small_unets.ts";

Deno.test("attention with scores of thousands takes the value of the largest score", () => {
  const drawn = fc.record({
    S: fc.integer({ min: 1, max: 5 }),
    at: fc.nat(4),
    height: fc.integer({ min: 1, max: 40 }),
    sign: fc.constantFrom(-1, 1),
  });
  forAll(drawn, 100, ({ S, at, height, sign }) => {
    const best = at % S;
    // q·k is ±height·1000 at one key and 0 at the others; at scale 1, e^(height·1000) has no double.
    const k = tensor(
      [1, 1, S, 1],
      Array.from({ length: S }, (_, j) => j === best ? sign * 1000 : 0),
    );
    const v = tensor([1, 1, S, 1], Array.from({ length: S }, (_, j) => j + 1));
    // The first query scores 0 everywhere, so no other row's maximum serves the second.
    const q = tensor([1, 1, 2, 1], [0, height]);
    const [even, y] = nn.attention(q, k, v, { scale: 1 }).data;
    const values = Array.from({ length: S }, (_, j) => j + 1);
    const mean = (of: number[]) => of.reduce((sum, value) => sum + value, 0) / of.length;
    // e^−1000 is 0 in double, so one weight is 1, or the others share it equally.
    const others = values.filter((value) => value !== best + 1);
    const expected = sign > 0 || S === 1 ? best + 1 : mean(others);
    // Stored once: half a unit in the last place of at most 5, and the double sum's few roundings.
    assert(Math.abs(y - expected) <= 5 * 2 ** -24, `${y} for ${expected}`);
    assert(Math.abs(even - mean(values)) <= 5 * 2 ** -24, `${even} for the mean`);
  });
});

Deno.test("unet takes images whose sides its levels can halve, and refuses all others", () => {
  forAll(fc.tuple(smallUnets, fc.boolean()), 30, ([net, wide]) => {
    const { config, parameters, timesteps, options } = net;
    const halvings = config.downBlockTypes.length - 1;
    const side = 2 ** halvings;
    const [N, C] = net.x.shape;
    const output = unet(config, parameters, tensor([N, C, side, 2 * side]), timesteps, options);
    assertEquals(output.shape, [N, config.outChannels, side, 2 * side]);
    for (let odd = 1; odd < side; odd++) {
      const [H, W] = wide ? [side, side + odd] : [side + odd, side];
      assertThrows(
        () => unet(config, parameters, tensor([N, C, H, W]), timesteps, options),
        ArgumentError,
        `Expected height and width to be multiples of ${side}`,
      );
    }
  });
});

Deno.test("conv2d and its gradients sum over every tap of kernels of up to 13, and every sample", () => {
  const bound = new Bound("½ulp + n·2^−53·Σ|terms|");
  const drawn = fc.record({
    N: fc.integer({ min: 1, max: 6 }),
    O: fc.integer({ min: 1, max: 2 }),
    kW: fc.integer({ min: 1, max: 13 }),
    outW: fc.integer({ min: 1, max: 5 }),
    stride: fc.integer({ min: 1, max: 3 }),
  }).chain(({ N, O, kW, outW, stride }) => {
    const W = (outW - 1) * stride + kW;
    return fc.tuple(
      fc.constant(stride),
      tensorOf([N, 1, 1, W]),
      tensorOf([O, 1, 1, kW]),
      tensorOf([N, O, 1, outW]),
    );
  });
  forAll(drawn, 150, ([stride, x, weight, dY]) => {
    const [N, O, , outW] = dY.shape, W = x.shape[3], kW = weight.shape[3];
    // Every product with m = stride·j + b, and what each result sums of it.
    const [y, dX, dWeight] = [dY, x, weight].map(({ data }) =>
      Array.from(data, () => [] as number[])
    );
    for (let at = 0; at < N * O * outW * kW; at++) {
      const b = at % kW, j = Math.trunc(at / kW) % outW;
      const o = Math.trunc(at / kW / outW) % O, n = Math.trunc(at / kW / outW / O);
      const from = n * W + stride * j + b, to = (n * O + o) * outW + j, tap = o * kW + b;
      y[to].push(weight.data[tap] * x.data[from]);
      dX[from].push(weight.data[tap] * dY.data[to]);
      dWeight[tap].push(dY.data[to] * x.data[from]);
    }
    const check = (found: Float32Array, terms: number[][], what: string) => {
      const sum = (values: number[]) => values.reduce((a, b) => a + b, 0);
      const expected = terms.map(sum), magnitude = terms.map((t) => sum(t.map(Math.abs)));
      const limit = (i: number) => referenceBound(expected[i], 2 * terms[i].length, magnitude[i]);
      bound.checkAll(found, expected, limit, what);
    };
    const gradients = nn.conv2dBackward(dY, x, weight, { stride });
    check(nn.conv2d(x, weight, null, { stride }).data, y, "y");
    check(gradients.dX.data, dX, "dX");
    check(gradients.dWeight.data, dWeight, "dWeight");
  });
  bound.settle("conv2d with wide kernels");
});

Deno.test("averagePoolBackward gives a quarter to each pixel of a block and nothing to an odd edge", () => {
  const drawn = fc.tuple(
    fc.nat(2),
    fc.nat(2),
    fc.integer({ min: 2, max: 5 }),
    fc.integer({ min: 2, max: 5 }),
  )
    .chain(([n, c, H, W]) => {
      const outside = [n + 1, c + 1, Math.trunc(H / 2), Math.trunc(W / 2)];
      return fc.tuple(tensorOf([n + 1, c + 1, H, W]), tensorOf(outside));
    });
  forAll(drawn, 100, ([x, dY]) => {
    const [H, W] = x.shape.slice(2), [h, w] = dY.shape.slice(2);
    const dX = nn.averagePoolBackward(dY, x);
    dX.data.forEach((value, flat) => {
      const plane = Math.trunc(flat / (H * W)), i = Math.trunc(flat % (H * W) / W), j = flat % W;
      const inside = i < 2 * h && j < 2 * w;
      const block = (plane * h + Math.trunc(i / 2)) * w + Math.trunc(j / 2);
      // A quarter is exact.
      assertEquals(value, inside ? dY.data[block] / 4 : 0);
    });
  });
});

Deno.test("nearestUpsampleBackward sums the four copies of each pixel of every sample", () => {
  const side = fc.integer({ min: 1, max: 3 });
  const drawn = fc.tuple(fc.integer({ min: 1, max: 5 }), side, side, side).chain(([N, C, H, W]) =>
    fc.tuple(tensorOf([N, C, H, W]), tensorOf([N, C, 2 * H, 2 * W]))
  );
  forAll(drawn, 100, ([x, dY]) => {
    const W = x.shape[3];
    const copies = Array.from(x.data, () => [] as number[]);
    dY.data.forEach((value, flat) => {
      const row = Math.trunc(flat / (2 * W));
      copies[Math.trunc(row / 2) * W + Math.trunc(flat % (2 * W) / 2)].push(value);
    });
    // Multiples of 2^−20 add up exactly in double, so the store is the only rounding.
    const sums = copies.map((values) => Math.fround(values.reduce((a, b) => a + b, 0)));
    assertEquals(Array.from(nn.nearestUpsampleBackward(dY, x).data), sums);
  });
});
