/**
 * The weights of diffusers' `UNet2DModel`, from and to `diffusion_pytorch_model.safetensors`.
 *
 * @module
 */
import { FormatError } from "../spec/format_error.ts";
import { decodeSafetensors, encodeSafetensors, type StoredTensor } from "../spec/safetensors.ts";
import type { UNetConfig } from "../spec/unet_config.ts";
import { type Parameters, type ParameterSpec, unetParameters } from "../spec/unet_parameters.ts";
import { takeParameters } from "./take_parameters.ts";

/** What attention's layers were called before diffusers 0.15. */
const LEGACY: Readonly<Record<string, string>> = {
  query: "to_q",
  key: "to_k",
  value: "to_v",
  proj_attn: "to_out.0",
};

/**
 * The parameters in a file of weights, whatever floating-point format they are in.
 *
 * @throws {FormatError} if it is no safetensors file, or its tensors are not the network's.
 */
export function decodeDiffusersWeights(
  file: Uint8Array,
  config: UNetConfig,
  where: string,
): Parameters {
  const tensors = new Map<string, StoredTensor>();
  for (const [written, tensor] of decodeSafetensors(file).tensors) {
    const name = written.replace(
      /(attentions\.\d+)\.(query|key|value|proj_attn)\./,
      (_, module, layer) => `${module}.${LEGACY[layer]}.`,
    );
    if (tensors.has(name)) {
      throw new FormatError(`Expected one tensor ${name} in ${where} but ${written} is another`);
    }
    tensors.set(name, tensor);
  }
  const specs = specsWithin(config, tensors.size, where);
  return takeParameters(specs, tensors, (name) => ({ name, layout: "same" }), where);
}

/**
 * The parameters of a config. Every residual block has tensors of its own: a config that claims more blocks
 * than the file has tensors is refused before its list is made.
 */
function specsWithin(config: UNetConfig, tensors: number, where: string): readonly ParameterSpec[] {
  const blocks = config.layersPerBlock * config.blockOutChannels.length;
  if (blocks > tensors) {
    throw new FormatError(
      `Expected tensors for ${blocks} residual blocks in ${where} but got ${tensors} tensors`,
    );
  }
  return unetParameters(config);
}

/** The bytes of a file of weights. */
export function encodeDiffusersWeights(
  parameters: Parameters,
  dtype: "F32" | "F16",
): Uint8Array<ArrayBuffer> {
  return encodeSafetensors(parameters, { metadata: new Map([["format", "pt"]]), dtype });
}
