/**
 * Making vectors.
 *
 * @module
 */
import { unexpected } from "../../math/errors.ts";
import { encodeSafetensors } from "../../spec/safetensors.ts";
import type { Host } from "../host.ts";
import { ops as OPS } from "../ops/mod.ts";
import { createOracle, NAME, type Oracle, PROTOCOL } from "../oracle.ts";
import { BOUNDS } from "../verify/bounds/mod.ts";
import { DRAWS } from "../verify/draw/mod.ts";
import { type Fc, Parts, type Request } from "../verify/draw/parts.ts";
import { fastCheck } from "../verify/fast_check.ts";
import { FORMAT, MANIFEST, type Manifest, type ManifestFile, sha256, TENSORS } from "./manifest.ts";
import { showingAll } from "./options_of.ts";
import { lineOf, type Pair, pairsText } from "./pairs.ts";
import { SCHEDULES, scheduleTensors, unetRequests, unetTensors } from "./tensors.ts";

/** What the bytes depend on besides the seed, in words. */
export interface Provenance {
  /** Version of the package. */
  readonly version: string;
  /** What computed exp, log, sin and cos, which engines may round differently. */
  readonly runtime: string;
}

/** Which vectors to make. */
export interface VectorOptions {
  /** Operations. Default: all of the protocol. */
  readonly ops?: readonly string[];
  /** Seed of the draws. */
  readonly seed: number;
  /** Who makes them. */
  readonly provenance: Provenance;
}

/** Fewest requests drawn per combination of options, among which those that show an option are kept. */
const DRAWN = 24;
/** Fewest per operation: with one combination of options, the rest is left to chance. */
const DRAWN_PER_OP = 480;
/** How many of a combination are kept whatever they show. */
const LEAST = 2;
/** How many of an operation, which may have one combination only. */
const LEAST_PER_OP = 60;

/** The drawn requests of an operation that the reference answers, until each option was shown. */
function drawnRequests(fc: Fc, op: string, seed: number, oracle: Oracle): Request[] {
  const cells = DRAWS[op](new Parts(fc));
  const least = Math.max(LEAST, Math.ceil(LEAST_PER_OP / cells.length));
  const numRuns = Math.max(DRAWN, Math.ceil(DRAWN_PER_OP / cells.length));
  return cells.flatMap(({ requests }, k) => {
    const drawn = fc.sample(requests, { numRuns, seed: seed + 7919 * k });
    const answered = drawn.filter((request) =>
      JSON.parse(oracle.answer(JSON.stringify(request))).ok
    );
    return showingAll(answered, least);
  });
}

/** Those of some requests that differ. */
function distinct(requests: readonly Request[]): Request[] {
  return [...new Map(requests.map((request) => [JSON.stringify(request), request])).values()];
}

/** Requests by operation, those of `schedule` with the tables of every process that occurs. */
function requestsByOp(
  fc: Fc,
  ops: readonly string[],
  seed: number,
  oracle: Oracle,
): ReadonlyMap<string, readonly Request[]> {
  const all = Object.keys(OPS);
  const drawn = ops.map((op): [string, Request[]] => [
    op,
    op === "unet" ? unetRequests() : drawnRequests(fc, op, seed + 104729 * all.indexOf(op), oracle),
  ]);
  const standard = Object.values(SCHEDULES).map((schedule) => ({ op: "schedule", schedule }));
  const used = drawn.flatMap(([, requests]) => requests)
    .filter(({ schedule }) => schedule !== undefined)
    .map(({ schedule }) => ({ op: "schedule", schedule }));
  return new Map(
    drawn.map(([op, requests]) => [
      op,
      distinct(op === "schedule" ? [...standard, ...requests, ...used] : requests),
    ]),
  );
}

function tensorsFile(ops: readonly string[], seed: number): [Uint8Array<ArrayBuffer>, number] {
  const tensors = new Map([
    ...(ops.includes("schedule") ? scheduleTensors() : []),
    ...(ops.includes("unet") ? unetTensors(seed) : []),
  ]);
  return [encodeSafetensors(tensors), tensors.size];
}

/**
 * The files of a folder of vectors by name, the manifest last. The same options give the same bytes
 * with the same runtime and the same fast-check.
 *
 * @returns what `docs/vectors.md` describes: JSON and one file of tensors.
 * @throws {ArgumentError} for an operation that the protocol does not have.
 */
export async function makeVectors(
  options: VectorOptions,
): Promise<ReadonlyMap<string, Uint8Array<ArrayBuffer>>> {
  const all = Object.keys(OPS), { seed, provenance } = options;
  for (const op of options.ops ?? []) {
    if (!all.includes(op)) unexpected(`one of ${all.join(", ")}`, op);
  }
  const ops = all.filter((op) => options.ops?.includes(op) ?? true);
  const [tensors, count] = tensorsFile(ops, seed);
  const host: Host = {
    version: provenance.version,
    readFile: () => tensors,
    writeFile: () => {},
  };
  const oracle = createOracle(host);
  const fc = await fastCheck();
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  const entries: ManifestFile[] = [];
  const add = async (path: string, bytes: Uint8Array<ArrayBuffer>, what: Partial<ManifestFile>) => {
    files.set(path, bytes);
    const { count = 0, ...rest } = what;
    entries.push({ path, sha256: await sha256(bytes), bytes: bytes.length, count, ...rest });
  };
  for (const [op, requests] of requestsByOp(fc, ops, seed, oracle)) {
    const pairs = requests.map((request, i): Pair => ({
      id: i + 1,
      request,
      response: oracle.answer(lineOf(i + 1, request)),
    }));
    const bound = BOUNDS[op].formula;
    const bytes = new TextEncoder().encode(pairsText(op, bound, pairs));
    await add(`${op}.json`, bytes, { op, count: pairs.length, bound });
  }
  if (count > 0) await add(TENSORS, tensors, { count });
  const manifest: Manifest = {
    format: FORMAT,
    protocol: PROTOCOL,
    package: NAME,
    version: provenance.version,
    seed,
    provenance: { runtime: provenance.runtime, draws: `fast-check ${fc.__version}` },
    bounds: "docs/verify.md, Bounds",
    files: entries,
  };
  files.set(MANIFEST, new TextEncoder().encode(`${JSON.stringify(manifest, null, 2)}\n`));
  return files;
}
