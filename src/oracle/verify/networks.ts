/**
 * Networks of drawn requests: their weights follow from the number in the file's name and the config, so
 * that a request repeats without its files.
 *
 * @module
 */
import { normalDoubles } from "../../math/noise.ts";
import { sizeOf, type Tensor, tensor } from "../../math/tensor.ts";
import { decodeSafetensors, encodeSafetensors, storedTensor } from "../../spec/safetensors.ts";
import { unetConfigFromDiffusers } from "../../spec/unet_config.ts";
import { unetParameters } from "../../spec/unet_parameters.ts";
import { BrokenError } from "./candidate.ts";
import type { Request } from "./draw/parts.ts";

/** Where a candidate finds weights and leaves gradients. */
export interface Files {
  /** The folder for both, without a slash at its end. */
  readonly folder: string;
  /** The content of a file. @throws if there is none. */
  readonly readFile: (path: string) => Uint8Array;
  /** Replaces a file's content. */
  readonly writeFile: (path: string, content: Uint8Array) => void;
}

/** Name of the weights that number `seed` gives. */
export function weightsName(seed: number): string {
  return `network-${seed}.safetensors`;
}

/** Name of the file for output and gradients. */
export const OUT_NAME = "gradients.safetensors";

/** The number in a path of drawn weights, or null for another path. */
function seedOf(path: unknown): number | null {
  const found = /(?:^|[/\\])network-(\d{1,15})\.safetensors$/.exec(String(path));
  return found === null ? null : Number(found[1]);
}

/** In one of so many networks the first convolution is small, */
const SMALL_OF = 3;
/** by this factor: beside its variances ε shows. */
const SMALL = 1 / 50;

/**
 * Weights that keep activations near 1, none of them zero or one: in a new network, whose last
 * convolutions are zero, nothing before them would show.
 */
function drawnWeights(config: unknown, seed: number): ReadonlyMap<string, Tensor> {
  const small = seed % SMALL_OF === SMALL_OF - 1;
  return new Map(
    unetParameters(unetConfigFromDiffusers(config)).map(({ name, shape, initialiser }, k) => {
      const fanIn = sizeOf(shape.slice(1));
      const scale = (shape.length > 1 ? 1 / Math.sqrt(fanIn) : 0.25) *
        (small && name.startsWith("conv_in.") ? SMALL : 1);
      const start = initialiser === "ones" ? 1 : 0;
      const normals = normalDoubles(seed, k, 0, sizeOf(shape));
      return [name, tensor(shape, normals.map((z) => start + scale * z))];
    }),
  );
}

/** The latest file: one request asks for its weights several times. */
let latest: { readonly key: string; readonly file: Uint8Array } | null = null;

function drawnFile(config: unknown, seed: number): Uint8Array {
  const key = `${seed} ${JSON.stringify(config)}`;
  if (latest?.key !== key) latest = { key, file: encodeSafetensors(drawnWeights(config, seed)) };
  return latest.file;
}

/** The file of a request's weights: drawn, or by `readFile` if the request names another. */
export function weightsOf(request: Request, readFile: (path: string) => Uint8Array): Uint8Array {
  const seed = seedOf(request.weights);
  return seed === null ? readFile(String(request.weights)) : drawnFile(request.config, seed);
}

/** Tensors of a file by name. */
export function tensorsOf(bytes: Uint8Array): Readonly<Record<string, Tensor>> {
  const { tensors } = decodeSafetensors(bytes);
  return Object.fromEntries([...tensors].map(([name, stored]) => [name, storedTensor(stored)]));
}

function asksForFile(request: Request): boolean {
  return request.out !== undefined && request.out !== null;
}

/** A request of `unet` as it is sent, its files being there. */
export function placed(request: Request, { folder, writeFile }: Files): Request {
  const seed = seedOf(request.weights);
  const weights = seed === null ? request.weights : `${folder}/${weightsName(seed)}`;
  if (seed !== null) {
    writeFile(String(weights), drawnFile(request.config, seed));
  }
  if (!asksForFile(request)) return { ...request, weights };
  const out = `${folder}/${OUT_NAME}`;
  // What another answer left there is none to this request.
  writeFile(out, new Uint8Array());
  return { ...request, weights, out };
}

/** A result with the tensors that were written to `out`. @throws {BrokenError} if they cannot be read. */
export function withWritten(result: unknown, sent: Request, { readFile }: Files): unknown {
  if (!asksForFile(sent)) return result;
  try {
    const tensors = Object.entries(tensorsOf(readFile(String(sent.out))));
    const out = tensors.map(([name, { shape, data }]) => [name, { shape, data: Array.from(data) }]);
    return { ...(result as object), out: Object.fromEntries(out) };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new BrokenError(`Expected tensors in the file out but got: ${reason}`);
  }
}
