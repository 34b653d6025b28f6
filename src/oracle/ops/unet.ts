/**
 * The whole network, forward and, given a target, backward.
 *
 * @module
 */
import { ArgumentError } from "../../math/errors.ts";
import { checkShape, type Tensor, tensor } from "../../math/tensor.ts";
import { unet, unetBackward, unetForward, type UNetOptions } from "../../reference/unet.ts";
import { storedTensor } from "../../spec/safetensors.ts";
import { type UNetConfig, unetConfigFromDiffusers } from "../../spec/unet_config.ts";
import { type AttentionModule, unetModules } from "../../spec/unet_modules.ts";
import { type Parameters, unetParameters } from "../../spec/unet_parameters.ts";
import { OracleError } from "../error.ts";
import {
  type Fields,
  isObject,
  nameOf,
  numberOrNumbersField,
  numbersField,
  objectField,
  stringField,
  valueOf,
} from "../fields.ts";
import { readSafetensors, writeSafetensors } from "../host.ts";
import { checkFiniteTensor, type Result } from "../result.ts";
import { checkResultSize, optionalTensorField, tensorField } from "../tensors.ts";

/** What diffusers' `UNet2DModel` knows and the reference has no network for. */
const UNSUPPORTED: Readonly<Record<string, readonly string[]>> = {
  time_embedding_type: ["fourier", "learned"],
  act_fn: ["gelu", "mish", "relu"],
  down_block_types: ["SkipDownBlock2D", "AttnSkipDownBlock2D", "KDownBlock2D"],
  up_block_types: ["SkipUpBlock2D", "AttnSkipUpBlock2D", "KUpBlock2D"],
  resnet_time_scale_shift: ["ada_group", "spatial"],
};
/** Most residual blocks that a config may ask for. */
const MAX_BLOCKS = 1000;

function checkSupported(request: Fields, config: Fields): void {
  for (const [key, values] of Object.entries(UNSUPPORTED)) {
    const found = [valueOf(config, key)].flat().find((v) => values.some((known) => known === v));
    if (found !== undefined) {
      throw new OracleError(
        "unsupported",
        `Expected ${nameOf(config, key)} that the reference has but got ${JSON.stringify(found)}`,
      );
    }
  }
  if (valueOf(request, "context") !== undefined) {
    throw new OracleError(
      "unsupported",
      "Expected no context but got one: there is no cross-attention",
    );
  }
}

function configField(request: Fields): UNetConfig {
  const fields = objectField(request, "config");
  checkSupported(request, fields);
  const config = unetConfigFromDiffusers(fields.values);
  const blocks = config.blockOutChannels.length * (config.layersPerBlock + 1);
  if (blocks > MAX_BLOCKS) {
    throw new ArgumentError(`Expected at most ${MAX_BLOCKS} residual blocks but got ${blocks}`);
  }
  return config;
}

/** A parameter's name today for the one that diffusers gave attention layers until 0.14. */
function currentName(name: string): string {
  return name.replace(/\.(query|key|value|proj_attn)\.(weight|bias)$/, (_, layer, kind) => {
    const now = { query: "to_q", key: "to_k", value: "to_v", proj_attn: "to_out.0" };
    return `.${now[layer as keyof typeof now]}.${kind}`;
  });
}

/** The config's parameters out of the file `weights`; what else it holds is ignored. */
function weightsField(request: Fields, config: UNetConfig): Parameters {
  const file = readSafetensors(request.context.host, stringField(request, "weights"));
  const stored = new Map([...file.tensors].map(([name, t]) => [currentName(name), t]));
  return new Map(
    unetParameters(config).map(({ name, shape }) => {
      const found = stored.get(name);
      if (found === undefined) {
        throw new ArgumentError(`Expected a parameter ${name} in weights but got none`);
      }
      const parameter = storedTensor(found);
      checkShape(name, parameter, shape);
      checkFiniteTensor(parameter, name);
      return [name, parameter];
    }),
  );
}

