import { assert, assertEquals, assertThrows } from "@std/assert";
import { ArgumentError } from "../../src/math/errors.ts";
import { streamOf, uniformDoubles } from "../../src/math/noise.ts";
import { sizeOf } from "../../src/math/tensor.ts";
import { unetConfig } from "../../src/spec/unet_config.ts";
import {
  initialParameters,
  initialTensor,
  unetParameterCount,
  unetParameters,
  zeroParameters,
} from "../../src/spec/unet_parameters.ts";
import { CIFAR10, MNIST, MNIST_CLASSES, MNIST_TINY } from "../../src/spec/unet_presets.ts";

Deno.test("unetParameters of the CIFAR-10 model are diffusers' names, shapes and order", () => {
  const golden = new URL("../golden/diffusers_cifar10_keys.tsv", import.meta.url);
  const lines = unetParameters(CIFAR10).map(({ name, shape }) => `${name}\t${shape.join("x")}`);
  assertEquals(lines, Deno.readTextFileSync(golden).trim().split("\n"));
});

Deno.test("unetParameterCount gives the published sizes of the CIFAR-10 model and its variants", () => {
  assertEquals(unetParameterCount(CIFAR10), 35_746_307);
  assertEquals(unetParameterCount({ ...CIFAR10, outChannels: 6 }), 35_749_766);
  assertEquals(unetParameterCount({ ...CIFAR10, numClassEmbeds: 10 }), 35_751_427);
  assertEquals(unetParameterCount({ ...CIFAR10, inChannels: 1, outChannels: 1 }), 35_741_697);
});

Deno.test("unetParameterCount puts the MNIST presets at their stated sizes", () => {
  assertEquals(unetParameterCount(MNIST_TINY), 114_705);
  assertEquals(unetParameterCount(MNIST), 1_468_257);
  assertEquals(unetParameterCount(MNIST_CLASSES), 1_468_257 + 11 * 128);
});

Deno.test("scale_shift doubles every time projection and removes the middle's norm", () => {
  const names = (resnetTimeScaleShift: "default" | "scale_shift") =>
    new Map(
      unetParameters(unetConfig({ ...MNIST_TINY, resnetTimeScaleShift })).map((
        { name, shape },
      ) => [name, shape]),
    );
  const plain = names("default"), shifted = names("scale_shift");
  for (const [name, shape] of plain) {
    if (name.startsWith("mid_block.attentions.0.group_norm")) assert(!shifted.has(name), name);
    else if (name.includes("time_emb_proj")) {
      assertEquals(sizeOf(shifted.get(name)!), 2 * sizeOf(shape));
    } else assertEquals(shifted.get(name), shape);
  }
});

Deno.test("initialParameters start every residual branch, attention and the output at exactly zero", () => {
  const parameters = initialParameters(MNIST_TINY, 1);
  for (const [name, { data }] of parameters) {
    const zero = /(conv2|to_out\.0|conv_out)\.weight$/.test(name) || name.endsWith(".bias");
    const norm = /norm\d?(_out)?\.weight$/.test(name);
    if (zero) assert(data.every((v) => v === 0), `${name} should be 0`);
    else if (norm) assert(data.every((v) => v === 1), `${name} should be 1`);
    else assert(data.some((v) => v !== 0), `${name} should be random`);
  }
});

Deno.test("initialTensor draws uniformly with variance one over the mean of fan in and fan out", () => {
  const spec = { name: "w", shape: [64, 32, 3, 3], initialiser: "varianceScaling" } as const;
  const { data } = initialTensor(spec, 3, 0);
  const fanAverage = (9 * 32 + 9 * 64) / 2, n = data.length;
  const limit = Math.sqrt(3 / fanAverage);
  assert(data.every((v) => Math.abs(v) <= limit));
  assert(data.some((v) => Math.abs(v) > 0.999 * limit));
  // Mean and mean square of n uniform values on ±limit stray by at most 5 standard deviations:
  // limit/√3 and 2·limit²/(3√5) over √n.
  const mean = data.reduce((a, b) => a + b, 0) / n;
  const square = data.reduce((a, b) => a + b * b, 0) / n;
  assert(Math.abs(mean) < 5 * limit / Math.sqrt(3 * n));
  assert(Math.abs(square - 1 / fanAverage) < 5 * 2 * limit ** 2 / (3 * Math.sqrt(5 * n)));
});

Deno.test("initialParameters depend on the seed and on nothing else, tensor by tensor", () => {
  const one = initialParameters(MNIST_TINY, 1), again = initialParameters(MNIST_TINY, 1);
  const two = initialParameters(MNIST_TINY, 2);
  assertEquals(one, again);
  const q = "mid_block.attentions.0.to_q.weight", k = "mid_block.attentions.0.to_k.weight";
  assert(one.get(q)!.data.some((v, i) => v !== two.get(q)!.data[i]));
  assert(one.get(q)!.data.some((v, i) => v !== one.get(k)!.data[i]));
});

Deno.test("initialTensor draws value i of a long tensor from uniform i of its stream", () => {
  // More than two pieces of 4096, the last one short.
  const spec = { name: "w", shape: [30, 100, 3], initialiser: "varianceScaling" } as const;
  const limit = Math.sqrt(6 / (3 * 100 + 3 * 30));
  const u = uniformDoubles(3, streamOf("init", 7, 0), 0, 9000);
  const expected = Float32Array.from(u, (value) => limit * (2 * value - 1));
  assertEquals(initialTensor(spec, 3, 7).data, expected);
});

Deno.test("zeroParameters have every name, shape and size, and are zero", () => {
  const parameters = initialParameters(MNIST_TINY, 1), zeros = zeroParameters(parameters);
  assertEquals([...zeros.keys()], [...parameters.keys()]);
  for (const [name, { shape, data }] of zeros) {
    assertEquals(shape, parameters.get(name)!.shape, name);
    assertEquals(data, new Float32Array(sizeOf(shape)), name);
  }
  assertEquals(zeroParameters(new Map()), new Map());
});

Deno.test("unetParameters refuse groups and heads that do not divide the channels", () => {
  assertThrows(
    () => unetParameters(unetConfig({ ...MNIST_TINY, normNumGroups: 5 })),
    ArgumentError,
    "channels of down_blocks.0.resnets.0.norm1 to be a multiple of 5 groups but got 8",
  );
  assertThrows(
    () => unetParameters(unetConfig({ ...MNIST_TINY, attentionHeadDim: 7 })),
    ArgumentError,
    "to be a multiple of 7 channels per head",
  );
});
