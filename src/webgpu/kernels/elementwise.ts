/**
 * Sums, copies and multiples of arrays.
 *
 * @module
 */
import type { Launch, View } from "../kernel.ts";
import type { Variant } from "./layout.ts";
import { map, type MapSizes } from "./map.ts";

/** One array in, one out; they may be the same view. */
export interface OneToOne<T> {
  readonly x: View<T>;
  readonly y: View<T>;
}

/** y = (a + b)/scale. */
export function add<T>(
  variant: Variant,
  sizes: MapSizes,
  { a, b, y }: { readonly a: View<T>; readonly b: View<T>; readonly y: View<T> },
  scale = 1,
): Launch<T> {
  return map(variant, sizes, {
    kernel: "add",
    inputs: { a, b },
    output: y,
    floats: { factor: 1 / scale },
    value: "(a + b) * p.factor",
    flops: 1,
  });
}

/** y = x, bit for bit. */
export function copy<T>(variant: Variant, sizes: MapSizes, { x, y }: OneToOne<T>): Launch<T> {
  return map(variant, sizes, { kernel: "copy", inputs: { x }, output: y, value: "x", flops: 0 });
}

/** y = factor·x. */
export function scale<T>(
  variant: Variant,
  sizes: MapSizes,
  { x, y }: OneToOne<T>,
  factor: number,
): Launch<T> {
  return map(variant, sizes, {
    kernel: "scale",
    inputs: { x },
    output: y,
    floats: { factor },
    value: "p.factor * x",
    flops: 1,
  });
}

/** y = y + factor·x. */
export function accumulate<T>(
  variant: Variant,
  sizes: MapSizes,
  { x, y }: OneToOne<T>,
  factor = 1,
): Launch<T> {
  return map(variant, sizes, {
    kernel: "accumulate",
    inputs: { x },
    output: y,
    floats: { factor },
    value: "old + p.factor * x",
    updates: true,
    flops: 2,
  });
}

/** y = 2x − 1: maps [0, 1] to [−1, 1]. Its gradient is `scale` by 2. */
export function centered<T>(variant: Variant, sizes: MapSizes, { x, y }: OneToOne<T>): Launch<T> {
  return map(variant, sizes, {
    kernel: "centered",
    inputs: { x },
    output: y,
    value: "2.0 * x - 1.0",
    flops: 2,
  });
}

/** y = value everywhere. */
export function fill<T>(variant: Variant, sizes: MapSizes, y: View<T>, value: number): Launch<T> {
  return map(variant, sizes, {
    kernel: "fill",
    inputs: {},
    output: y,
    floats: { fillValue: value },
    value: "V(p.fillValue)",
    flops: 0,
  });
}
