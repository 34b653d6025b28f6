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

/** A row of a matrix without its zeros. */
interface SparseRow {
  readonly places: readonly number[];
  readonly coefficients: readonly number[];
  /** Whether it only copies a number. */
  readonly copies: boolean;
  /** Roundings of a term: none with ±1; else its product, and a coefficient such as 1/6. */
  readonly perTerm: number;
}

function sparse(row: readonly number[]): SparseRow {
  const places = [...row.keys()].filter((k) => row[k] !== 0);
  const coefficients = places.map((k) => row[k]);
  const units = coefficients.every((c) => Math.abs(c) === 1);
  return { places, coefficients, copies: units && places.length === 1, perTerm: units ? 0 : 2 };
}

/** d → L·d·Lᵀ of squares, rounded as the shader does; its result is overwritten by the next. */
class Sandwich {
  readonly #rows: readonly SparseRow[];
  readonly #size: number;
  readonly #left: Float64Array;
  readonly #both: Float64Array;
  /** What is transformed next: to be filled by the caller. */
  readonly d: Float64Array;

  constructor(readonly rounding: RandomRounding, L: Matrix) {
    this.#rows = L.map(sparse);
    this.#size = L[0].length;
    this.#left = new Float64Array(L.length * this.#size);
    this.#both = new Float64Array(L.length ** 2);
    this.d = new Float64Array(this.#size ** 2);
  }

  /** L·d·Lᵀ. */
  transform(): Float64Array {
    const size = this.#size, out = this.#rows.length;
    for (let i = 0; i < out; i++) {
      for (let j = 0; j < size; j++) {
        this.#left[i * size + j] = this.#combination(this.#rows[i], this.d, j, size);
      }
    }
    for (let i = 0; i < out; i++) {
      for (let j = 0; j < out; j++) {
        this.#both[i * out + j] = this.#combination(this.#rows[j], this.#left, i * size, 1);
      }
    }
    return this.#both;
  }

  /** Σ_k row[k]·d[at + k·stride]. */
  #combination(
    { places, coefficients, copies, perTerm }: SparseRow,
    d: Float64Array,
    at: number,
    stride: number,
  ): number {
    let S = 0, Q = 0;
    for (let k = 0; k < places.length; k++) {
      const term = coefficients[k] * d[at + places[k] * stride];
      S += term;
      Q += term * term;
    }
    return copies ? S : this.rounding.sum(places.length, S, Q, perTerm);
  }
}

/** L·d·Lᵀ of `count` squares as planes of `count` elements; `fill` writes square k into zeros. */
function toPlanes(
  rounding: RandomRounding,
  L: Matrix,
  count: number,
  fill: (k: number, d: Float64Array) => void,
): Planes {
  const sandwich = new Sandwich(rounding, L);
  const planes = Array.from({ length: L.length ** 2 }, () => new Float64Array(count));
  for (let k = 0; k < count; k++) {
    fill(k, sandwich.d.fill(0));
    const values = sandwich.transform();
    for (let xi = 0; xi < planes.length; xi++) planes[xi][k] = values[xi];
  }
  return planes;
}

/** L·d·Lᵀ of every square of `count` in planes, handed to `take`. */
function fromPlanes(
  rounding: RandomRounding,
  L: Matrix,
  planes: Planes,
  count: number,
  take: (k: number, values: Float64Array) => void,
): void {
  const sandwich = new Sandwich(rounding, L);
  for (let k = 0; k < count; k++) {
    for (let xi = 0; xi < planes.length; xi++) sandwich.d[xi] = planes[xi][k];
    take(k, sandwich.transform());
  }
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

  /** Writes channel c around tile t: `size`² pixels that start `border` above and left of it. */
  read(t: number, c: number, size: number, border: number, d: Float64Array): void {
    this.visit(t, c, size, border, (at, i) => d[i] = this.x.data[at]);
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

/** Writes the taps of kernel number k. */
function readTaps(weight: Tensor, k: number, d: Float64Array): void {
  for (let tap = 0; tap < 9; tap++) d[tap] = weight.data[9 * k + tap];
}

/**
 * Largest error of a number that WGSL stores as float16, relative to it: one of the two neighbours, not the
 * nearer one.
 */
const HALF = 2 ** -10;

/**
 * conv3x3 of x `[N, C, H, W]` with weight `[O, C, 3, 3]`, stride 1, padding 1.
 *
 * @param half whether transformed weights are kept as float16.
 */
export function roundedWinograd(
  rounding: RandomRounding,
  m: WinogradTile,
  x: Tensor,
  weight: Tensor,
  half = false,
): Tensor {
  const { BT, G, AT } = winogradMatrices(m);
  const [N, C, H, W] = x.shape, [O] = weight.shape;
  const tiles = new Tiles(m, x), T = tiles.count;
  const U = toPlanes(rounding, G, O * C, (k, d) => readTaps(weight, k, d));
  if (half) {
    for (const plane of U) {
      plane.forEach((u, i) => plane[i] = rounding.builtin(u, HALF));
    }
  }
  const V = toPlanes(
    rounding,
    BT,
    C * T,
    (k, d) => tiles.read(k % T, Math.floor(k / T), m + 2, 1, d),
  );
  const M = products(rounding, U, V, [O, C, T]);
  const y = doubles([N, O, H, W], new Float64Array(N * O * H * W));
  const out = new Tiles(m, y);
  fromPlanes(rounding, AT, M, O * T, (k, values) => {
    out.visit(k % T, Math.floor(k / T), m, 0, (at, i) => y.data[at] = values[i]);
  });
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
    (k, d) => inTiles.read(Math.floor(k / C), k % C, m + 2, 1, d),
  );
  const P = toPlanes(
    rounding,
    transposeMatrix(AT),
    O * T,
    (k, d) => outTiles.read(k % T, Math.floor(k / T), m, 0, d),
  );
  const U = products(rounding, P, V, [O, T, C]);
  const dWeight = doubles([O, C, 3, 3], new Float64Array(9 * O * C));
  fromPlanes(rounding, transposeMatrix(G), U, O * C, (k, values) => {
    dWeight.data.set(values, 9 * k);
  });
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
