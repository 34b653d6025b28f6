/** The classifier: its gradients, its file, and the one that is shipped. */
import {
  assert,
  assertEquals,
  assertGreater,
  assertGreaterOrEqual,
  assertThrows,
} from "@std/assert";
import {
  CLASSIFIER_PARAMETERS,
  classify,
  initialClassifier,
} from "../../src/evaluate/classifier.ts";
import { decodeClassifier, encodeClassifier } from "../../src/evaluate/classifier_file.ts";
import { accuracyOf, judge } from "../../src/evaluate/quality.ts";
import { ArgumentError } from "../../src/math/errors.ts";
import { normalTensor, streamOf } from "../../src/math/noise.ts";
import { type Tensor, tensor } from "../../src/math/tensor.ts";
import * as nn from "../../src/reference/nn/mod.ts";
import { FormatError } from "../../src/spec/format_error.ts";
import { encodeSafetensors } from "../../src/spec/safetensors.ts";
import { Bound } from "../support/bound.ts";
import { allInDouble, inDouble } from "../support/doubles.ts";
import { centralDifference, DIFFERENCES, dot, moved, normals } from "../support/layers.ts";
import { everyFifthTestImage, SHIPPED, shippedClassifier } from "./digits.ts";

Deno.test("classify's backward gives the gradient of the logits by every parameter", () => {
  const name = "classify's backward gives the gradient of the logits";
  const bound = new Bound(DIFFERENCES);
  const images = inDouble(normals(0, 0, [2, 1, 28, 28]));
  // Biases and norms away from their 0 and 1, or a mix-up of two would go unseen.
  const parameters = new Map(
    [...allInDouble(initialClassifier(0))].map(([name, p], k) =>
      [name, moved(p, 0.1, normals(1, k, p.shape))] as const
    ),
  );
  const { logits, backward } = classify(parameters, images);
  const r = inDouble(normals(2, 0, logits.shape));
  const gradients = backward(r);
  assertEquals(new Set(gradients.keys()), new Set(parameters.keys()));
  const magnitude = logits.data.reduce(
    (sum, v, i) => sum + Math.abs(r.data[i]) * (1 + Math.abs(v)),
    0,
  );
  // A logit is made of sums of 25, 144, 288, 1024 and 64 terms and of the norms' over up to 784 values.
  const roundings = 25 + 144 + 288 + 1024 + 64 + 3 * 784;
  [...parameters].forEach(([name, p], k) => {
    const direction = inDouble(normals(3, k, p.shape));
    const loss = (h: number) =>
      dot(r, classify(new Map([...parameters, [name, moved(p, h, direction)]]), images).logits);
    const difference = centralDifference(loss, magnitude, roundings);
    bound.check(dot(gradients.get(name)!, direction), difference.derivative, difference.bound);
  });
  bound.settle(name);
});

Deno.test("classify gives the network of the card, and the channels' means as features", () => {
  const images = inDouble(normals(0, 0, [3, 1, 28, 28]));
  const parameters = new Map(
    [...allInDouble(initialClassifier(0))].map(([name, p], k) =>
      [name, moved(p, 0.1, normals(1, k, p.shape))] as const
    ),
  );
  const of = (name: string) => parameters.get(name)!;
  let x: Tensor = images;
  for (const [k, pad] of [[1, 2], [2, 1], [3, 1]]) {
    const options = { stride: 2, padding: [pad, pad, pad, pad] as const };
    const y = nn.conv2d(x, of(`conv${k}.weight`), of(`conv${k}.bias`), options);
    const norm = { groups: 4, eps: 1e-5 };
    x = nn.silu(nn.groupNorm(y, of(`norm${k}.weight`), of(`norm${k}.bias`), norm));
  }
  assertEquals(x.shape, [3, 64, 4, 4]);
  const flat = nn.reshape(x, [3, 1024]);
  const hidden = nn.silu(nn.linear(flat, of("hidden.weight"), of("hidden.bias")));
  const logits = nn.linear(hidden, of("output.weight"), of("output.bias"));
  const means = Array.from(
    { length: 3 * 64 },
    (_, row) => x.data.slice(16 * row, 16 * row + 16).reduce((a, b) => a + b, 0) / 16,
  );
  const found = classify(parameters, images);
  // Some 4000 roundings of 2^−53 on values of up to 10, through three norms that may magnify them tenfold.
  const near = (a: ArrayLike<number>, b: ArrayLike<number>) =>
    Array.from(a).every((value, i) => Math.abs(value - b[i]) < 4000 * 2 ** -53 * 10 * 1000);
  assert(near(found.features.data, means) && near(found.logits.data, logits.data));
  assertEquals([found.features.shape, found.logits.shape], [[3, 64], [3, 10]]);
});

