import { ArgumentError } from "../math/errors.ts";
import { decodeSafetensors, encodeSafetensors, type Safetensors } from "../spec/safetensors.ts";
import type { Tensor } from "../math/tensor.ts";

/** What the oracle needs from outside: it reads and writes nothing itself. */
export interface Host {
  /** Version that `hello` reports. */
  readonly version: string;
  /** The content of a file. Whatever it throws is reported as an argument error. */
  readonly readFile: (path: string) => Uint8Array;
  /** Replaces a file's content in one step. Whatever it throws is reported as an argument error. */
  readonly writeFile: (path: string, content: Uint8Array) => void;
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The safetensors file at `path`. @throws {ArgumentError} if there is none. */
export function readSafetensors(host: Host, path: string): Safetensors {
  let bytes: Uint8Array;
  try {
    bytes = host.readFile(path);
  } catch (error) {
    throw new ArgumentError(
      `Expected a readable file at ${JSON.stringify(path)} but got: ${reason(error)}`,
    );
  }
  return decodeSafetensors(bytes);
}

/** Writes a safetensors file to `path`. @throws {ArgumentError} if that cannot be done. */
export function writeSafetensors(
  host: Host,
  path: string,
  tensors: ReadonlyMap<string, Tensor>,
): void {
  const bytes = encodeSafetensors(tensors);
  try {
    host.writeFile(path, bytes);
  } catch (error) {
    throw new ArgumentError(
      `Expected a writable file at ${JSON.stringify(path)} but got: ${reason(error)}`,
    );
  }
}
