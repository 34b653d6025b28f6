/**
 * The rounding errors of one layer of a network: how far what it stores may be off if what it is given
 * is right. Layers are analysed with the same rules as `layer` (docs/verify.md, "Bounds").
 *
 * @module
 */
import { U32 } from "../../../../math/float32.ts";
import type { Tensor } from "../../../../math/tensor.ts";

/** 1 or −1 at random. */
export type Sign = () => number;

/**
 * Draws the errors of a tensor's elements. Every error that is independent of the others takes a sign;
 * what several elements have from one source takes one sign for all of them.
 */
export type Errors = (sign: Sign) => Float64Array;

/** The errors of the gradients that a layer passes on, in the order in which it does. */
export interface GradientErrors {
  /** Of its inputs. */
  readonly inputs: readonly Errors[];
  /** Of its parameters. */
  readonly parameters?: readonly Errors[];
}

/** The errors of one layer. */
export interface LayerErrors {
  /** Of its output. */
  readonly forward: Errors;
  /** Of its gradients, given that of its output. */
  readonly backward: (dY: Tensor) => GradientErrors;
}

/** No errors: values are moved or repeated. */
export function none(size: number): Errors {
  return () => new Float64Array(size);
}

/** Errors that are independent of each other, each up to its bound. */
export function independent(bounds: ArrayLike<number>): Errors {
  return (sign) => Float64Array.from(bounds, (bound) => sign() * bound);
}

/** `roundings`·u of every value, and the reference's own store in float32. */
export function relative(y: Tensor, roundings: number, u: number): Errors {
  return independent(y.data.map((v) => (roundings * u + U32) * Math.abs(v)));
}

/** Sums of `terms` terms in any order, from Σ|terms| and the sums themselves, which are stored. */
export function sums(y: Tensor, sizes: Tensor, terms: number, u: number): Errors {
  return independent(
    sizes.data.map((size, i) => terms * u * size + U32 * Math.abs(y.data[i])),
  );
}

/** Two sources of errors of the same elements. */
export function both(a: Errors, b: Errors): Errors {
  return (sign) => {
    const first = a(sign), second = b(sign);
    return first.map((e, i) => e + second[i]);
  };
}

/** The absolute values of a tensor. */
export function sizes(x: Tensor): Tensor {
  return { shape: x.shape, data: x.data.map(Math.abs) };
}

/** A row of indices. */
export function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}
