/**
 * Winograd's convolution in double with the rounding errors of float32: its transforms are sums, and what
 * their cancellations magnify is simulated rather than bounded.
 *
 * @module
 */
import { addProduct } from "../../src/reference/nn/matmul.ts";
import type { Tensor } from "../../src/math/tensor.ts";
import {
  type Matrix,
  transposeMatrix,
  winogradMatrices,
  type WinogradTile,
} from "../../src/webgpu/kernels/winograd_matrices.ts";
import { doubles } from "./doubles.ts";
import type { RandomRounding } from "./random_rounding.ts";

/** Planes ξ of matrices `[rows, columns]`. */
type Planes = readonly Float64Array[];

/** Σ_k row[k]·d[at + k·stride], rounded as the shader does; a row of a single ±1 is a copy. */
function combination(
  rounding: RandomRounding,
  row: readonly number[],
  d: Float64Array,
  at: number,
  stride: number,
): number {
  let S = 0, Q = 0, n = 0, units = 0;
  for (let k = 0; k < row.length; k++) {
    const c = row[k];
    if (c === 0) continue;
    const term = c * d[at + k * stride];
    S += term;
    Q += term * term;
    n++;
    if (Math.abs(c) === 1) units++;
  }
  // A coefficient such as 1/6 is rounded as well.
  return n === 1 && units === 1 ? S : rounding.sum(n, S, Q, units === n ? 0 : 2);
}

/** L·d·Lᵀ of a square d. */
function sandwich(rounding: RandomRounding, L: Matrix, d: Float64Array): Float64Array {
  const size = L[0].length, out = L.length;
  const left = new Float64Array(out * size), both = new Float64Array(out * out);
  for (let i = 0; i < out; i++) {
    for (let j = 0; j < size; j++) left[i * size + j] = combination(rounding, L[i], d, j, size);
  }
  for (let i = 0; i < out; i++) {
    for (let j = 0; j < out; j++) {
      both[i * out + j] = combination(rounding, L[j], left, i * size, 1);
    }
  }
  return both;
}

/** L·d·Lᵀ of `count` squares as planes of `count` elements. */
function toPlanes(
  rounding: RandomRounding,
  L: Matrix,
  count: number,
  square: (k: number) => Float64Array,
): Planes {
  const planes = Array.from({ length: L.length ** 2 }, () => new Float64Array(count));
  for (let k = 0; k < count; k++) {
    const values = sandwich(rounding, L, square(k));
    for (let xi = 0; xi < planes.length; xi++) planes[xi][k] = values[xi];
  }
  return planes;
}

/** A·B of every plane: sums of K products. */
function products(
  rounding: RandomRounding,
  A: Planes,
  B: Planes,
  [M, K, N]: readonly [number, number, number],
): Planes {
  return A.map((a, xi) => {
    const S = new Float64Array(M * N), Q = new Float64Array(M * N);
    addProduct(S, a, B[xi], [M, K], N);
    addProduct(Q, a.map((v) => v * v), B[xi].map((v) => v * v), [M, K], N);
    return S.map((s, i) => rounding.sum(K, s, Q[i]));
  });
}

/** Tiles of m × m outputs that cover images `[N, …, H, W]`. */
class Tiles {
  readonly rows: number;
  readonly columns: number;
  readonly count: number;
  constructor(readonly m: number, readonly x: Tensor) {
    const [N, , H, W] = x.shape;
    this.rows = Math.ceil(H / m);
    this.columns = Math.ceil(W / m);
    this.count = N * this.rows * this.columns;
  }

  /** Channel c around tile t: `size`² pixels that start `border` above and left of it; zeros outside. */
  pixels(t: number, c: number, size: number, border: number): Float64Array {
    const out = new Float64Array(size * size);
    this.visit(t, c, size, border, (at, i) => out[i] = this.x.data[at]);
    return out;
  }

