/**
 * U-Nets with golden outputs and gradients of the public PyTorch code, run in double.
 *
 * @module
 */
import { ulp32 } from "../../src/math/float32.ts";
import type { Tensor } from "../../src/math/tensor.ts";
import {
  type UNetConfig,
  unetConfig,
  unetConfigFromDiffusers,
} from "../../src/spec/unet_config.ts";
import { type Parameters, unetParameters } from "../../src/spec/unet_parameters.ts";
import { ddimName, diffusersName } from "./ddim_names.ts";
import { allInDouble, inDouble } from "./doubles.ts";
import { goldenTensor, readSafetensors } from "./safetensors.ts";

/** A network, its input, and what is known of its results. */
export interface GoldenUnet {
  readonly config: UNetConfig;
  readonly parameters: Parameters;
  readonly x: Tensor;
  readonly timesteps: readonly number[];
  readonly target: Tensor;
  readonly output: Tensor;
  readonly gradX: Tensor;
  readonly loss: number;
  /** Known entries of each gradient by diffusers' name: flat index, value, and half the last digit that is given. */
  readonly gradients: ReadonlyMap<string, readonly Entry[]>;
}
/** One entry of a result. */
export interface Entry {
  readonly index: number;
  readonly value: number;
  readonly given: number;
}

/** The architecture of the ermongroup/ddim cases. */
const DDIM_TINY = unetConfig({
  sampleSize: 16,
  freqShift: 1,
  flipSinToCos: false,
  downBlockTypes: ["DownBlock2D", "AttnDownBlock2D"],
  upBlockTypes: ["AttnUpBlock2D", "UpBlock2D"],
  blockOutChannels: [32, 64],
  layersPerBlock: 1,
  downsamplePadding: 0,
  attentionHeadDim: null,
  normEps: 1e-6,
});

/** Names and shapes of the original code to diffusers': its 1×1 convolutions in attention are linear layers. */
function renamed(file: ReadonlyMap<string, Tensor>): Map<string, Tensor> {
  const shapes = new Map(unetParameters(DDIM_TINY).map(({ name, shape }) => [name, shape]));
  return new Map([...file].map(([key, { data }]) => {
    const name = diffusersName(key, 2);
    return [name, { shape: shapes.get(name) ?? [], data }];
  }));
}

/** Every entry of a float32 gradient; it was rounded from double, so half a unit in the last place is lost. */
function allEntries(gradient: Tensor): Entry[] {
  return Array.from(gradient.data, (value, index) => ({ index, value, given: ulp32(value) / 2 }));
}

/** The entries that JSON gives, in double. */
function someEntries({ index, value }: { index: number[]; value: number[] }): Entry[] {
  return index.map((at, i) => ({ index: at, value: value[i], given: 0 }));
}

function readJson(name: string) {
  return JSON.parse(Deno.readTextFileSync(new URL(`../golden/${name}`, import.meta.url)));
}

function ddimTiny(): GoldenUnet {
  const file = readSafetensors("unet_ddim_tiny.safetensors");
  const group = (prefix: string): Map<string, Tensor> =>
    new Map(
      [...file.tensors.keys()].filter((key) => key.startsWith(prefix)).map((key) => [
        key.slice(prefix.length),
        goldenTensor(file, key),
      ]),
    );
  return {
    config: DDIM_TINY,
    parameters: renamed(group("param/")),
    x: goldenTensor(file, "input/x"),
    timesteps: [...goldenTensor(file, "input/t").data],
    target: goldenTensor(file, "input/target"),
    output: goldenTensor(file, "expected/out"),
    gradX: goldenTensor(file, "expected/grad_x"),
    loss: Number(file.metadata.loss_f64),
    gradients: new Map([...renamed(group("grad/"))].map(([k, g]) => [k, allEntries(g)])),
  };
}

/** u(name, ·) of the golden README: a hash of the tensor's name and the index, in [−1, 1). */
function formula(name: string): (i: number) => number {
  let h = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) h = Math.imul(h ^ byte, 0x01000193) >>> 0;
  return (i) => {
    let x = (h + i) >>> 0;
    x = Math.imul(x, 0x9e3779b1) >>> 0;
    x = (x ^ (x >>> 16)) >>> 0;
    x = Math.imul(x, 0x85ebca6b) >>> 0;
    x = (x ^ (x >>> 13)) >>> 0;
    x = Math.imul(x, 0xc2b2ae35) >>> 0;
    x = (x ^ (x >>> 16)) >>> 0;
    return x / 2 ** 31 - 1;
  };
}

