/**
 * What a kernel is: WGSL text, the numbers of one launch, and the tensors it touches. Nothing here
 * knows a device, so a plan can be made, listed and checked without one.
 *
 * Conventions of every kernel:
 * - `@group(0) @binding(0) var<uniform> p: Params`, a struct of u32 and f32 words: all sizes, strides
 *   and offsets are data, so that one pipeline serves every shape and loops keep run-time bounds.
 * - `@binding(1 + i)` is tensor i, always `var<storage, read_write>`: two ranges of one arena may
 *   meet in a launch, and WebGPU allows that only if both are writable.
 * - The text depends on the variant (tile sizes, vector width), never on a shape.
 *
 * @module
 */

/** How a launch uses a tensor: `update` reads and writes it. */
export type Access = "read" | "write" | "update";

/** One tensor argument of a launch; `T` is what the plan names tensors by. */
export interface Operand<T> {
  /** The tensor. */
  readonly tensor: T;
  /** What the kernel does to it. */
  readonly access: Access;
}

/** Number of workgroups along x, y and z; each at most 65535. */
export type Workgroups = readonly [x: number, y: number, z: number];

/** One launch of a kernel. */
export interface Launch<T> {
  /** Kernel and variant, for tables: `gemm.register16x16`. */
  readonly kernel: string;
  /** The shader; entry point `main`. Equal texts share a pipeline. */
  readonly wgsl: string;
  /** The words of `Params`: integers as they are, floats through {@linkcode floatWord}. */
  readonly params: readonly number[];
  /** Tensors at bindings 1, 2, …. */
  readonly operands: readonly Operand<T>[];
  /** Size of the launch. */
  readonly workgroups: Workgroups;
  /** Multiplications and additions, counted as the mathematics needs them (a direct convolution's). */
  readonly flops: number;
  /** Bytes that the launch must at least read and write. */
  readonly bytes: number;
}

/** First line of shaders that read or write float16: they need the feature `shader-f16`. */
export const ENABLE_HALF = "enable f16;";

/** First line of shaders that add across subgroups: they need the feature `subgroups`. */
export const ENABLE_SUBGROUPS = "enable subgroups;";

const word = new DataView(new ArrayBuffer(4));

/** The bits of a float32 as the uint32 that goes into `Params`. */
export function floatWord(x: number): number {
  word.setFloat32(0, x, true);
  return word.getUint32(0, true);
}

/** Largest number of workgroups along one dimension that WebGPU guarantees. */
export const MAX_WORKGROUPS = 65535;

/**
 * A one-dimensional launch of `count` workgroups as a grid within {@linkcode MAX_WORKGROUPS}. The
 * shader finds its number as `wid.x + wid.y * nwg.x` and returns when it is at least `count`.
 */
export function linearGrid(count: number): Workgroups {
  if (count <= MAX_WORKGROUPS) return [Math.max(count, 1), 1, 1];
  const y = Math.ceil(count / MAX_WORKGROUPS);
  return [Math.ceil(count / y), y, 1];
}

/**
 * Where an array `[N, C, …]` lies inside a tensor: element (n, c, i) of a sample with `P` positions is
 * at offset + n·sampleStride + c·P + i. A tensor of its own has offset 0 and sampleStride C·P; a part
 * of a concatenation has the strides of the whole.
 */
export interface View<T> {
  /** The tensor that holds it. */
  readonly tensor: T;
  /** First element. */
  readonly offset: number;
  /** Elements from one sample to the next. */
  readonly sampleStride: number;
}
