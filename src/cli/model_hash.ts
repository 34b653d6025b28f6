/**
 * Which weights samples are of.
 *
 * @module
 */
import type { Parameters } from "../spec/unet_parameters.ts";

/** SHA-256 of weights: of their names, each with the SHA-256 of its values, in order. */
export async function modelHash(parameters: Parameters): Promise<string> {
  const lines: string[] = [];
  for (const [name, { data }] of parameters) lines.push(`${name} ${await sha256(data.slice())}\n`);
  return await sha256(new TextEncoder().encode(lines.join("")));
}

async function sha256(bytes: ArrayBufferView<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}
