/**
 * Convolutions with 3 × 3 kernels, stride 1 and padding 1 through Winograd's minimal filtering
 * F(m × m, 3 × 3): forward, input gradient and weight gradient.
 *
 * Every tile of m × m outputs costs α² = (m + 2)² products per pair of channels instead of 9·m², as
 * one matrix product per plane ξ: M[ξ] = U[ξ]ᵀ·V[ξ], with U the transformed weights and V the
 * transformed tiles. F(4 × 4) multiplies least and rounds most: of 128 channels of normals, the root
 * mean square error is 39 units roundoff of the output's, 6 with F(2 × 2), 10 with a plain sum
 * (measured); gradients of weights 18, 4.
 *
 * @module
 */
import type { Launch, View } from "../kernel.ts";
import { gemm, type GemmVariant } from "./gemm.ts";
import { transposeMatrix, winogradMatrices, type WinogradTile } from "./winograd_matrices.ts";
import { type Epilogue, imageToPlanes, planesToImage, tilesOf } from "./winograd_images.ts";
import { transformKernels } from "./winograd_kernels.ts";

export type { WinogradTile } from "./winograd_matrices.ts";
export type { Epilogue } from "./winograd_images.ts";

/** How a convolution is computed: the tile, and the products. */
export interface WinogradVariant {
  /** Outputs per tile and direction. */
  readonly m: WinogradTile;
  /** Variant of the matrix product. */
  readonly gemm: GemmVariant;
  /** Whether U is kept as float16, in half the memory. Default false. */
  readonly half?: boolean;
}

/** Sizes of a convolution of `[N, C, H, W]` to `[N, O, H, W]`. */
export interface Conv3x3Size {
  readonly N: number;
  readonly C: number;
  readonly O: number;
  readonly H: number;
  readonly W: number;
}

/** Elements that the scratch tensors of a convolution need. */
export interface WinogradScratch {
  /** Transformed weights; the same for forward, input gradient and weight gradient; half as float16. */
  readonly U: number;
  /** Transformed input images. */
  readonly V: number;
  /** Products before the output transform, or transformed output gradients. */
  readonly M: number;
}

/** Weights in the device's layout `[3, 3, C, O]`, or their gradient. */
export interface Weights<T> {
  readonly tensor: T;
  readonly offset: number;
}

const up4 = (n: number): number => Math.ceil(n / 4) * 4;

function multiplications({ N, C, O, H, W }: Conv3x3Size): number {
  return 2 * 9 * N * C * O * H * W;
}

/** Scratch that forward, input gradient and weight gradient of a convolution need at most. */
export function winogradScratch(m: WinogradTile, size: Conv3x3Size): WinogradScratch {
  const planes = (m + 2) ** 2;
  const columns = up4(tilesOf({ ...size, m }).tiles);
  return {
    U: planes * size.C * size.O,
    V: planes * size.C * columns,
    M: planes * size.O * columns,
  };
}

/**
 * U = G g Gᵀ of every kernel: `[ξ, C, O]` for the forward pass or, of kernels turned by 180°,
 * `[ξ, O, C]` for the input gradient. To be done once per change of the weights.
 *
 * @param half whether U is kept as float16.
 */
export function winogradWeights<T>(
  m: WinogradTile,
  { C, O }: Pick<Conv3x3Size, "C" | "O">,
  use: "forward" | "inputGradient",
  weights: Weights<T>,
  U: T,
  half = false,
): Launch<T> {
  const { G } = winogradMatrices(m);
  const taps = { ...weights, xi: C * O };
  const planes = { tensor: U, offset: 0, xi: C * O, n: 1 };
  return use === "forward"
    ? transformKernels(
      `weights${m}`,
      G,
      C,
      O,
      { ...taps, c: O, n: 1 },
      { ...planes, c: O },
      { half },
    )
    : transformKernels(
      `weights${m}`,
      G,
      O,
      C,
      { ...taps, c: 1, n: O },
      { ...planes, c: C },
      { turned: true, half },
    );
}

/** What a forward pass or an input gradient touches; scratch sizes from {@linkcode winogradScratch}. */
export interface WinogradTensors<T> extends Epilogue<T> {
  /** Input `[N, C, H, W]`, or `[N, C, H/2, W/2]` if it is read doubled. */
  readonly x: View<T>;
  /** Transformed weights. */
  readonly U: T;
  /** Scratch. */
  readonly V: T;
  /** Scratch. */
  readonly M: T;
  /** Output `[N, O, H, W]`, or `[N, O, H/2, W/2]` if it is folded. */
  readonly y: View<T>;
}

/**
 * y = conv3x3(x) + what the epilogue adds.
 *
 * With `upsampled`, x is read as if every pixel were doubled in both directions; H and W are those of
 * the doubled image.
 */
