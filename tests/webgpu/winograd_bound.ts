/**
 * How far rounding can carry Winograd's algorithm from the convolution it computes: a running error
 * analysis (Higham, "Accuracy and Stability of Numerical Algorithms", section 3.3). Every number is
 * kept as (exact value v, bound e on its error), and the algorithm is run on these pairs:
 *
 * - A row Σ c_k·d_k of a transform with t roundings on its longest path gives
 *   e = Σ|c_k|·e_k + γ_t·Σ|c_k|(|v_k| + e_k). Adding k terms rounds k − 1 times, once more if no
 *   coefficient is ±1, and once more if one is no float32.
 * - A sum of K products gives e = Σ(|v_a|e_b + e_a|v_b| + e_a·e_b) + γ_K·Σ(|v_a| + e_a)(|v_b| + e_b).
 *
 * - A number x stored as float16 is one of its two neighbours, at most 2⁻¹⁰·|x| away; below 2⁻¹⁴ it may be
 *   flushed to zero.
 *
 * It exceeds a direct convolution's γ_9C·Σ|terms| by what the algorithm's cancellations magnify.
 */
import { gamma } from "../../src/math/float32.ts";
import type { Tensor } from "../../src/math/tensor.ts";
import {
  type Matrix,
  transposeMatrix,
  winogradMatrices,
  type WinogradTile,
} from "../../src/webgpu/kernels/winograd_matrices.ts";

/** An exact value and a bound on the error of the computed one. */
interface Running {
  v: number;
  e: number;
}

type Rows = Running[][];

function combination(row: readonly number[], d: readonly Running[]): Running {
  const used = [...row.keys()].filter((k) => row[k] !== 0);
  const units = used.filter((k) => Math.abs(row[k]) === 1).length;
  const inexact = used.some((k) => Math.fround(row[k]) !== row[k]);
  const growth = gamma(used.length - (units > 0 ? 1 : 0) + (inexact ? 1 : 0));
  let v = 0, e = 0;
  for (const k of used) {
    v += row[k] * d[k].v;
    e += Math.abs(row[k]) * (d[k].e + growth * (Math.abs(d[k].v) + d[k].e));
  }
  return { v, e };
}

/** L·d·Lᵀ. */
function sandwich(L: Matrix, d: Rows): Rows {
  const left = L.map((row) => d[0].map((_, j) => combination(row, d.map((line) => line[j]))));
  return left.map((line) => L.map((row) => combination(row, line)));
}

/** What is left of a number that is kept as float16. */
function halved({ v, e }: Running): Running {
  return { v, e: e + Math.max(2 ** -10 * (Math.abs(v) + e), 2 ** -14) };
}

/** Σ a ⊙ b over K pairs of tiles. */
function products(pairs: readonly (readonly [Rows, Rows])[]): Rows {
  const growth = gamma(pairs.length);
  return pairs[0][0].map((line, i) =>
    line.map((_, j) => {
      let v = 0, e = 0;
      for (const [A, B] of pairs) {
        const a = A[i][j], b = B[i][j];
        const [x, y] = [Math.abs(a.v), Math.abs(b.v)];
        v += a.v * b.v;
        e += x * b.e + a.e * y + a.e * b.e + growth * (x + a.e) * (y + b.e);
      }
      return { v, e };
    })
  );
}

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** x[n, c] around the tile whose first pixel is (i, j): size × size, zero outside. */
function tile(x: Tensor, n: number, c: number, i: number, j: number, size: number): Rows {
  const [, C, H, W] = x.shape;
  return range(size).map((a) =>
    range(size).map((b) => {
      const inside = i + a >= 0 && i + a < H && j + b >= 0 && j + b < W;
      return { v: inside ? x.data[((n * C + c) * H + i + a) * W + j + b] : 0, e: 0 };
    })
  );
}

function kernel(weight: Tensor, o: number, c: number): Rows {
  const at = (o * weight.shape[1] + c) * 9;
  return range(3).map((a) => range(3).map((b) => ({ v: weight.data[at + 3 * a + b], e: 0 })));
}

/** First pixels of the tiles of one image. */
function corners({ shape: [, , H, W] }: Tensor, m: number): [number, number][] {
  const along = range(Math.ceil(W / m)).map((j) => m * j);
  return range(Math.ceil(H / m)).flatMap((i) => along.map((j): [number, number] => [m * i, j]));
}

/**
 * Error bound of every output of the convolution of x `[N, C, H, W]` with weight `[O, C, 3, 3]`.
 *
 * @param half whether transformed weights are kept as float16.
 */
export function forwardBound(
  m: WinogradTile,
  x: Tensor,
  weight: Tensor,
  half = false,
): Float64Array {
  const { BT, G, AT } = winogradMatrices(m);
  const [N, C, H, W] = x.shape;
  const [O] = weight.shape;
  const kept = (U: Rows): Rows => half ? U.map((line) => line.map(halved)) : U;
  const U = range(O).map((o) => range(C).map((c) => kept(sandwich(G, kernel(weight, o, c)))));
  const out = new Float64Array(N * O * H * W);
  for (let n = 0; n < N; n++) {
    for (const [i, j] of corners(x, m)) {
      const V = range(C).map((c) => sandwich(BT, tile(x, n, c, i - 1, j - 1, m + 2)));
      for (let o = 0; o < O; o++) {
        const Y = sandwich(AT, products(range(C).map((c) => [U[o][c], V[c]] as const)));
        for (let a = 0; a < m && i + a < H; a++) {
          for (let b = 0; b < m && j + b < W; b++) {
            out[((n * O + o) * H + i + a) * W + j + b] = Y[a][b].e;
          }
        }
      }
    }
  }
  return out;
}

/** Error bound of every element of the weights' gradient `[O, C, 3, 3]`. */
export function weightGradientBound(m: WinogradTile, x: Tensor, dY: Tensor): Float64Array {
  const { BT, G, AT } = winogradMatrices(m);
  const [N, C] = x.shape, O = dY.shape[1];
  const tiles = range(N).flatMap((n) => corners(x, m).map(([i, j]) => ({ n, i, j })));
  const V = range(C).map((c) =>
    tiles.map(({ n, i, j }) => sandwich(BT, tile(x, n, c, i - 1, j - 1, m + 2)))
  );
  const P = range(O).map((o) =>
    tiles.map(({ n, i, j }) => sandwich(transposeMatrix(AT), tile(dY, n, o, i, j, m)))
  );
  const gradient = (o: number, c: number): Rows =>
    sandwich(transposeMatrix(G), products(tiles.map((_, k) => [P[o][k], V[c][k]] as const)));
  const all = range(O).flatMap((o) => range(C).flatMap((c) => gradient(o, c).flat()));
  return Float64Array.from(all, ({ e }) => e);
}
