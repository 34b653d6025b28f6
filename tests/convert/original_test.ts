/**
 * Weights of the DDPM code's PyTorch port and TensorFlow original. The PyTorch file is golden data; the
 * TensorFlow one is made from it, by names and transpositions written down here on their own: a variable
 * `W` is `[kH, kW, I, O]` where PyTorch has `[O, I, kH, kW]`, and `[I, O]` where it has `[O, I]` or a 1×1
 * convolution `[O, I, 1, 1]`.
 */
import { assertEquals, assertLess, assertStringIncludes, assertThrows } from "@std/assert";
import { FormatError } from "../../src/spec/format_error.ts";
import { decodeSafetensors } from "../../src/spec/safetensors.ts";
import { originalStyle, readOriginal } from "../../src/convert/original_file.ts";
import { unetForward } from "../../src/reference/unet.ts";
import { inDouble } from "../support/doubles.ts";
import { goldenTensor, readSafetensors } from "../support/safetensors.ts";
import { type Entry, safetensorsFile } from "./support.ts";

const golden = readSafetensors("unet_ddim_tiny.safetensors");

/** The golden state dict. */
function stateDict(): Map<string, Entry> {
  const parameters = [...golden.tensors].filter(([name]) => name.startsWith("param/"));
  return new Map(parameters.map(([name, tensor]) => [name.slice("param/".length), tensor]));
}

/** The model in a file of such tensors. */
function read(entries: Iterable<readonly [string, Entry]>, sampleSize: number | null = 16) {
  const { tensors } = decodeSafetensors(safetensorsFile(entries));
  const style = originalStyle(tensors);
  if (style === null) throw new Error("neither style");
  return readOriginal(tensors, style, sampleSize, "the file");
}

/** A TensorFlow variable of a tensor of the state dict. */
function tensorflowEntry([name, { shape, data }]: [string, Entry]): [string, Entry] {
  const words = name.replace(/\b(down|up|block|attn)\.(\d+)/g, "$1_$2").replace(
    /^temb\.dense\.(\d)/,
    "temb.dense$1",
  ).replaceAll(".", "/");
  if (shape.length === 1) {
    const isNorm = /\/norm\d?\/|^norm_out\//.test(words);
    const leaf = words.endsWith("weight") ? "gamma" : isNorm ? "beta" : "b";
    return [words.replace(/(weight|bias)$/, leaf), { shape, data }];
  }
  const [O, I, H = 1, W = 1] = shape;
  const values = new Float32Array(data.length);
  for (let h = 0; h < H; h++) {
    for (let w = 0; w < W; w++) {
      for (let i = 0; i < I; i++) {
        for (let o = 0; o < O; o++) {
          values[((h * W + w) * I + i) * O + o] = data[((o * I + i) * H + h) * W + w];
        }
      }
    }
  }
  const matrix = shape.length === 2 || H === 1;
  return [words.replace(/weight$/, "W"), {
    shape: matrix ? [I, O] : [H, W, I, O],
    data: values,
  }];
}

const tensorflowVariables = () => [...stateDict()].map(tensorflowEntry);

Deno.test("a state dict of ermongroup/ddim gives the network, and its golden output", () => {
  const { unet, parameters } = read(stateDict());
  assertEquals(unet.blockOutChannels, [32, 64]);
  const wide = new Map([...parameters].map(([name, tensor]) => [name, inDouble(tensor)]));
  const x = inDouble(goldenTensor(golden, "input/x"));
  const t = [...goldenTensor(golden, "input/t").data];
  const { output } = unetForward(unet, wide, x, t);
  // The golden data's own noise is below 1e−13·(1 + |value|) (see their README).
  goldenTensor(golden, "expected/out").data.forEach((value, i) =>
    assertLess(Math.abs(output.data[i] - value), 1e-13 * (1 + Math.abs(value)))
  );
});

Deno.test("the module. of DataParallel is passed over", () => {
  const plain = read(stateDict());
  assertEquals(read([...stateDict()].map(([name, entry]) => [`module.${name}`, entry])), plain);
});