  /** Calls with every pixel's place in the image and in the tile. */
  visit(
    t: number,
    c: number,
    size: number,
    border: number,
    pixel: (at: number, i: number) => void,
  ): void {
    const [, C, H, W] = this.x.shape;
    const n = Math.floor(t / (this.rows * this.columns));
    const top = Math.floor(t / this.columns) % this.rows * this.m - border;
    const left = t % this.columns * this.m - border;
    for (let a = 0; a < size; a++) {
      for (let b = 0; b < size; b++) {
        const y = top + a, x = left + b;
        if (y >= 0 && y < H && x >= 0 && x < W) {
          pixel(((n * C + c) * H + y) * W + x, a * size + b);
        }
      }
    }
  }
}

/** The taps of kernel number k. */
function taps(weight: Tensor, k: number): Float64Array {
  return Float64Array.from(weight.data.subarray(9 * k, 9 * k + 9));
}

/** conv3x3 of x `[N, C, H, W]` with weight `[O, C, 3, 3]`, stride 1, padding 1. */
export function roundedWinograd(
  rounding: RandomRounding,
  m: WinogradTile,
  x: Tensor,
  weight: Tensor,
): Tensor {
  const { BT, G, AT } = winogradMatrices(m);
  const [N, C, H, W] = x.shape, [O] = weight.shape;
  const tiles = new Tiles(m, x), T = tiles.count;
  const U = toPlanes(rounding, G, O * C, (k) => taps(weight, k));
  const V = toPlanes(
    rounding,
    BT,
    C * T,
    (k) => tiles.pixels(k % T, Math.floor(k / T), m + 2, 1),
  );
  const M = products(rounding, U, V, [O, C, T]);
  const y = doubles([N, O, H, W], new Float64Array(N * O * H * W));
  const out = new Tiles(m, y);
  const f = new Float64Array(M.length);
  for (let k = 0; k < O * T; k++) {
    M.forEach((plane, xi) => f[xi] = plane[k]);
    const values = sandwich(rounding, AT, f);
    out.visit(k % T, Math.floor(k / T), m, 0, (at, i) => y.data[at] = values[i]);
  }
  return y;
}

/** The gradient with respect to the weights, `[O, C, 3, 3]`. */
export function roundedWinogradWeightGradient(
  rounding: RandomRounding,
  m: WinogradTile,
  x: Tensor,
  dY: Tensor,
): Tensor {
  const { BT, G, AT } = winogradMatrices(m);
  const C = x.shape[1], O = dY.shape[1];
  const inTiles = new Tiles(m, x), outTiles = new Tiles(m, dY), T = inTiles.count;
  const V = toPlanes(
    rounding,
    BT,
    T * C,
    (k) => inTiles.pixels(Math.floor(k / C), k % C, m + 2, 1),
  );
  const P = toPlanes(
    rounding,
    transposeMatrix(AT),
    O * T,
    (k) => outTiles.pixels(k % T, Math.floor(k / T), m, 0),
  );
  const U = products(rounding, P, V, [O, T, C]);
  const dWeight = doubles([O, C, 3, 3], new Float64Array(9 * O * C));
  const f = new Float64Array(U.length);
  for (let k = 0; k < O * C; k++) {
    U.forEach((plane, xi) => f[xi] = plane[k]);
    dWeight.data.set(sandwich(rounding, transposeMatrix(G), f), 9 * k);
  }
  return dWeight;
}

/** Kernels turned by 180° with input and output channels exchanged: those of the input gradient. */
export function turned(weight: Tensor): Tensor {
  const [O, C] = weight.shape;
  const out = doubles([C, O, 3, 3], new Float64Array(9 * O * C));
  for (let k = 0; k < O * C; k++) {
    const o = Math.floor(k / C), c = k % C;
    for (let tap = 0; tap < 9; tap++) {
      out.data[9 * (c * O + o) + 8 - tap] = weight.data[9 * k + tap];
    }
  }
  return out;
}
