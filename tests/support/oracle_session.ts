import { createOracle, type Host, type Oracle } from "../../src/oracle/mod.ts";
import { encodeSafetensors } from "../../src/spec/safetensors.ts";
import { unetConfigFromDiffusers } from "../../src/spec/unet_config.ts";
import { initialParameters } from "../../src/spec/unet_parameters.ts";

/** An answer of the oracle, parsed. */
export interface Answer {
  readonly id: unknown;
  readonly ok: boolean;
  readonly result?: Record<string, unknown>;
  readonly error?: { readonly code: string; readonly message: string };
}

/** Fields of the config of the smallest U-Net there is. */
export const TINY_UNET = {
  in_channels: 1,
  out_channels: 1,
  block_out_channels: [2],
  down_block_types: ["DownBlock2D"],
  up_block_types: ["UpBlock2D"],
  layers_per_block: 1,
  norm_num_groups: 1,
  add_attention: false,
};

/** An oracle whose files are in memory, the weights of a new {@linkcode TINY_UNET} among them. */
export function oracleInMemory(): {
  readonly oracle: Oracle;
  readonly files: Map<string, Uint8Array>;
} {
  const fresh = initialParameters(unetConfigFromDiffusers(TINY_UNET), 0);
  const files = new Map<string, Uint8Array>([["fresh.safetensors", encodeSafetensors(fresh)]]);
  const host: Host = {
    version: "0.1.0",
    readFile: (path) => {
      const file = files.get(path);
      if (file === undefined) throw new Error("no such file");
      return file;
    },
    writeFile: (path, content) => {
      if (path.startsWith("/forbidden")) throw new Error("permission denied");
      files.set(path, content);
    },
  };
  return { oracle: createOracle(host), files };
}

/** Asks an oracle, and parses its answer. */
export function ask(oracle: Oracle, request: unknown): Answer {
  return JSON.parse(oracle.answer(JSON.stringify(request)));
}
