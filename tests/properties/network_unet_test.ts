/** Properties of the whole network: what it computes, its gradients, and what it does not depend on. */
import { assert, assertEquals } from "@std/assert";
import type { Tensor } from "../../src/math/tensor.ts";
import { unet, unetBackward, unetForward } from "../../src/reference/unet.ts";
import type { Parameters } from "../../src/spec/unet_parameters.ts";
import { Bound } from "../support/bound.ts";
import { inDouble } from "../support/doubles.ts";
import { centralDifference, DIFFERENCES, dot, moved, normals } from "../support/layers.ts";
import { forAll } from "../support/property.ts";
import { type SmallUnet, smallUnets, widenedUnet } from "../support/small_unets.ts";
import { unrolledUnet } from "../support/unrolled_unet.ts";

/**
 * Some 60 layers in a row each round once what is of the size of one: four standard deviations of their
 * sum are about 4·√60.
 */
const ROUNDINGS = 30;

function run({ config, parameters, x, timesteps, options }: SmallUnet): Tensor {
  return unet(config, parameters, x, timesteps, options);
}

Deno.test("unet is the network that the paper's appendix and the config's fields describe", () => {
  forAll(smallUnets, 60, (net) => {
    const { config, parameters, x, timesteps, options } = net;
    // The same layers in the same order: the same bits.
    assertEquals(run(net), unrolledUnet(config, parameters, x, timesteps, options));
  });
});

Deno.test("unetBackward gives per parameter tensor the derivative along a random direction", () => {
  const bound = new Bound(DIFFERENCES);
  forAll(smallUnets, 3, (drawn) => {
    const net = widenedUnet(drawn);
    const { config, parameters, x, timesteps, options, seed } = net;
    const { output, tape } = unetForward(config, parameters, x, timesteps, options);
    const r = inDouble(normals(seed, 600, output.shape));
    const { dX, gradients } = unetBackward(tape, r);
    assertEquals([...gradients.keys()], [...parameters.keys()]);
    const magnitude = output.data.reduce((sum, y, i) => sum + Math.abs(r.data[i] * y), 0);

    const checkAlong = (name: string, tensor: Tensor, gradient: Tensor, at: At): void => {
      // As large as the tensor itself: a step is then a small part of it, whatever its scale.
      const size = Math.sqrt(dot(tensor, tensor) / tensor.data.length);
      const direction = inDouble(normals(seed, 700 + name.length, tensor.shape));
      const loss = (h: number): number => dot(r, run(at(moved(tensor, h * size, direction))));
      const difference = centralDifference(loss, magnitude, ROUNDINGS);
      const claimed = size * dot(gradient, direction);
      // Adding the same to every key leaves the softmax as it is.
      const what = name.endsWith("to_k.bias") ? "identically zero gradients" : "gradients";
      bound.check(claimed, difference.derivative, difference.bound, what, name);
    };
    checkAlong("x", x, dX, (x) => ({ ...net, x }));
    for (const [name, p] of parameters) {
      checkAlong(name, p, gradients.get(name) as Tensor, (changed) => ({
        ...net,
        parameters: new Map([...parameters, [name, changed]]) as Parameters,
      }));
    }
  });
  bound.settle("unetBackward gives per parameter tensor the derivative along a random direction");
});

type At = (changed: Tensor) => SmallUnet;

