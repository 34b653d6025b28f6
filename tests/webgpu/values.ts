/**
 * Values for kernels to work on.
 */
import { normalTensor } from "../../src/math/noise.ts";

/** `count` standard normals that depend on the seed alone. */
export function normals(count: number, seed: number): Float32Array {
  return normalTensor(seed, [0], [1, count]).data;
}