export function winogradForward<T>(
  variant: WinogradVariant,
  size: Conv3x3Size,
  tensors: WinogradTensors<T>,
  options: { readonly upsampled?: boolean } = {},
): Launch<T>[] {
  return convolution("input", variant, size, tensors, options.upsampled ?? false, false);
}

/**
 * dX from dY: the convolution of dY with U of use `inputGradient`. `x` of the tensors is dY, `y` is
 * dX, and V and M exchange their sizes.
 *
 * With `upsampled`, the gradient of a convolution that read its input doubled: dX is folded to
 * `[N, C, H/2, W/2]`.
 */
export function winogradInputGradient<T>(
  variant: WinogradVariant,
  size: Conv3x3Size,
  tensors: WinogradTensors<T>,
  options: { readonly upsampled?: boolean } = {},
): Launch<T>[] {
  const exchanged = { ...size, C: size.O, O: size.C };
  return convolution("input", variant, exchanged, tensors, false, options.upsampled ?? false);
}

function convolution<T>(
  name: string,
  { m, gemm: gemmVariant, half }: WinogradVariant,
  size: Conv3x3Size,
  tensors: WinogradTensors<T>,
  upsampled: boolean,
  folded: boolean,
): Launch<T>[] {
  const { C, O } = size;
  const { BT, AT } = winogradMatrices(m);
  const planes = BT.length ** 2;
  const tiling = { ...size, m };
  const columns = up4(tilesOf(tiling).tiles);
  const V = { xi: C * columns, c: columns, n: 1 };
  const M = { xi: O * columns, c: columns, n: 1 };
  const product = gemm(gemmVariant, {
    B1: planes,
    M: O,
    N: columns,
    K2: C,
    a: { tensor: tensors.U, b1: C * O, k2: O, i: 1, half },
    b: { tensor: tensors.V, b1: V.xi, k2: V.c, i: 1 },
    c: { tensor: tensors.M, b1: M.xi, m: M.c, n: 1 },
  });
  return [
    imageToPlanes(name, BT, tiling, 1, tensors.x, tensors.V, V, upsampled),
    { ...product, flops: multiplications(size) },
    planesToImage(AT, { ...tiling, C: O }, tensors.M, M, tensors.y, tensors, folded),
  ];
}

/** What a weight gradient touches; scratch sizes from {@linkcode winogradScratch}. */
export interface WinogradWeightGradientTensors<T> {
  /** Input `[N, C, H, W]`, or half that height and width if it was read doubled. */
  readonly x: View<T>;
  /** Gradient of the output `[N, O, H, W]`. */
  readonly dY: View<T>;
  /** Scratch for the transformed input. */
  readonly V: T;
  /** Scratch for the transformed output gradient. */
  readonly M: T;
  /** Scratch for the gradient before its transform. */
  readonly U: T;
  /** Gradient of the weights. */
  readonly dWeights: Weights<T>;
}

/**
 * dW = Gᵀ (Σ_n (A dY_n Aᵀ) ⊙ (Bᵀ x_n B)) G over all tiles n, written to `dWeights` or, with
 * `accumulate`, added.
 */
export function winogradWeightGradient<T>(
  { m, gemm: gemmVariant }: WinogradVariant,
  size: Conv3x3Size,
  { x, dY, V, M, U, dWeights }: WinogradWeightGradientTensors<T>,
  options: { readonly upsampled?: boolean; readonly accumulate?: boolean } = {},
): Launch<T>[] {
  const { C, O } = size;
  const { BT, AT, G } = winogradMatrices(m);
  const planes = BT.length ** 2;
  const tiling = { ...size, m };
  const { tiles } = tilesOf(tiling);
  const { upsampled = false, accumulate = false } = options;
  // The sum runs over tiles: channels lie next to each other.
  const product = gemm(gemmVariant, {
    B1: planes,
    M: O,
    N: C,
    K2: tiles,
    a: { tensor: M, b1: tiles * O, k2: O, i: 1 },
    b: { tensor: V, b1: tiles * C, k2: C, i: 1 },
    c: { tensor: U, b1: C * O, m: 1, n: O },
  });
  const xStrides = { xi: tiles * C, c: 1, n: C };
  const dYStrides = { xi: tiles * O, c: 1, n: O };
  const A = transposeMatrix(AT);
  return [
    imageToPlanes("input", BT, tiling, 1, x, V, xStrides, upsampled),
    imageToPlanes("outputGradient", A, { ...tiling, C: O }, 0, dY, M, dYStrides),
    { ...product, flops: multiplications(size) },
    transformKernels(
      `weightGradient${m}`,
      transposeMatrix(G),
      C,
      O,
      { tensor: U, offset: 0, xi: C * O, c: O, n: 1 },
      { ...dWeights, xi: C * O, c: O, n: 1 },
      { accumulate },
    ),
  ];
}
