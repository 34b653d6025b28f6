/**
 * Group normalisation, with the scale and shift of the time embedding and SiLU in the same launch.
 *
 * @module
 */
import type { Launch, View } from "../kernel.ts";
import { linearGrid } from "../kernel.ts";
import {
  componentSum,
  kernelName,
  lanesAlong,
  Shader,
  totalFunction,
  type Variant,
  vectorType,
  viewsWidth,
} from "./layout.ts";
import { siluFunction } from "./silu.ts";

/** Sizes of x `[N, C, …]` with P positions. */
export interface GroupNormSizes {
  readonly N: number;
  readonly C: number;
  /** Positions per channel: H·W. */
  readonly P: number;
  /** A divisor of C. */
  readonly groups: number;
}

/** What is computed. */
export interface GroupNormOptions {
  /** ε, added to the variance. */
  readonly eps: number;
  /** Whether y goes through SiLU. */
  readonly silu: boolean;
}

/** What a group norm reads and writes. */
export interface GroupNormTensors<T> {
  readonly x: View<T>;
  /** `[C]` */
  readonly weight: T;
  /** `[C]` */
  readonly bias: T;
  /** `[N, 2C]`, scales then shifts, or null for none. */
  readonly scaleShift: View<T> | null;
  /** May be x's view: then the group norm is in place. */
  readonly y: View<T>;
  /** `[N, groups, 2]`: mean and 1/√(variance + ε), for the backward pass. */
  readonly stats: T;
}

/** Invocations that share a group. */
export const GROUP_LANES = { lanes: 8, workgroup: 128, subgroups: 128 } as const;

/**
 * y = silu((weight_c·x̂ + bias_c)·(1 + scale[n,c]) + shift[n,c]) with x̂ = (x − mean)/√(variance + ε) over the
 * channels and positions of a group, per sample. Mean first, then the squares around it, so that the
 * variance does not cancel.
 */
export function groupNorm<T>(
  variant: Variant,
  sizes: GroupNormSizes,
  options: GroupNormOptions,
  tensors: GroupNormTensors<T>,
): Launch<T>[] {
  return variant === "naive"
    ? [naiveStats(sizes, options, tensors), naiveApply(sizes, options, tensors)]
    : [fused(variant, sizes, options, tensors)];
}

/** WGSL statements that define `w` and `b` of channel `c`, scale and shift included: y = w·x̂ + b. */
function affineOfChannel(
  { weight, bias, e }: { weight: string; bias: string; e: string | null },
): string {
  if (e === null) return `let w = ${weight}[c]; let b = ${bias}[c];`;
  return `let factor = 1.0 + ${e}[p.eOffset + n * p.eStride + c];
    let w = ${weight}[c] * factor;
    let b = ${bias}[c] * factor + ${e}[p.eOffset + n * p.eStride + p.C + c];`;
}

function flopsOf({ N, C, P }: GroupNormSizes, { silu }: GroupNormOptions): number {
  return N * C * P * (silu ? 12 : 8);
}

/** Binds the parameters of the affine map. */
function bindAffine<T>(
  shader: Shader<T>,
  tensors: Pick<GroupNormTensors<T>, "weight" | "bias" | "scaleShift">,
): { weight: string; bias: string; e: string | null } {
  const weight = shader.tensor("weight", "f32", tensors.weight, "read");
  const bias = shader.tensor("bias", "f32", tensors.bias, "read");
  const { scaleShift } = tensors;
  return { weight, bias, e: scaleShift && shader.view("e", 1, scaleShift, "read") };
}