Deno.test("unetBackward gives the derivative along a direction of input and parameters at once", () => {
  const name = "unetBackward gives the joint derivative";
  const bound = new Bound(DIFFERENCES);
  forAll(smallUnets, 40, (drawn) => {
    const net = widenedUnet(drawn);
    const { config, parameters, x, timesteps, options, seed } = net;
    const { output, tape } = unetForward(config, parameters, x, timesteps, options);
    const r = inDouble(normals(seed, 600, output.shape));
    const { dX, gradients } = unetBackward(tape, r);
    const magnitude = output.data.reduce((sum, y, i) => sum + Math.abs(r.data[i] * y), 0);
    // An eighth of the usual step, as everything moves at once.
    const directions = new Map([...parameters].map(([name, { shape }], k) => {
      const scale = (shape.length > 1 ? shape.slice(1).reduce((a, b) => a * b) : 1) ** -0.5 / 8;
      return [name, scaled(inDouble(normals(seed, 1000 + k, shape)), scale)];
    }));
    const directionX = scaled(inDouble(normals(seed, 700, x.shape)), 1 / 8);
    const loss = (h: number): number =>
      dot(
        r,
        run({
          ...net,
          x: moved(x, h, directionX),
          parameters: new Map(
            [...parameters].map(([name, p]) => [name, moved(p, h, directions.get(name)!)]),
          ),
        }),
      );
    const difference = centralDifference(loss, magnitude, ROUNDINGS);
    const claimed = [...gradients].reduce(
      (sum, [name, g]) => sum + dot(g, directions.get(name)!),
      dot(dX, directionX),
    );
    bound.check(claimed, difference.derivative, difference.bound);
  });
  bound.settle(name);
});

function scaled(x: Tensor, factor: number): Tensor {
  return { shape: x.shape, data: x.data.map((v) => factor * v) };
}

Deno.test("unetForward gives the bits of unet, and unetBackward float32 gradients for float32", () => {
  forAll(smallUnets, 20, (net) => {
    const { config, parameters, x, timesteps, options } = net;
    const { output, tape } = unetForward(config, parameters, x, timesteps, options);
    assertEquals(output, run(net));
    const { dX, gradients } = unetBackward(tape, output);
    assertEquals(dX.shape, x.shape);
    for (const [name, { shape, data }] of gradients) {
      assertEquals(shape, parameters.get(name)?.shape);
      assert(data instanceof Float32Array && data.every(Number.isFinite), name);
    }
  });
});

Deno.test("unetBackward gives a parameter that the network does not use a gradient of zero", () => {
  forAll(smallUnets, 5, (net) => {
    const { config, x, timesteps, options } = net;
    const parameters = new Map([...net.parameters, ["unused", normals(net.seed, 0, [3])]]);
    const { output, tape } = unetForward(config, parameters, x, timesteps, options);
    const { gradients } = unetBackward(tape, output);
    assertEquals(gradients.get("unused"), { shape: [3], data: new Float32Array(3) });
  });
});

Deno.test("unet gives a sample the same bits alone and in any batch, dropout and labels included", () => {
  forAll(smallUnets, 20, (net) => {
    const [, C, H, W] = net.x.shape;
    const both = run(net);
    const half = both.data.length / 2;
    for (const n of [0, 1]) {
      const rows = (x: Tensor): Tensor => ({
        shape: [1, ...x.shape.slice(1)],
        data: x.data.slice(n * x.data.length / 2, (n + 1) * x.data.length / 2),
      });
      const { classLabels: labels, dropout } = net.options;
      const alone = run({
        ...net,
        x: rows(net.x),
        timesteps: [net.timesteps[n]],
        options: {
          ...(labels && { classLabels: "shape" in labels ? rows(labels) : [labels[n]] }),
          ...(dropout && { dropout: { seed: dropout.seed, items: [dropout.items[n]] } }),
        },
      });
      assertEquals(alone.shape, [1, 3, H, W], `from ${C} channels`);
      assertEquals(alone.data, both.data.slice(n * half, (n + 1) * half));
    }
  });
});

Deno.test("unet drops nothing outside training, and other values for another example", () => {
  forAll(smallUnets, 20, (net) => {
    if (net.config.dropout === 0) return;
    const { classLabels } = net.options;
    const without = { ...net, options: classLabels === undefined ? {} : { classLabels } };
    const undropped = { ...without, config: { ...net.config, dropout: 0 } };
    assertEquals(run(without), run(undropped));
    const other = { seed: net.seed, items: [8, 80] };
    const dropped = run(net);
    const again = run({ ...net, options: { ...net.options, dropout: other } });
    assert(dropped.data.some((y, i) => y !== again.data[i]));
  });
});
