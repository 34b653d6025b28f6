/** Properties of the network at the edges of what it accepts. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ArgumentError } from "../../src/math/errors.ts";
import { referenceBound } from "../../src/math/float32.ts";
import { tensor } from "../../src/math/tensor.ts";
import { attention, conv2d, conv2dBackward } from "../../src/reference/nn/mod.ts";
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
    const [even, y] = attention(q, k, v, { scale: 1 }).data;
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

Deno.test("conv2d and its gradients sum over every tap of kernels of up to 13", () => {
  const bound = new Bound("½ulp + n·2^−53·Σ|terms|");
  const drawn = fc.record({
    kW: fc.integer({ min: 1, max: 13 }),
    outW: fc.integer({ min: 1, max: 5 }),
    stride: fc.integer({ min: 1, max: 3 }),
  }).chain((sizes) => {
    const W = (sizes.outW - 1) * sizes.stride + sizes.kW;
    const row = (length: number) => tensorOf([1, 1, 1, length]);
    return fc.tuple(fc.constant(sizes), row(W), row(sizes.kW), row(sizes.outW));
  });
  forAll(drawn, 100, ([{ kW, outW, stride }, x, weight, dY]) => {
    // Every product w_b·x_m·dY_j with m = stride·j + b, and what each result sums of it.
    const [y, dX, dWeight] = [outW, x.data.length, kW].map((length) =>
      Array.from({ length }, () => [] as number[])
    );
    for (let j = 0; j < outW; j++) {
      for (let b = 0; b < kW; b++) {
        const m = stride * j + b;
        y[j].push(weight.data[b] * x.data[m]);
        dX[m].push(weight.data[b] * dY.data[j]);
        dWeight[b].push(dY.data[j] * x.data[m]);
      }
    }
    const check = (found: Float32Array, terms: number[][], what: string) => {
      const sum = (values: number[]) => values.reduce((a, b) => a + b, 0);
      const expected = terms.map(sum), magnitude = terms.map((t) => sum(t.map(Math.abs)));
      const limit = (i: number) => referenceBound(expected[i], 2 * terms[i].length, magnitude[i]);
      bound.checkAll(found, expected, limit, what);
    };
    const gradients = conv2dBackward(dY, x, weight, { stride });
    check(conv2d(x, weight, null, { stride }).data, y, "y");
    check(gradients.dX.data, dX, "dX");
    check(gradients.dWeight.data, dWeight, "dWeight");
  });
  bound.settle("conv2d with wide kernels");
});