function fused<T>(
  variant: Exclude<Variant, "naive">,
  sizes: GroupNormSizes,
  options: GroupNormOptions,
  tensors: GroupNormTensors<T>,
): Launch<T> {
  const { N, C, P, groups } = sizes;
  const width = viewsWidth(variant, P, [tensors.x, tensors.y]);
  const lanes = GROUP_LANES[variant];
  const shader = new Shader<T>();
  const x = shader.view("x", width, tensors.x, "read");
  const y = shader.view("y", width, tensors.y, "write");
  const stats = shader.tensor("stats", "f32", tensors.stats, "write");
  const affine = bindAffine(shader, tensors);
  const channels = C / groups;
  shader.integers({ C, channels, groups, P: P / width, along: lanesAlong(P / width, lanes) });
  shader.floats({ inverseSize: 1 / (channels * P), eps: options.eps });
  const type = vectorType(width);
  const everyElement = (body: string): string =>
    `for (var k = lane / along; k < channels; k += rows) {
    for (var i = lane % along; i < P; i += along) { ${body} }
  }`;
  const body = `${totalFunction(variant, lanes)}${options.silu ? siluFunction(width) : ""}
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) id: vec3u, @builtin(local_invocation_index) lane: u32) {
  let group = id.x; let n = id.y;
  let P = p.P; let channels = p.channels; let along = p.along; let rows = ${lanes}u / along;
  let first = group * channels;
  let xAt = p.xOffset + n * p.xStride + first * P;
  let yAt = p.yOffset + n * p.yStride + first * P;

  var sum = ${type}();
  ${everyElement(`sum += ${x}[xAt + k * P + i];`)}
  let mean = total(lane, ${componentSum(width, "sum")}) * p.inverseSize;

  var squares = ${type}();
  ${everyElement(`let d = ${x}[xAt + k * P + i] - mean; squares += d * d;`)}
  let variance = total(lane, ${componentSum(width, "squares")}) * p.inverseSize;
  let rstd = inverseSqrt(variance + p.eps);
  if (lane == 0u) {
    let at = 2u * (n * p.groups + group);
    ${stats}[at] = mean;
    ${stats}[at + 1u] = rstd;
  }

  for (var k = lane / along; k < channels; k += rows) {
    let c = first + k;
    ${affineOfChannel(affine)}
    let wx = w * rstd;
    for (var i = lane % along; i < P; i += along) {
      let v = (${x}[xAt + k * P + i] - mean) * wx + b;
      ${y}[yAt + k * P + i] = ${options.silu ? "silu(v)" : "v"};
    }
  }
}
`;
  return shader.launch({
    kernel: kernelName("groupNorm", variant, width),
    body,
    workgroups: [groups, N, 1],
    flops: flopsOf(sizes, options),
    bytes: 8 * N * C * P,
  });
}

/** One invocation per group of a sample. */
function naiveStats<T>(
  { N, C, P, groups }: GroupNormSizes,
  { eps }: GroupNormOptions,
  tensors: GroupNormTensors<T>,
): Launch<T> {
  const shader = new Shader<T>();
  const x = shader.view("x", 1, tensors.x, "read");
  const stats = shader.tensor("stats", "f32", tensors.stats, "write");
  const size = C / groups * P;
  shader.integers({ N, groups, size });
  shader.floats({ inverseSize: 1 / size, eps });
  const body = `
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= p.N * p.groups) { return; }
  let n = id.x / p.groups; let group = id.x % p.groups;
  let start = p.xOffset + n * p.xStride + group * p.size;
  var sum = 0.0;
  for (var i = 0u; i < p.size; i++) { sum += ${x}[start + i]; }
  let mean = sum * p.inverseSize;
  var squares = 0.0;
  for (var i = 0u; i < p.size; i++) { let d = ${x}[start + i] - mean; squares += d * d; }
  ${stats}[2u * id.x] = mean;
  ${stats}[2u * id.x + 1u] = inverseSqrt(squares * p.inverseSize + p.eps);
}
`;
  return shader.launch({
    kernel: "groupNormStats.naive",
    body,
    workgroups: [Math.ceil(N * groups / 64), 1, 1],
    flops: 4 * N * C * P,
    bytes: 4 * N * C * P,
  });
}

/** One invocation per element. */
function naiveApply<T>(
  { N, C, P, groups }: GroupNormSizes,
  { silu }: GroupNormOptions,
  tensors: GroupNormTensors<T>,
): Launch<T> {
  const shader = new Shader<T>();
  const x = shader.view("x", 1, tensors.x, "read");
  const y = shader.view("y", 1, tensors.y, "write");
  const stats = shader.tensor("stats", "f32", tensors.stats, "read");
  const affine = bindAffine(shader, tensors);
  shader.integers({ N, C, P, groups, channels: C / groups });
  const body = `${silu ? siluFunction(1) : ""}
@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let at = (id.x + id.y * grid.x) * 64u + lane;
  if (at >= p.N * p.C * p.P) { return; }
  let n = at / (p.C * p.P); let i = at % (p.C * p.P);
  let c = i / p.P;
  let s = 2u * (n * p.groups + c / p.channels);
  ${affineOfChannel(affine)}
  let v = (${x}[p.xOffset + n * p.xStride + i] - ${stats}[s]) * (w * ${stats}[s + 1u]) + b;
  ${y}[p.yOffset + n * p.yStride + i] = ${silu ? "silu(v)" : "v"};
}
`;
  return shader.launch({
    kernel: "groupNormApply.naive",
    body,
    workgroups: linearGrid(Math.ceil(N * C * P / 64)),
    flops: 6 * N * C * P,
    bytes: 8 * N * C * P,
  });
}
