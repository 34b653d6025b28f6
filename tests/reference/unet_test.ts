import { assertEquals, assertThrows } from "@std/assert";
import { ArgumentError } from "../../src/math/errors.ts";
import { tensor } from "../../src/math/tensor.ts";
import * as nn from "../../src/reference/nn/mod.ts";
import { unet, unetBackward, unetForward, type UNetOptions } from "../../src/reference/unet.ts";
import { unetConfig } from "../../src/spec/unet_config.ts";
import { initialParameters } from "../../src/spec/unet_parameters.ts";
import { MNIST_CLASSES, MNIST_TINY } from "../../src/spec/unet_presets.ts";
import { normals } from "../support/layers.ts";

Deno.test("unet predicts exactly zero before training, so that the loss starts at that of no prediction", () => {
  const parameters = initialParameters(MNIST_TINY, 1);
  const x = normals(1, 0, [1, 1, 28, 28]);
  const { output, tape } = unetForward(MNIST_TINY, parameters, x, [999]);
  assertEquals(output, tensor([1, 1, 28, 28]));
  // Only the last convolution learns from the first step: all else is behind its zeros.
  const { gradients } = unetBackward(tape, normals(1, 1, output.shape));
  for (const [name, { data }] of gradients) {
    assertEquals(data.some((g) => g !== 0), name.startsWith("conv_out."), name);
  }
});

Deno.test("unet refuses what does not fit its config, saying what it expected", () => {
  const parameters = initialParameters(MNIST_TINY, 1);
  const x = normals(1, 0, [1, 1, 8, 8]);
  const run = (change: { x?: number[]; t?: number[]; options?: UNetOptions }) => () =>
    unet(
      MNIST_TINY,
      parameters,
      change.x === undefined ? x : tensor(change.x),
      change.t ?? [3],
      change.options,
    );
  const refused: [() => unknown, string][] = [
    [run({ x: [1, 8, 8] }), "Expected x of shape [N, C, H, W] but got [1, 8, 8]"],
    [run({ x: [1, 3, 8, 8] }), "Expected x with 1 channels but got 3"],
    [run({ x: [1, 1, 8, 6] }), "Expected height and width to be multiples of 4 but got [8, 6]"],
    [run({ t: [3, 4] }), "Expected 1 timesteps but got [3, 4]"],
    [run({ t: [NaN] }), "Expected a finite number for every timestep but got NaN"],
    [run({ options: { classLabels: [1] } }), "Expected no class labels for this config"],
  ];
  for (const [call, message] of refused) assertThrows(call, ArgumentError, message);

  const missing = new Map([...parameters].filter(([name]) => name !== "conv_in.bias"));
  assertThrows(
    () => unet(MNIST_TINY, missing, x, [3]),
    ArgumentError,
    "Expected a parameter conv_in.bias but got none",
  );
  const wrong = new Map([...parameters, ["conv_in.bias", tensor([9])]]);
  assertThrows(
    () => unet(MNIST_TINY, wrong, x, [3]),
    ArgumentError,
    "Expected conv_in.bias of shape [8] but got [9]",
  );
  const { tape } = unetForward(MNIST_TINY, parameters, x, [3]);
  assertThrows(
    () => unetBackward(tape, tensor([1, 1, 4, 4])),
    ArgumentError,
    "Expected dOutput of shape [1, 1, 8, 8] but got [1, 1, 4, 4]",
  );
});

Deno.test("unet refuses class labels that do not fit its config", () => {
  const x = normals(1, 0, [1, 1, 8, 8]);
  const table = initialParameters(MNIST_CLASSES, 1);
  const run = (classLabels: UNetOptions["classLabels"]) => () =>
    unet(MNIST_CLASSES, table, x, [3], { classLabels });
  assertThrows(run(undefined), ArgumentError, "Expected class labels for this config");
  assertThrows(run([1, 2]), ArgumentError, "Expected 1 class labels but got [1, 2]");
  assertThrows(run([11]), ArgumentError, "Expected every class label in 0..10 but got 11");
  const vectors = unetConfig({ ...MNIST_TINY, classEmbedType: "identity" });
  const parameters = initialParameters(vectors, 1);
  assertThrows(
    () => unet(vectors, parameters, x, [3], { classLabels: tensor([1, 8]) }),
    ArgumentError,
    "Expected class labels of shape [1, 32] but got [1, 8]",
  );
});

Deno.test("layers refuse shapes and options that do not fit, saying what they expected", () => {
  const x = tensor([1, 4, 3, 3]), w = tensor([2, 4, 3, 3]), four = tensor([4]);
  const refused: [() => unknown, string][] = [
    [() => nn.conv2d(x, tensor([2, 3, 3, 3])), "Expected weight of shape [2, 4, 3, 3]"],
    [() => nn.conv2d(x, w, four), "Expected bias of shape [2] but got [4]"],
    [() => nn.conv2d(x, w, null, { stride: 0 }), "Expected stride in 1.."],
    [() => nn.conv2d(x, w, null, { padding: [0, -1, 0, 0] }), "Expected padding in 0.."],
    [
      () => nn.conv2d(x, tensor([2, 4, 5, 3])),
      "Expected a padded image of at least 5 by 3 but got [3, 3]",
    ],
    [() => nn.conv2dBackward(x, x, w), "Expected dY of shape [1, 2, 1, 1]"],
    [
      () => nn.groupNorm(x, four, four, { groups: 3, eps: 1 }),
      "Expected groups to divide the 4 channels but got 3",
    ],
    [() => nn.linear(x, tensor([2, 4])), "Expected x of shape […, 4] but got [1, 4, 3, 3]"],
    [() => nn.attention(x, w, w), "Expected k of shape [1, 4, 3, 3] but got [2, 4, 3, 3]"],
    [
      () => nn.dropout(x, { probability: 1, seed: 1, streams: [1] }),
      "Expected a dropout probability in [0, 1) but got 1",
    ],
    [
      () => nn.dropout(x, { probability: 0.5, seed: 1, streams: [] }),
      "Expected 1 dropout streams but got []",
    ],
    [() => nn.timeEmbedding([1], 2), "Expected shift below 1, half of dim but got 1"],
    [() => nn.permute(x, [0, 1, 2, 2]), "Expected an order of 4 dimensions"],
    [() => nn.reshape(x, [5]), "Expected a shape of 36 elements but got [5]"],
    [() => nn.averagePool(tensor([1, 1, 1, 4])), "Expected an image of at least 2 by 2"],
    [() => nn.upsample(x, null, four), "Expected a weight where there is a bias"],
  ];
  for (const [call, message] of refused) assertThrows(call, ArgumentError, message);
});
