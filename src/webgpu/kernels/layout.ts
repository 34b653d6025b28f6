/**
 * What the kernels share that are no matrix products: how invocations are laid out over elements, and
 * the declarations of parameters and tensors.
 *
 * @module
 */
import { unexpected } from "../../math/errors.ts";
import {
  type Access,
  ENABLE_SUBGROUPS,
  floatWord,
  type Launch,
  type View,
  type Workgroups,
} from "../kernel.ts";

/**
 * How a kernel is laid out: `naive`, one invocation per result, reads like the equation; `lanes`,
 * workgroups of one SIMD vector for adapters that run shaders on a CPU; `workgroup`, for GPUs, where
 * many invocations share a sum through workgroup memory; `subgroups`, the same with most of a sum made
 * without that memory, for adapters with the feature of this name.
 */
export type Variant = "naive" | "lanes" | "workgroup" | "subgroups";

/** The variants that every adapter has. */
export const VARIANTS: readonly Variant[] = ["naive", "lanes", "workgroup"];

/** Whether many invocations share a sum that elsewhere one of them, or a SIMD vector, has to itself. */
export function isShared(variant: Variant): boolean {
  return variant === "workgroup" || variant === "subgroups";
}

/** Elements per load: a vec4 or one float. */
export type Width = 1 | 4;

/** 4 if all of `numbers` (offsets, strides, lengths) are multiples of 4, so that vec4 loads fit, else 1. */
export function vectorWidth(...numbers: readonly number[]): Width {
  return numbers.every((n) => n % 4 === 0) ? 4 : 1;
}

/** {@linkcode vectorWidth} of the rows of `length` elements at which views start. */
export function viewsWidth(
  variant: Variant,
  length: number,
  views: readonly View<unknown>[],
): Width {
  if (variant === "naive") return 1;
  return vectorWidth(length, ...views.flatMap((v) => [v.offset, v.sampleStride]));
}

/** Name of a kernel with its variant and elements per load: `silu.lanes4`. */
export function kernelName(kernel: string, variant: Variant, width: Width): string {
  return variant === "naive" ? `${kernel}.naive` : `${kernel}.${variant}${width}`;
}

/** WGSL type of `width` floats. */
export function vectorType(width: Width): string {
  return width === 4 ? "vec4f" : "f32";
}

/** WGSL expression for the sum of a vector's components. */
export function componentSum(width: Width, vector: string): string {
  return width === 4 ? `((${vector}.x + ${vector}.y) + (${vector}.z + ${vector}.w))` : vector;
}

/** What a {@linkcode Shader} still needs to be a launch. */
export interface LaunchParts {
  /** Kernel and variant. */
  readonly kernel: string;
  /** WGSL after the declarations. */
  readonly body: string;
  readonly workgroups: Workgroups;
  readonly flops: number;
  readonly bytes: number;
}

/**
 * A launch in the making: its parameters and tensors in the order in which they are declared. A tensor
 * that is given twice, because two views lie in it, is bound once: two writable bindings may not
 * overlap.
 */
export class Shader<T> {
  readonly #fields: { name: string; type: "u32" | "f32"; word: number }[] = [];
  readonly #tensors: { name: string; type: string; tensor: T; access: Access }[] = [];

  /** Adds parameters `p.name` of type u32. */
  integers(values: Readonly<Record<string, number>>): void {
    for (const [name, word] of Object.entries(values)) {
      this.#fields.push({ name, type: "u32", word });
    }
  }

  /** Adds parameters `p.name` of type f32. */
  floats(values: Readonly<Record<string, number>>): void {
    for (const [name, value] of Object.entries(values)) {
      this.#fields.push({ name, type: "f32", word: floatWord(value) });
    }
  }

  /** Adds a tensor of elements of `type`. @returns the name that stands for it in the shader. */
  tensor(name: string, type: string, tensor: T, access: Access): string {
    const known = this.#tensors.find((entry) => entry.tensor === tensor);
    if (known === undefined) {
      this.#tensors.push({ name, type, tensor, access });
      return name;
    }
    if (known.type !== type) unexpected(`${name} as ${known.type}, like ${known.name}`, type);
    if (known.access !== access) known.access = "update";
    return known.name;
  }

  /**
   * Adds a view read in elements of `width` floats, and `p.nameOffset` and `p.nameStride` in such
   * elements. @returns the name that stands for its tensor.
   */
  view(name: string, width: Width, view: View<T>, access: Access): string {
    this.integers({
      [`${name}Offset`]: view.offset / width,
      [`${name}Stride`]: view.sampleStride / width,
    });
    return this.tensor(name, vectorType(width), view.tensor, access);
  }

  /** The launch. */
  launch({ kernel, body, workgroups, flops, bytes }: LaunchParts): Launch<T> {
    const members = this.#fields.map(({ name, type }) => `  ${name}: ${type},\n`);
    const tensors = this.#tensors.map(({ name, type }, i) =>
      `@group(0) @binding(${i + 1}) var<storage, read_write> ${name}: array<${type}>;\n`
    );
    const head = body.includes("subgroupAdd") ? `${ENABLE_SUBGROUPS}\n` : "";
    const wgsl = `${head}struct Params {\n${members.join("")}}\n` +
      `@group(0) @binding(0) var<uniform> p: Params;\n${tensors.join("")}${body}`;
    return {
      kernel,
      wgsl,
      params: this.#fields.map(({ word }) => word),
      operands: this.#tensors.map(({ tensor, access }) => ({ tensor, access })),
      workgroups,
      flops,
      bytes,
    };
  }
}

/**
 * WGSL function `total(lane, value)`: the sum of `value` over the workgroup's `lanes` invocations (a
 * power of two), known to all of them; it may be called again at once. By a fixed tree, but for the
 * `subgroups` variant, where the adapter has its own order.
 */
export function totalFunction(variant: Variant, lanes: number): string {
  if (variant === "subgroups") return subgroupTotal(lanes);
  if (lanes === 1) return "fn total(lane: u32, value: f32) -> f32 { return value; }\n";
  return `
var<workgroup> parts: array<f32, ${lanes}>;
fn total(lane: u32, value: f32) -> f32 {
  parts[lane] = value;
  workgroupBarrier();
  for (var half = ${lanes / 2}u; half > 0u; half /= 2u) {
    if (lane < half) { parts[lane] += parts[lane + half]; }
    workgroupBarrier();
  }
  let sum = parts[0];
  workgroupBarrier();
  return sum;
}
`;
}

/**
 * {@linkcode totalFunction} by subgroups: one invocation of each leaves the subgroup's sum in its own place,
 * the others zero, and every subgroup adds up all places. WGSL does not say which invocations a subgroup
 * has, nor how many; this asks neither.
 */
function subgroupTotal(lanes: number): string {
  return `
var<workgroup> parts: array<f32, ${lanes}>;
fn total(lane: u32, value: f32) -> f32 {
  let own = subgroupAdd(value);
  parts[lane] = select(0.0, own, subgroupElect());
  workgroupBarrier();
  let size = subgroupAdd(1u);
  var sum = 0.0;
  for (var i = subgroupExclusiveAdd(1u); i < ${lanes}u; i += size) { sum += parts[i]; }
  let whole = subgroupAdd(sum);
  workgroupBarrier();
  return whole;
}
`;
}

/**
 * Number of a workgroup's `lanes` that go along the positions of a channel; the others take further
 * channels. A power of two, so that it divides `lanes`.
 */
export function lanesAlong(positions: number, lanes: number): number {
  let along = 1;
  while (along < positions && along < lanes) along *= 2;
  return along;
}