Deno.test("TensorFlow variables of the same weights give the same network and parameters", () => {
  const expected = read(stateDict());
  assertEquals(read(tensorflowVariables()), expected);
  const scoped = tensorflowVariables().map(([name, entry]): [string, Entry] => [
    `model/${name}:0`,
    entry,
  ]);
  assertEquals(read(scoped), expected);
});

Deno.test("of TensorFlow variables the averaged ones are taken, and slots and counters passed over", () => {
  const expected = read(stateDict()).parameters;
  const scalar: Entry = { shape: [], data: [3] };
  const entries = tensorflowVariables().flatMap(([name, entry]): [string, Entry][] => {
    const other = { shape: entry.shape, data: Array.from(entry.data, (v) => v + 1) };
    return [
      [`model/${name}`, other],
      [`model/${name}/Adam`, other],
      [`model/${name}/Adam_1`, other],
      [`model/${name}/ExponentialMovingAverage`, entry],
    ];
  });
  const { parameters, raw } = read([
    ...entries,
    ["global_step", { ...scalar, dtype: "I64" }],
    ["beta1_power", scalar],
    ["model/beta2_power", scalar],
  ]);
  assertEquals(parameters, expected);
  const [name, { data }] = [...expected][0];
  assertEquals(raw?.get(name)?.data, data.map((v) => v + 1));
});

Deno.test("attention, levels and blocks are told from the names", () => {
  const { unet } = read(stateDict(), null);
  assertEquals(unet.downBlockTypes, ["DownBlock2D", "AttnDownBlock2D"]);
  assertEquals(unet.upBlockTypes, ["AttnUpBlock2D", "UpBlock2D"]);
  assertEquals([unet.layersPerBlock, unet.inChannels, unet.outChannels], [1, 3, 3]);
  assertEquals([unet.sampleSize, unet.freqShift, unet.downsamplePadding], [null, 1, 0]);
});

const BROKEN: [what: string, change: (dict: Map<string, Entry>) => void, message: string][] = [
  [
    "a missing tensor",
    (dict) => dict.delete("mid.attn_1.q.bias"),
    'in the file but it misses "mid.attn_1.q.bias"',
  ],
  [
    "a stranger",
    (dict) => dict.set("label_emb.weight", { shape: [1], data: [0] }),
    'in the file but it also holds "label_emb.weight"',
  ],
  [
    "many missing",
    (dict) => [...dict.keys()].filter((k) => k.startsWith("up.0")).forEach((k) => dict.delete(k)),
    "and 21 more",
  ],
  [
    "a shape",
    (dict) => dict.set("mid.attn_1.q.weight", { shape: [64, 64], data: new Float32Array(4096) }),
    "Expected mid.attn_1.q.weight of shape [64, 64, 1, 1] in the file but got [64, 64]",
  ],
  [
    "whole numbers",
    (dict) => dict.set("norm_out.bias", { shape: [32], data: new Float32Array(32), dtype: "I64" }),
    "Expected norm_out.bias in the file to be of F64, F32, F16, BF16 but got I64",
  ],
  [
    "no first convolution",
    (dict) => dict.delete("conv_in.weight"),
    "Expected a convolution conv_in.weight in the file but got none",
  ],
  [
    "groups that do not divide",
    (dict) => {
      dict.set("conv_in.weight", { shape: [30, 3, 3, 3], data: new Float32Array(810) });
      dict.set("down.0.block.0.conv1.weight", {
        shape: [30, 30, 3, 3],
        data: new Float32Array(8100),
      });
    },
    "Expected the weights of a DDPM U-Net in the file. Expected the number of channels",
  ],
];

for (const [what, change, message] of BROKEN) {
  Deno.test(`a state dict that is no DDPM U-Net is refused in one sentence: ${what}`, () => {
    const dict = stateDict();
    change(dict);
    const error = assertThrows(() => read(dict), FormatError);
    assertStringIncludes(error.message, message);
  });
}

Deno.test("variables of two models are refused", () => {
  const [first, ...rest] = tensorflowVariables();
  const entries: [string, Entry][] = [[`other/${first[0]}`, first[1]], ...rest];
  const error = assertThrows(() => read(entries), FormatError);
  assertStringIncludes(error.message, "Expected the variables of one model in the file");
});