function formulaTensor(name: string, shape: readonly number[], scale: number, offset = 0): Tensor {
  const size = shape.reduce((a, b) => a * b, 1);
  const u = formula(name);
  return { shape, data: Float32Array.from({ length: size }, (_, i) => offset + scale * u(i)) };
}

/** x, or the target of the loss, by the formula of the golden README. */
export function formulaImages(name: "input.x" | "input.target", shape: readonly number[]): Tensor {
  return formulaTensor(name, shape, 1.7);
}

/** Weights by the formula of the golden README, from the original code's names. */
export function formulaParameters(config: UNetConfig): Parameters {
  return new Map(
    unetParameters(config).map(({ name, shape }) => {
      const fanIn = shape.slice(1).reduce((a, b) => a * b, 1);
      const original = ddimName(name, config.blockOutChannels.length);
      const value = shape.length >= 2
        ? formulaTensor(original, shape, Math.sqrt(3 / fanIn))
        : formulaTensor(original, shape, 0.1, name.endsWith("weight") ? 1 : 0);
      return [name, value];
    }),
  );
}

function ddimFormula(): GoldenUnet {
  const [known] = readJson("unet_ddim_formula.json").cases;
  const file = readSafetensors("unet_ddim_formula.safetensors");
  const shape = [2, 3, 16, 16];
  return {
    config: DDIM_TINY,
    parameters: formulaParameters(DDIM_TINY),
    x: formulaImages("input.x", shape),
    timesteps: known.t,
    target: formulaImages("input.target", shape),
    output: goldenTensor(file, "tiny_formula/out"),
    gradX: goldenTensor(file, "tiny_formula/grad_x"),
    loss: known.loss,
    gradients: new Map(
      Object.entries<{ index: number[]; value: number[] }>(known.grads).map(([name, g]) => [
        diffusersName(name, 2),
        someEntries(g),
      ]),
    ),
  };
}

function diffusersTiny(): GoldenUnet {
  const folder = "diffusers_unet_tiny";
  const weights = readSafetensors(`${folder}/diffusion_pytorch_model.safetensors`);
  const io = readSafetensors(`${folder}/io.safetensors`);
  const known = readJson(`${folder}/expected.json`);
  return {
    config: unetConfigFromDiffusers(readJson(`${folder}/config.json`)),
    parameters: new Map([...weights.tensors.keys()].map((k) => [k, goldenTensor(weights, k)])),
    x: goldenTensor(io, "x"),
    timesteps: [...goldenTensor(io, "t").data],
    target: goldenTensor(io, "target"),
    output: goldenTensor(io, "out"),
    gradX: goldenTensor(io, "grad_x"),
    loss: known.loss,
    gradients: new Map(
      Object.entries<{ index: number[]; value: number[] }>(known.grads_keyed_by_modern_names).map((
        [name, g],
      ) => [name, someEntries(g)]),
    ),
  };
}

/** Every number of a case in double. */
export function widened(golden: GoldenUnet): GoldenUnet {
  const { parameters, x, target } = golden;
  return {
    ...golden,
    parameters: allInDouble(parameters),
    x: inDouble(x),
    target: inDouble(target),
  };
}

/** All entries that are known, by name of the result: `output`, `grad_x` and each parameter. */
export function knownEntries(golden: GoldenUnet): Map<string, readonly Entry[]> {
  const exact = Array.from(golden.output.data, (value, index) => ({ index, value, given: 0 }));
  return new Map([
    ["output", exact],
    ["grad_x", allEntries(golden.gradX)],
    ...golden.gradients,
  ]);
}

/** The cases by title. */
export const GOLDEN_UNETS: readonly (readonly [title: string, read: () => GoldenUnet])[] = [
  ["the seeded ermongroup/ddim U-Net", ddimTiny],
  ["the ermongroup/ddim U-Net with weights from a formula", ddimFormula],
  ["the diffusers UNet2DModel", diffusersTiny],
];
