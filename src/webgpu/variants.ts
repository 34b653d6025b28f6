/**
 * Which kernel computes what: a table per adapter class and layer configuration, never per batch, so
 * that a sample's bits depend on neither.
 *
 * @module
 */
import type { AdapterClass } from "./device.ts";
import { type GemmVariant, REGISTER, WORKGROUP } from "./kernels/gemm.ts";
import type { RegisterTile } from "./kernels/gemm_register.ts";
import type { Variant } from "./kernels/layout.ts";

/** A convolution's configuration, as the table is keyed by it. */
export interface ConvLayer {
  /** Height and width of the kernel. */
  readonly kernel: number;
  /** Input pixels from one output pixel to the next. */
  readonly stride: number;
  /** Input channels. */
  readonly C: number;
  /** Output channels. */
  readonly O: number;
  /** Height of the output. */
  readonly H: number;
  /** Width of the output. */
  readonly W: number;
}

/** How a convolution is computed. */
export type ConvAlgorithm = "winograd4" | "winograd2" | "im2col";

/** How weights that are prepared for kernels are kept. */
export type WeightPrecision = "f32" | "f16";

/** Which kernel computes what. */
export interface Variants {
  /** Matrix products. */
  readonly gemm: GemmVariant;
  /** Everything else. */
  readonly other: Variant;
  /** Convolutions by layer; where a layer has no entry, a rule of the adapter class decides. */
  readonly convolutions: Readonly<Record<string, ConvAlgorithm>>;
  /**
   * How inference keeps transformed weights: as float16 in half the memory, where the adapter has
   * `shader-f16`; sums are float32 either way. Default `f32`.
   */
  readonly weights?: WeightPrecision;
}

/** The key of a layer in a table. */
export function convKey({ kernel, stride, C, O, H, W }: ConvLayer): string {
  return `conv${kernel}x${kernel}/${stride} ${C}->${O} @${H}x${W}`;
}

/** Algorithms that can compute a layer at all. */
export function convCandidates({ kernel, stride }: ConvLayer): readonly ConvAlgorithm[] {
  return kernel === 3 && stride === 1 ? ["winograd4", "winograd2", "im2col"] : ["im2col"];
}

/** Input channels below which a product over the taps is cheaper than transforms that few outputs share. */
const FEW_CHANNELS = 8;

/** Output positions from which F(4x4) is ahead of F(2x2): a single tile per image gives products few columns. */
const MANY_POSITIONS = 32;

/** The algorithm for a layer: the table's, or by rule (docs/performance.md has the measurements). */
export function convAlgorithm(variants: Variants, layer: ConvLayer): ConvAlgorithm {
  const tabled = variants.convolutions[convKey(layer)];
  if (tabled !== undefined) return tabled;
  const { kernel, stride, C, H, W } = layer;
  if (kernel !== 3 || stride !== 1 || C < FEW_CHANNELS) return "im2col";
  return H * W >= MANY_POSITIONS ? "winograd4" : "winograd2";
}

/** A product's variant in words, for tables. */
export function gemmName(gemm: GemmVariant): string {
  if (gemm.kind === "naive") return gemm.kind;
  const tiles: readonly RegisterTile[] = gemm.tiles;
  return `${gemm.kind} ${
    tiles.map(({ V, T, keep }) => `${V}x${T}${keep === undefined ? "" : `keep${keep}`}`).join(" ")
  }`;
}

/** Variants of products that are worth measuring on an adapter. */
export function gemmCandidates(adapterClass: AdapterClass): readonly GemmVariant[] {
  const small = [{ V: 8, T: 4 }, { V: 4, T: 4 }];
  // Sharing through workgroup memory is hopeless where that memory is no faster than any other.
  if (adapterClass === "software") {
    return [
      REGISTER,
      {
        kind: "register",
        tiles: [{ V: 16, T: 16 }, { V: 8, T: 16 }, { V: 16, T: 4 }, { V: 4, T: 4 }],
      },
      { kind: "register", tiles: [{ V: 16, T: 16 }, { V: 16, T: 4 }, { V: 4, T: 4 }] },
      { kind: "register", tiles: [{ V: 8, T: 16 }, ...small] },
      { kind: "register", tiles: [{ V: 8, T: 8 }, ...small] },
      { kind: "register", tiles: [{ V: 4, T: 4 }] },
    ];
  }
  return [
    WORKGROUP,
    { kind: "workgroup", tiles: [{ V: 8, T: 4 }, { V: 4, T: 4 }] },
    { kind: "workgroup", tiles: [{ V: 4, T: 4 }] },
    { kind: "naive" },
  ];
}

/** Variants of everything else that are worth measuring on an adapter with these features. */
export function otherCandidates(features: Pick<ReadonlySet<string>, "has">): readonly Variant[] {
  return features.has("subgroups") ? ["lanes", "workgroup", "subgroups"] : ["lanes", "workgroup"];
}

/** The default table of an adapter class. */
export function defaultVariants(adapterClass: AdapterClass): Variants {
  return adapterClass === "software"
    ? { gemm: REGISTER, other: "lanes", convolutions: {} }
    : { gemm: WORKGROUP, other: "workgroup", convolutions: {} };
}
