/**
 * The ground everything stands on: tensors, counter-based randomness, rounding bounds.
 *
 * ```ts
 * import { normalTensor, streamOf } from "@ddpm/ddpm/math";
 *
 * // The noise of sample 7 is the same in any batch.
 * const alone = normalTensor(1, [streamOf("sample", 7, 0)], [1, 1, 2, 2]);
 * const pair = normalTensor(1, [3, 7].map((i) => streamOf("sample", i, 0)), [2, 1, 2, 2]);
 * console.assert(alone.data[0] === pair.data[4]);
 * ```
 *
 * @module
 */
export * from "./errors.ts";
export * from "./float32.ts";
export * from "./noise.ts";
export * from "./philox.ts";
export * from "./special.ts";
export * from "./tensor.ts";
