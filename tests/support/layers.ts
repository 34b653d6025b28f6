/**
 * What the properties of layers share: drawn tensors, comparison with a definition, and comparison of
 * gradients with finite differences.
 *
 * @module
 */
import { assertEquals, assertInstanceOf } from "@std/assert";
import fc from "fast-check";
import { roundingBound, sumBound, U64 } from "../../src/math/float32.ts";
import { normalDoubles } from "../../src/math/noise.ts";
import { type Shape, sizeOf, type Tensor, tensor } from "../../src/math/tensor.ts";
import { Bound } from "./bound.ts";
import { doubles, inDouble } from "./doubles.ts";

/** A float32 tensor of standard normals. */
export function normals(seed: number, stream: number, shape: readonly number[]): Tensor {
  return tensor(shape, normalDoubles(seed, stream, 0, sizeOf(shape)));
}

/** Seeds of drawn values. */
export const seeds: fc.Arbitrary<number> = fc.integer({ min: 0, max: 2 ** 31 });

/** Sizes from 1 on. */
export function upTo(max: number): fc.Arbitrary<number> {
  return fc.integer({ min: 1, max });
}

/**
 * What a definition gives for one element: its value, computed in double; the sum of the magnitudes of
 * its terms; and how many roundings a term goes through on the way, in any order of evaluation.
 */
export interface Defined {
  readonly value: number;
  readonly magnitude: number;
  readonly roundings: number;
}

/** x[n,c,i,j], zero outside. */
export function pixel(x: Tensor, n: number, c: number, i: number, j: number): number {
  const [, C, H, W] = x.shape;
  return i < 0 || j < 0 || i >= H || j >= W ? 0 : x.data[((n * C + c) * H + i) * W + j];
}

/** One entry per element of `shape`, row-major, from its indices. */
export function each(shape: Shape, element: (...index: number[]) => Defined): Defined[] {
  return Array.from({ length: sizeOf(shape) }, (_, flat) => {
    const index = shape.map((_, d) => Math.floor(flat / sizeOf(shape.slice(d + 1))) % shape[d]);
    return element(...index);
  });
}

/** A sum of terms. */
export function total(terms: readonly number[], more = 0): Defined {
  return {
    value: terms.reduce((a, b) => a + b, 0),
    magnitude: terms.reduce((a, b) => a + Math.abs(b), 0),
    roundings: terms.length + 1 + more,
  };
}

/** A value that is copied or rounded once: both sides do the same single operation. */
export function same(value: number): Defined {
  return { value, magnitude: 0, roundings: 0 };
}

/** 0..n − 1. */
export function range(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i);
}

/** The bound where both sides do the same operations in the same order. */
export const EXACT = "0";

/** The bound of `checkDefined` on doubles. */
export const DEFINED = "2·γ_n(2^−53)·Σ|terms|";

/**
 * Checks that a layer gives what its definition says, twice: on doubles, where both sides may differ
 * by γ_n·magnitude each (Higham 3.5), and on float32, which may add one rounding.
 */
export function checkDefined(
  bound: Bound,
  inputs: readonly Tensor[],
  layer: (...inputs: Tensor[]) => Tensor,
  shape: readonly number[],
  definition: readonly Defined[],
): void {
  const wide = layer(...inputs.map(inDouble));
  const narrow = layer(...inputs);
  assertEquals(wide.shape, shape);
  assertEquals(narrow.shape, shape);
  assertInstanceOf(narrow.data, Float32Array);
  const expected = definition.map(({ value }) => value);
  const allowed = definition.map(({ magnitude, roundings }) =>
    2 * sumBound(roundings, magnitude, U64)
  );
  bound.checkAll(wide.data, expected, (i) => allowed[i], "double");
  const stored = new Bound(`${DEFINED} + 2^−24·|y|`);
  stored.checkAll(narrow.data, expected, (i) => allowed[i] + roundingBound(expected[i]), "float32");
}

/** Σ_i a_i·b_i in double. */
export function dot(a: Tensor, b: Tensor): number {
  let sum = 0;
  for (let i = 0; i < a.data.length; i++) sum += a.data[i] * b.data[i];
  return sum;
}

/** a + h·d, in double. */
export function moved(a: Tensor, h: number, d: Tensor): Tensor {
  return doubles(a.shape, Float64Array.from(a.data, (value, i) => value + h * d.data[i]));
}

/** A derivative by central differences, and how far off it can be. */
export interface Difference {
  readonly derivative: number;
  readonly bound: number;
}

/** Step of the central differences; they are taken at it and at its half. */
export const STEP = 2 ** -8;

/**
 * d/dh loss(h) at 0. The error of D(h) = (loss(h) − loss(−h))/2h is c·h² + O(h⁴), so that of D(h/2) is
 * a third of |D(h) − D(h/2)|; the bound takes all of it, to leave room for the next order. To this
 * comes the rounding of two losses over the step: 2·roundings·u·magnitude/h, with `magnitude` that of the
 * loss's terms and `roundings` those of one term.
 */
export function centralDifference(
  loss: (h: number) => number,
  magnitude: number,
  roundings: number,
): Difference {
  const D = (h: number): number => (loss(h) - loss(-h)) / (2 * h);
  const coarse = D(STEP), fine = D(STEP / 2);
  const rounding = 2 * sumBound(roundings, magnitude, U64) / STEP;
  return { derivative: fine, bound: Math.abs(coarse - fine) + rounding };
}

/** The bound of `checkGradients`. */
export const DIFFERENCES = "|D(h) − D(h/2)| + 2·γ_n(2^−53)·Σ|terms|/h";

/**
 * Checks a layer's gradients: for the loss Σ r·y with random r, the derivative along a random direction
 * of each input equals ⟨gradient, direction⟩. `roundings` counts those of one element of y.
 */
export function checkGradients(
  bound: Bound,
  seed: number,
  inputs: readonly Tensor[],
  layer: (...inputs: Tensor[]) => Tensor,
  backward: (dY: Tensor, ...inputs: Tensor[]) => readonly Tensor[],
  roundings: number,
): void {
  const wide = inputs.map(inDouble);
  const y = layer(...wide);
  const r = inDouble(normals(seed, 1000, y.shape));
  const gradients = backward(r, ...wide);
  assertEquals(gradients.map(({ shape }) => shape), inputs.map(({ shape }) => shape));
  // An element's own terms are at most of the size of 1 + |y|, the inputs being standard normals.
  const magnitude = y.data.reduce((sum, v, i) => sum + Math.abs(r.data[i]) * (1 + Math.abs(v)), 0);
  wide.forEach((input, k) => {
    const direction = inDouble(normals(seed, 2000 + k, input.shape));
    const loss = (h: number): number => dot(r, layer(...wide.with(k, moved(input, h, direction))));
    const difference = centralDifference(loss, magnitude, roundings);
    const claimed = dot(gradients[k], direction);
    bound.check(claimed, difference.derivative, difference.bound, `gradient of input ${k}`);
  });
}
