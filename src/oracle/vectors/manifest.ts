/**
 * The manifest of a folder of vectors: what it holds, made by whom, with the checksum of every file.
 *
 * @module
 */
import { FormatError } from "../../spec/format_error.ts";
import { isObject } from "../fields.ts";
import { ops as OPS } from "../ops/mod.ts";

/** Version of the layout. */
export const FORMAT = 1;
/** Name of the manifest. */
export const MANIFEST = "manifest.json";
/** Name of the file of tensors. */
export const TENSORS = "tensors.safetensors";

/** One file of a folder of vectors. */
export interface ManifestFile {
  /** Its name in the folder. */
  readonly path: string;
  /** SHA-256 of its bytes, in lower-case hexadecimal. */
  readonly sha256: string;
  /** Its length. */
  readonly bytes: number;
  /** The operation whose requests it holds; absent for the tensors. */
  readonly op?: string;
  /** How many requests, or tensors, it holds. */
  readonly count: number;
  /** The computation whose rounding errors make the bound; null where none is derived. */
  readonly bound?: string | null;
}

/** What a folder of vectors holds. */
export interface Manifest {
  /** {@linkcode FORMAT}. */
  readonly format: number;
  /** Version of the protocol that the requests are of. */
  readonly protocol: number;
  /** The package that made them. */
  readonly package: string;
  /** Its version. */
  readonly version: string;
  /** Seed of the draws. */
  readonly seed: number;
  /** What else the bytes depend on. */
  readonly provenance: Readonly<Record<string, string>>;
  /** Where the bounds are derived. */
  readonly bounds: string;
  /** The files, in the protocol's order. */
  readonly files: readonly ManifestFile[];
}

/** SHA-256 of bytes, in lower-case hexadecimal. */
export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

/** JSON in bytes of a file, or a sentence why it is none. @throws {FormatError} naming the file. */
export function parseFile(path: string, bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new FormatError(`Expected ${path} to be JSON but got: ${reason}`);
  }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

/** Whether an entry is one of ours: a known name, so that nothing outside the folder is ever read. */
function isFile(entry: unknown): entry is ManifestFile {
  if (!isObject(entry)) return false;
  const { path, sha256, bytes, count, op } = entry;
  const named = op === undefined
    ? path === TENSORS
    : typeof op === "string" && Object.hasOwn(OPS, op) && path === `${op}.json`;
  return named && isCount(bytes) && isCount(count) && typeof sha256 === "string" &&
    /^[0-9a-f]{64}$/.test(sha256);
}

/** Reads a manifest. @throws {FormatError} for what is none, or of another version. */
export function readManifest(bytes: Uint8Array): Manifest {
  const value = parseFile(MANIFEST, bytes);
  if (!isObject(value)) {
    throw new FormatError(`Expected ${MANIFEST} to hold an object but got another value`);
  }
  if (value.format !== FORMAT) {
    throw new FormatError(
      `Expected ${MANIFEST} of format ${FORMAT} but got ${JSON.stringify(value.format) ?? "none"}`,
    );
  }
  const { files, seed, version } = value;
  if (!isCount(seed) || typeof version !== "string" || !Array.isArray(files)) {
    throw new FormatError(`Expected seed, version and files in ${MANIFEST} but not all are there`);
  }
  const strange = files.findIndex((entry) => !isFile(entry));
  if (strange >= 0) {
    throw new FormatError(
      `Expected path, sha256, bytes, count and a known op in files[${strange}] of ${MANIFEST} ` +
        "but got another entry",
    );
  }
  const paths = files.map(({ path }) => path);
  const twice = paths.find((path, i) => paths.indexOf(path) < i);
  if (twice !== undefined) {
    throw new FormatError(`Expected every file once in ${MANIFEST} but ${twice} is there twice`);
  }
  return value as unknown as Manifest;
}
