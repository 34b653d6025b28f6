/**
 * Variant tables as JSON, for files and checkpoints.
 *
 * @module
 */
import { checkInteger, unexpected } from "../math/errors.ts";
import type { AdapterClass } from "./device.ts";
import type { GemmVariant } from "./kernels/gemm.ts";
import type { RegisterTile } from "./kernels/gemm_register.ts";
import type { Variant } from "./kernels/layout.ts";
import {
  type ConvAlgorithm,
  convCandidates,
  convKey,
  type ConvLayer,
  type Variants,
  type WeightPrecision,
} from "./variants.ts";

/** A table with the adapter that it was measured on. */
export interface VariantTable {
  /** The adapter's description. */
  readonly adapter: string;
  /** Its class, for which the table is meant. */
  readonly adapterClass: AdapterClass;
  /** Which kernel computes what. */
  readonly variants: Variants;
}

const FORMAT = "ddpm-variants/1";
const FIELDS = ["format", "adapter", "adapterClass", "gemm", "other", "convolutions", "weights"];
const CLASSES: readonly AdapterClass[] = ["software", "integrated", "discrete"];
const PRECISIONS: readonly WeightPrecision[] = ["f32", "f16"];
const OTHERS: readonly Variant[] = ["naive", "lanes", "workgroup", "subgroups"];
const KEY = /^conv(\d+)x\1\/(\d+) (\d+)->(\d+) @(\d+)x(\d+)$/;
/** Largest tile side: beyond it a shader would not compile within minutes. */
const MAX_TILE = 64;
/** Most elements of a row that a tile may keep, for the same reason. */
const MAX_KEEP = 512;

/** The layer of a key as {@linkcode convKey} writes it. @throws {ArgumentError} if it is none. */
export function parseConvKey(key: string): ConvLayer {
  const match = KEY.exec(key);
  if (match !== null) {
    const [kernel, stride, C, O, H, W] = match.slice(1).map(Number);
    const layer = { kernel, stride, C, O, H, W };
    // Zeros, and numbers with zeros in front, are in no key.
    if (convKey(layer) === key && Math.min(kernel, stride, C, O, H, W) > 0) return layer;
  }
  return unexpected("a convolution like conv3x3/1 128->128 @32x32", key);
}

/** A table as the object that its JSON holds. */
export function variantTableToJson(table: VariantTable): Record<string, unknown> {
  const { adapter, adapterClass, variants } = table;
  return { format: FORMAT, adapter, adapterClass, ...variants };
}

/**
 * Reads a table.
 *
 * @param json as `JSON.parse` returns it.
 * @throws {ArgumentError} naming the first field that is unknown or whose value cannot be.
 */
export function variantTableFromJson(json: unknown): VariantTable {
  const source = record("a variant table", json);
  if (source.format !== FORMAT) unexpected(`format "${FORMAT}" of a variant table`, source.format);
  checkFields("a variant table", source, FIELDS);
  const { adapter, adapterClass, gemm, other, convolutions, weights } = source;
  return {
    adapter: typeof adapter === "string" ? adapter : unexpected("text for adapter", adapter),
    adapterClass: oneOf("adapterClass", CLASSES, adapterClass),
    variants: {
      gemm: readGemm(gemm),
      other: oneOf("other", OTHERS, other),
      convolutions: readConvolutions(convolutions),
      ...weights !== undefined && { weights: oneOf("weights", PRECISIONS, weights) },
    },
  };
}

function readGemm(json: unknown): GemmVariant {
  const gemm = record("gemm", json);
  const kind = oneOf("gemm.kind", ["naive", "register", "workgroup"], gemm.kind);
  checkFields("gemm", gemm, kind === "naive" ? ["kind"] : ["kind", "tiles"]);
  if (kind === "naive") return { kind };
  if (kind === "workgroup") {
    return { kind, tiles: readTiles(gemm.tiles, { V: 4, T: 4 }, ["V", "T"]) };
  }
  const tiles = readTiles(gemm.tiles, { V: 4, T: 1 }, ["V", "T", "keep"]);
  // Tiles that keep rows cannot compute every product.
  return tiles.some(({ keep }) => keep === undefined)
    ? { kind, tiles }
    : unexpected("a tile of gemm without keep", gemm.tiles);
}

/** Tiles whose sides are multiples of those given. */
function readTiles(
  json: unknown,
  multiples: Pick<RegisterTile, "V" | "T">,
  fields: readonly string[],
): RegisterTile[] {
  if (!Array.isArray(json) || json.length === 0) unexpected("tiles for gemm", json);
  return (json as readonly unknown[]).map((value) => {
    const tile = record("every tile of gemm", value);
    checkFields("a tile of gemm", tile, fields);
    const side = (name: "V" | "T"): number => {
      const size = checkInteger(`${name} of a tile`, tile[name], multiples[name], MAX_TILE);
      return size % multiples[name] === 0
        ? size
        : unexpected(`${name} of a tile to be a multiple of ${multiples[name]}`, size);
    };
    const sides = { V: side("V"), T: side("T") };
    if (tile.keep === undefined) return sides;
    return { ...sides, keep: checkInteger("keep of a tile", tile.keep, 1, MAX_KEEP) };
  });
}

function readConvolutions(json: unknown): Record<string, ConvAlgorithm> {
  const entries = Object.entries(record("convolutions", json));
  return Object.fromEntries(
    entries.map(([key, value]) => [key, oneOf(key, convCandidates(parseConvKey(key)), value)]),
  );
}

function record(what: string, json: unknown): Readonly<Record<string, unknown>> {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    unexpected(`an object for ${what}`, json);
  }
  return json as Readonly<Record<string, unknown>>;
}

function checkFields(
  what: string,
  source: Readonly<Record<string, unknown>>,
  known: readonly string[],
): void {
  const stranger = Object.keys(source).find((key) => !known.includes(key));
  if (stranger !== undefined) unexpected(`a field of ${what}`, stranger);
}

function oneOf<T extends string>(what: string, values: readonly T[], value: unknown): T {
  return values.find((v) => v === value) ??
    unexpected(`${values.join(" or ")} for ${what}`, value);
}