Deno.test("an image is classified the same alone and among others", () => {
  const parameters = initialClassifier(0);
  const streams = [0, 1, 2].map((n) => streamOf("noise", n, 0));
  const all = classify(parameters, normalTensor(0, streams, [3, 1, 28, 28]));
  const one = classify(parameters, normalTensor(0, streams.slice(1, 2), [1, 1, 28, 28]));
  assertEquals(all.logits.data.slice(10, 20), one.logits.data);
  assertEquals(all.features.data.slice(64, 128), one.features.data);
  const small = tensor([1, 1, 8, 8]);
  assertThrows(() => classify(parameters, small), ArgumentError, "images of shape [1, 1, 28, 28]");
});

Deno.test("a classifier's file gives its parameters back, and anything else is refused", () => {
  const parameters = initialClassifier(7);
  const bytes = encodeClassifier(parameters, { seed: 7, epochs: 3 });
  assertEquals(decodeClassifier(bytes, "c"), parameters);
  const metadata = new Map([["format", "ddpm-classifier"], ["version", "1"]]);
  const refused = (tensors: Map<string, Tensor>, pairs: Map<string, string>, message: string) =>
    assertThrows(
      () => decodeClassifier(encodeSafetensors(tensors, { metadata: pairs }), "c.safetensors"),
      FormatError,
      message,
    );
  const all = new Map(parameters);
  refused(all, new Map(), 'Expected a classifier with metadata format "ddpm-classifier"');
  refused(all, new Map([...metadata, ["version", "2"]]), "in c.safetensors but got format");
  refused(
    new Map([...all, ["output.bias", tensor([9])]]),
    metadata,
    "Expected a tensor output.bias of shape [10] in c.safetensors but got [9]",
  );
  refused(
    new Map([...all].map(([name, p]) => [name === "conv1.bias" ? "conv0.bias" : name, p])),
    metadata,
    "Expected a tensor conv1.bias of shape [16] in c.safetensors but got none",
  );
  refused(
    new Map([...all, ["more", tensor([1])]]),
    metadata,
    `Expected the ${CLASSIFIER_PARAMETERS.length} tensors of a classifier in c.safetensors but got`,
  );
});

Deno.test("the shipped classifier recognises 99 % of 2000 test images, and its card says no more than that it can", async () => {
  const samples = await everyFifthTestImage();
  const { predicted } = await judge(await shippedClassifier(), samples);
  const { share, perClass } = accuracyOf(predicted, samples.labels);
  assertGreaterOrEqual(share, 0.99);
  for (const one of perClass) assertGreater(one ?? 0, 0.97);
  const card = await Deno.readTextFile(new URL("README.md", SHIPPED));
  const stated = Number(/\| test images recognised +\| ([\d.]+) % /.exec(card)?.[1]) / 100;
  // The share of 2000 out of 10,000 strays from that of all by √(p(1 − p)/2000), about 0.2 %.
  const deviation = Math.sqrt(stated * (1 - stated) / 2000);
  assertGreaterOrEqual(share, stated - 3 * deviation);
});
