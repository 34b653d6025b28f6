/**
 * The matrices of Winograd's minimal filtering F(m, 3): m outputs of a correlation with 3 taps from
 * α = m + 2 products.
 *
 * Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2015), and for the
 * general construction Winograd, "Arithmetic Complexity of Computations" (1980).
 *
 * Derivation. A product of polynomials g (3 coefficients) and y (m coefficients) has α coefficients,
 * so its values at α − 1 points p_j, and its leading coefficient (the value "at ∞"), determine it. A
 * value of the product is the product of the values: α multiplications. With E_n the matrix that
 * evaluates n coefficients, row j being (1, p_j, p_j², …) and the row of ∞ being (0, …, 0, 1),
 *
 *   g·y = I ((E_3 g) ⊙ (E_m y)),  I = E_α⁻¹.
 *
 * Transposing this map in y gives the correlation of α inputs d with g, which is what a convolutional
 * layer computes:  E_mᵀ ((E_3 g) ⊙ (Iᵀ d)). Lagrange's formula writes column j of I as the
 * coefficients of Π_{l≠j}(x − p_l) divided by Π_{l≠j}(p_j − p_l); and that of ∞ as those of
 * Π_l (x − p_l). The divisor is moved to the side of the weights, so that Bᵀ has small integers:
 *
 *   Aᵀ = E_mᵀ [m, α],   G_j = row j of E_3 / Π_{l≠j}(p_j − p_l) [α, 3],
 *   Bᵀ_j = the coefficients of Π_{l≠j}(x − p_l) [α, α].
 *
 * In two dimensions each matrix is applied from both sides: Y = Aᵀ ((G g Gᵀ) ⊙ (Bᵀ d B)) A.
 *
 * @module
 */

/** Output tiles are m × m. */
export type WinogradTile = 2 | 4;

/** Rows of numbers. */
export type Matrix = readonly (readonly number[])[];

/** The matrices of F(m × m, 3 × 3). */
export interface WinogradMatrices {
  /** Input transform Bᵀ `[α, α]`. */
  readonly BT: Matrix;
  /** Weight transform G `[α, 3]`. */
  readonly G: Matrix;
  /** Output transform Aᵀ `[m, α]`. */
  readonly AT: Matrix;
}

/** Evaluation points apart from ∞: small numbers, because their powers are what rounding errors grow by. */
const POINTS: Readonly<Record<WinogradTile, readonly number[]>> = {
  2: [0, 1, -1],
  4: [0, 1, -1, 2, -2],
};

/** Coefficients of Π (x − root), from the constant term up, with zeros to `length`. */
function coefficients(roots: readonly number[], length: number): number[] {
  let product = [1];
  for (const root of roots) {
    const shifted = [0, ...product];
    product = shifted.map((c, i) => c - root * (product[i] ?? 0));
  }
  return [...product, ...Array<number>(length - product.length).fill(0)].map((c) => c + 0);
}

/** The row of ∞: the leading one of n coefficients. */
function leading(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i === n - 1 ? 1 : 0);
}

/** The powers x⁰ … xⁿ⁻¹. */
function powers(x: number, n: number): number[] {
  return Array.from({ length: n }, (_, i) => x ** i);
}

/** Mᵀ. */
export function transposeMatrix(matrix: Matrix): Matrix {
  return matrix[0].map((_, j) => matrix.map((row) => row[j]));
}

/** The matrices of F(m × m, 3 × 3). */
export function winogradMatrices(m: WinogradTile): WinogradMatrices {
  const points = POINTS[m];
  const alpha = m + 2;
  const others = (j: number): number[] => points.filter((_, l) => l !== j);
  const divisor = (j: number): number =>
    others(j).reduce((product, p) => product * (points[j] - p), 1);
  return {
    BT: [
      ...points.map((_, j) => coefficients(others(j), alpha)),
      coefficients(points, alpha),
    ],
    G: [...points.map((p, j) => powers(p, 3).map((x) => x / divisor(j) + 0)), leading(3)],
    AT: transposeMatrix([...points.map((p) => powers(p, m)), leading(m)]),
  };
}
