import type { Launch, View } from "../kernel.ts";
import { type Variant, vectorType, type Width } from "./layout.ts";
import { map, type MapSizes } from "./map.ts";

/**
 * WGSL function `logistic`, σ(x) = 1/(1 + e^−x); e^−x stays below 2^126, up to which a quotient is
 * accurate.
 */
export function logisticFunction(width: Width): string {
  const type = vectorType(width);
  return `fn logistic(x: ${type}) -> ${type} { return 1.0 / (1.0 + exp(min(-x, ${type}(87.0)))); }\n`;
}

/** WGSL function `silu`, x·σ(x). */
export function siluFunction(width: Width): string {
  const type = vectorType(width);
  return `fn silu(x: ${type}) -> ${type} { return x / (1.0 + exp(min(-x, ${type}(87.0)))); }\n`;
}

/** WGSL function `siluSlope`, σ(x)·(1 + x·(1 − σ(x))). */
export function siluSlopeFunction(width: Width): string {
  const type = vectorType(width);
  return `${logisticFunction(width)}fn siluSlope(x: ${type}) -> ${type} {
  let s = logistic(x);
  return s * (1.0 + x * (1.0 - s));
}
`;
}

/** y = x·σ(x), elementwise. */
export function silu<T>(
  variant: Variant,
  sizes: MapSizes,
  { x, y }: { readonly x: View<T>; readonly y: View<T> },
): Launch<T> {
  return map(variant, sizes, {
    kernel: "silu",
    inputs: { x },
    output: y,
    value: "silu(x)",
    functions: siluFunction,
    flops: 4,
  });
}

/** dX = dY·σ(x)·(1 + x·(1 − σ(x))), or that added to dX. */
export function siluBackward<T>(
  variant: Variant,
  sizes: MapSizes,
  { dY, x, dX }: { readonly dY: View<T>; readonly x: View<T>; readonly dX: View<T> },
  accumulate = false,
): Launch<T> {
  return map(variant, sizes, {
    kernel: accumulate ? "siluBackwardAdd" : "siluBackward",
    inputs: { dY, x },
    output: dX,
    value: accumulate ? "old + dY * siluSlope(x)" : "dY * siluSlope(x)",
    updates: accumulate,
    functions: siluSlopeFunction,
    flops: 8,
  });
}
