import { ArgumentError, unexpected } from "./errors.ts";

/** Sizes per dimension, outermost first. Images are `[N, C, H, W]`. */
export type Shape = readonly number[];

/** A row-major array of float32 values with its shape. Nothing in this package mutates one it was given. */
export interface Tensor {
  /** Sizes per dimension, outermost first. */
  readonly shape: Shape;
  /** The values, row-major; `data.length` is the product of `shape`. */
  readonly data: Float32Array;
}

/**
 * Number of elements of a shape.
 *
 * @throws {ArgumentError} if a size is not an integer ≥ 0, or the product exceeds 2^53 − 1.
 */
export function sizeOf(shape: Shape): number {
  let product = 1;
  for (const s of shape) {
    if (!Number.isInteger(s) || s < 0) unexpected("a shape of non-negative integers", shape);
    product *= s;
  }
  if (product > Number.MAX_SAFE_INTEGER) unexpected("a shape with fewer than 2^53 elements", shape);
  return product;
}

/**
 * A tensor of `shape` holding `data` rounded to float32, or zeros. A Float32Array is kept, not copied.
 *
 * This is the one place where the reference's double results become float32.
 *
 * @throws {ArgumentError} if `data` has another length than the shape asks for.
 */
export function tensor(shape: Shape, data?: ArrayLike<number>): Tensor {
  const size = sizeOf(shape);
  if (data !== undefined && data.length !== size) {
    throw new ArgumentError(
      `Expected ${size} values for shape [${shape}] but got ${data.length} values`,
    );
  }
  if (data instanceof Float32Array) return { shape, data };
  return { shape, data: data === undefined ? new Float32Array(size) : Float32Array.from(data) };
}

/** Whether two shapes are equal. */
export function shapesEqual(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((s, i) => s === b[i]);
}

/**
 * Checks that `found` has the shape `expected`.
 *
 * @throws {ArgumentError} "Expected noise of shape [1, 3, 4, 4] but got [1, 3, 4, 5]".
 */
export function checkShape(name: string, found: Tensor, expected: Shape): void {
  if (!shapesEqual(found.shape, expected)) {
    throw new ArgumentError(
      `Expected ${name} of shape [${expected.join(", ")}] but got [${found.shape.join(", ")}]`,
    );
  }
}

/**
 * Checks that `found` has `rank` dimensions.
 *
 * @throws {ArgumentError} naming the dimensions that were expected, for example "N, C, H, W".
 */
export function checkRank(name: string, found: Tensor, dimensions: string): void {
  if (found.shape.length !== dimensions.split(",").length) {
    throw new ArgumentError(
      `Expected ${name} of shape [${dimensions}] but got [${found.shape.join(", ")}]`,
    );
  }
}