/** Class numbers, or vectors where the config takes those. */
function classLabelsField(request: Fields): UNetOptions["classLabels"] {
  const value = valueOf(request, "classLabels");
  if (value === undefined) return undefined;
  return isObject(value)
    ? tensorField(request, "classLabels")
    : numbersField(request, "classLabels");
}

/** Checks the largest matrix of attention scores, which grows with the fourth power of the size. */
function checkAttention(config: UNetConfig, x: Tensor): void {
  const channels = config.blockOutChannels;
  const attending = unetModules(config).filter((m): m is AttentionModule => m.kind === "attention");
  for (const { name, channels: C } of attending) {
    const level = name.startsWith("down_blocks.")
      ? Number(name.split(".")[1])
      : name.startsWith("up_blocks.")
      ? channels.length - 1 - Number(name.split(".")[1])
      : channels.length - 1;
    const positions = (x.shape[2] >> level) * (x.shape[3] >> level);
    checkResultSize(`a matrix of attention scores over ${C} channels`, [positions, positions]);
  }
}

/** mean((output − target)²) and its gradient. */
export function squaredError(
  output: Tensor,
  target: Tensor,
): { readonly loss: number; readonly dOutput: Tensor } {
  checkShape("target", target, output.shape);
  const size = output.data.length;
  const error = Float64Array.from(output.data, (value, i) => value - target.data[i]);
  return {
    loss: error.reduce((sum, e) => sum + e * e, 0) / size,
    dOutput: tensor(output.shape, error.map((e) => 2 * e / size)),
  };
}

/** A network with everything that a request runs it on. */
export interface NetworkRun {
  /** What it is. */
  readonly config: UNetConfig;
  /** Its weights by today's names. */
  readonly parameters: Parameters;
  /** `[N, C, H, W]` */
  readonly x: Tensor;
  /** N times as the network gets them. */
  readonly timesteps: readonly number[];
  /** Classes. */
  readonly options: UNetOptions;
  /** What the loss compares the output with, or null. */
  readonly target: Tensor | null;
  /** Where tensors are written, or null. */
  readonly out: string | null;
}

/** Reads a request of `unet`. */
export function networkRun(request: Fields): NetworkRun {
  const config = configField(request);
  const x = tensorField(request, "x");
  const given = numberOrNumbersField(request, "timesteps");
  const timesteps = typeof given === "number" ? new Array(x.shape[0] ?? 1).fill(given) : given;
  const target = optionalTensorField(request, "target");
  const out = valueOf(request, "out") === undefined ? null : stringField(request, "out");
  const options = { classLabels: classLabelsField(request) };
  if (x.shape.length === 4) checkAttention(config, x);
  const parameters = weightsField(request, config);
  return { config, parameters, x, timesteps, options, target, out };
}

/** ε̂ of a network; with `target` its loss, and with `out` a file of the output and all gradients. */
export function unetOp(request: Fields): Result {
  const { config, parameters, x, timesteps, options, target, out } = networkRun(request);
  if (target === null || out === null) {
    const output = unet(config, parameters, x, timesteps, options);
    if (out !== null) write(request, out, new Map([["output", output]]));
    return target === null ? { output } : { output, loss: squaredError(output, target).loss };
  }
  const { output, tape } = unetForward(config, parameters, x, timesteps, options);
  const { loss, dOutput } = squaredError(output, target);
  const { dX, gradients } = unetBackward(tape, dOutput);
  const named = [...gradients].map(([name, g]): [string, Tensor] => [`grad.${name}`, g]);
  write(request, out, new Map([["output", output], ["grad.x", dX], ...named]));
  return { output, loss };
}

function write(request: Fields, path: string, tensors: ReadonlyMap<string, Tensor>): void {
  for (const [name, t] of tensors) checkFiniteTensor(t, name);
  writeSafetensors(request.context.host, path, tensors);
}
