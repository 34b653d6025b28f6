import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ArgumentError } from "../../src/math/errors.ts";
import { type Tensor, tensor } from "../../src/math/tensor.ts";
import { type Checkpoint, decodeCheckpoint, encodeCheckpoint } from "../../src/spec/checkpoint.ts";
import { FormatError } from "../../src/spec/format_error.ts";
import { decodeSafetensors, encodeSafetensors, storedTensor } from "../../src/spec/safetensors.ts";
import { DDPM_SCHEDULE } from "../../src/spec/schedule_config.ts";
import { unetConfig } from "../../src/spec/unet_config.ts";
import { initialParameters } from "../../src/spec/unet_parameters.ts";

// The same cases in every run.
fc.configureGlobal({ seed: 1 });

const unet = unetConfig({
  inChannels: 1,
  outChannels: 1,
  downBlockTypes: ["DownBlock2D"],
  upBlockTypes: ["UpBlock2D"],
  blockOutChannels: [4],
  layersPerBlock: 1,
  normNumGroups: 2,
  attentionHeadDim: null,
});
const weights = (seed: number) => initialParameters(unet, seed);
const whole: Checkpoint = {
  unet,
  schedule: { ...DDPM_SCHEDULE, keep: [1, 500, 1000] },
  step: 12,
  seed: 2 ** 53 - 1,
  train: { lr: 1e-3, preset: "tiny", flip: false },
  ema: weights(1),
  training: { model: weights(2), m: weights(3), v: weights(4) },
};
const { training: _, ...forSampling } = whole;

/** The file of `whole` with its tensors and metadata changed. */
function altered(
  change: (tensors: Map<string, Tensor>, metadata: Map<string, string>) => void,
): Uint8Array {
  const { tensors, metadata } = decodeSafetensors(encodeCheckpoint(whole));
  const values = new Map([...tensors].map(([name, stored]) => [name, storedTensor(stored)]));
  const pairs = new Map(metadata);
  change(values, pairs);
  return encodeSafetensors(values, { metadata: pairs });
}

Deno.test("a checkpoint decodes to what was encoded, with or without the state of training", () => {
  assertEquals(decodeCheckpoint(encodeCheckpoint(whole)), whole);
  assertEquals(decodeCheckpoint(encodeCheckpoint(forSampling)), forSampling);
});

Deno.test("what decodes encodes to the same bytes again", () => {
  for (const checkpoint of [whole, { ...whole, prediction: "v" } as const]) {
    const bytes = encodeCheckpoint(checkpoint);
    assertEquals(encodeCheckpoint(decodeCheckpoint(bytes)), bytes);
  }
});

Deno.test("what the output stands for is kept; ε, which is the rule, changes no byte", () => {
  for (const prediction of ["v", "x0"] as const) {
    const decoded = decodeCheckpoint(encodeCheckpoint({ ...whole, prediction }));
    assertEquals(decoded.prediction, prediction);
  }
  assertEquals(encodeCheckpoint({ ...whole, prediction: "epsilon" }), encodeCheckpoint(whole));
  const strange = altered((_, metadata) => metadata.set("prediction", "velocity"));
  const { message } = assertThrows(() => decodeCheckpoint(strange), FormatError);
  assertStringIncludes(message, 'one of epsilon, v, x0 was expected, not "velocity"');
});

Deno.test("a checkpoint to sample from may be halves, one to go on training from may not", () => {
  const halves = decodeCheckpoint(encodeCheckpoint(forSampling, "F16"));
  for (const [name, { data }] of halves.ema) {
    assertEquals(data, whole.ema.get(name)?.data.map((x) => Math.f16round(x)));
  }
  assertThrows(() => encodeCheckpoint(whole, "F16"), ArgumentError, "but got F16");
});

Deno.test("a checkpoint that is cut short anywhere is refused", () => {
  const bytes = encodeCheckpoint(whole);
  fc.assert(fc.property(fc.nat(bytes.length - 1), (length) => {
    assertThrows(() => decodeCheckpoint(bytes.subarray(0, length)), FormatError);
  }));
});

Deno.test("parameters that are not the config's are not written", () => {
  const ema = new Map(whole.ema);
  ema.delete("conv_in.bias");
  assertThrows(() => encodeCheckpoint({ ...whole, ema }), ArgumentError, "no such tensor");
  ema.set("conv_in.bias", tensor([4]));
  ema.set("conv_in.more", tensor([4]));
  assertThrows(() => encodeCheckpoint({ ...whole, ema }), ArgumentError, "tensors under ema/");
});

const BROKEN: [what: string, change: Parameters<typeof altered>[0], message: string][] = [
  ["another format", (_, m) => m.delete("format"), "but got format undefined"],
  ["a later version", (_, m) => m.set("version", "2"), 'version "2"'],
  ["no config", (_, m) => m.delete("unet"), 'metadata "unet" of a checkpoint to be readable'],
  ["a config that is no JSON", (_, m) => m.set("unet", "{"), 'metadata "unet"'],
  ["an unknown field", (_, m) => m.set("unet", '{"colour":1}'), '"colour"'],
  ["groups that do not divide", (_, m) => m.set("unet", '{"norm_num_groups":31}'), '"unet"'],
  [
    "a million blocks",
    (_, m) => m.set("unet", '{"layers_per_block":1048576}'),
    "Expected tensors for 4194304 residual blocks",
  ],
  ["no schedule", (_, m) => m.set("schedule", "[]"), 'metadata "schedule"'],
  ["a negative step", (_, m) => m.set("step", "-1"), 'metadata "step"'],
  ["a seed in words", (_, m) => m.set("seed", "one"), 'metadata "seed"'],
  ["nested options", (_, m) => m.set("train", '{"a":{}}'), 'metadata "train"'],
  ["no averages", (t) => t.delete("ema/conv_in.bias"), "ema/conv_in.bias of shape [4]"],
  ["a lost moment", (t) => t.delete("adam.v/conv_in.bias"), "adam.v/conv_in.bias of shape [4]"],
  ["another shape", (t) => t.set("model/conv_in.bias", tensor([5])), "but got [5]"],
  ["a stranger", (t) => t.set("model/other", tensor([1])), 'one called "model/other"'],
];

for (const [what, change, message] of BROKEN) {
  Deno.test(`a file that is no sound checkpoint is refused in one sentence: ${what}`, () => {
    const error = assertThrows(() => decodeCheckpoint(altered(change)), FormatError);
    assertStringIncludes(error.message, message);
  });
}
