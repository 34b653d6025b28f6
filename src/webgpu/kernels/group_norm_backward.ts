/**
 * Gradients of group norm with the scale and shift of the time embedding and SiLU.
 *
 * @module
 */
import type { Launch, View } from "../kernel.ts";
import { GROUP_LANES, type GroupNormSizes } from "./group_norm.ts";
import {
  componentSum,
  isShared,
  kernelName,
  lanesAlong,
  Shader,
  totalFunction,
  type Variant,
  vectorType,
  viewsWidth,
} from "./layout.ts";
import { siluSlopeFunction } from "./silu.ts";

/** What is differentiated, and where gradients add to what is there. */
export interface GroupNormBackwardOptions {
  /** Whether y went through SiLU. */
  readonly silu: boolean;
  /** Whether dX is added to. */
  readonly accumulateX: boolean;
  /** Whether dWeight and dBias are added to. */
  readonly accumulateParameters: boolean;
}

/** What the gradient of a group norm reads and writes. */
export interface GroupNormBackwardTensors<T> {
  readonly dY: View<T>;
  readonly x: View<T>;
  /** `[C]` */
  readonly weight: T;
  /** `[C]` */
  readonly bias: T;
  /** `[N, 2C]`, or null for none. */
  readonly scaleShift: View<T> | null;
  /** `[N, groups, 2]`, as the forward pass left them. */
  readonly stats: T;
  /** Scratch `[N, C, 2]`. */
  readonly sums: T;
  /** May be dY's view. */
  readonly dX: View<T>;
  /** `[C]` */
  readonly dWeight: T;
  /** `[C]` */
  readonly dBias: T;
  /** `[N, 2C]`, or null for none. */
  readonly dScaleShift: View<T> | null;
}

/** Invocations that share a channel's sums in the `workgroup` variant. */
export const CHANNEL_LANES = 64;
const CHANNELS_PER_WORKGROUP = 8;

/**
 * With dV the gradient before SiLU and w_c = weight_c·(1 + scale), per sample and channel the sums Σ dV and
 * Σ dV·x̂; from them dScale, dShift and, summed over samples, dWeight and dBias; then, with means over
 * the group, dX = (w·dV − mean(w·dV) − x̂·mean(w·dV·x̂))·rstd.
 */
export function groupNormBackward<T>(
  variant: Variant,
  sizes: GroupNormSizes,
  options: GroupNormBackwardOptions,
  tensors: GroupNormBackwardTensors<T>,
): Launch<T>[] {
  return [
    channelSums(variant, sizes, options, tensors),
    inputGradient(variant, sizes, options, tensors),
    parameterGradients(sizes, options, tensors),
  ];
}

/** Binds what an output element was computed with, as far as `bias` and `weight` are needed. */
function bindAffine<T>(
  shader: Shader<T>,
  tensors: GroupNormBackwardTensors<T>,
  { weight, bias }: { readonly weight: boolean; readonly bias: boolean },
): { readonly w: string; readonly b: string } {
  const e = (weight || bias) && tensors.scaleShift
    ? shader.view("e", 1, tensors.scaleShift, "read")
    : null;
  const factor = e === null ? "" : ` * (1.0 + ${e}[p.eOffset + n * p.eStride + c])`;
  const shift = e === null ? "" : ` + ${e}[p.eOffset + n * p.eStride + p.C + c]`;
  return {
    w: weight ? `${shader.tensor("weight", "f32", tensors.weight, "read")}[c]${factor}` : "",
    b: bias ? `${shader.tensor("bias", "f32", tensors.bias, "read")}[c]${factor}${shift}` : "",
  };
}

/** sums[n,c] = (Σ dV, Σ dV·x̂), and from them dScale and dShift. */
function channelSums<T>(
  variant: Variant,
  { N, C, P, groups }: GroupNormSizes,
  { silu }: GroupNormBackwardOptions,
  tensors: GroupNormBackwardTensors<T>,
): Launch<T> {
  const width = viewsWidth(variant, P, [tensors.x, tensors.dY]);
  const shared = isShared(variant);
  const lanes = shared ? CHANNEL_LANES : CHANNELS_PER_WORKGROUP;
  const shader = new Shader<T>();
  shader.integers({ C, P: P / width, groups, channels: C / groups });
  const x = shader.view("x", width, tensors.x, "read");
  const dY = shader.view("dY", width, tensors.dY, "read");
  const stats = shader.tensor("stats", "f32", tensors.stats, "read");
  const sums = shader.tensor("sums", "f32", tensors.sums, "write");
  const affine = bindAffine(shader, tensors, { weight: silu, bias: silu });
  let scaleShiftGradient = "";
  if (tensors.dScaleShift !== null) {
    const dE = shader.view("dE", 1, tensors.dScaleShift, "write");
    const weight = shader.tensor("weight", "f32", tensors.weight, "read");
    const bias = shader.tensor("bias", "f32", tensors.bias, "read");
    scaleShiftGradient = `
    let e = p.dEOffset + n * p.dEStride + c;
    ${dE}[e] = ${weight}[c] * sumX + ${bias}[c] * sum;
    ${dE}[e + p.C] = sum;`;
  }
  const [ownSum, ownSumX] = [componentSum(width, "sumV"), componentSum(width, "sumVX")];
  const body = `
alias V = ${vectorType(width)};
${shared ? totalFunction(variant, lanes) : ""}${silu ? siluSlopeFunction(width) : ""}
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) id: vec3u, @builtin(local_invocation_index) lane: u32) {
  let c = ${shared ? "id.x" : `id.x * ${lanes}u + lane`};
  if (c >= p.C) { return; }
  let n = id.y;
  let P = p.P;
  let s = 2u * (n * p.groups + c / p.channels);
  let mean = ${stats}[s]; let rstd = ${stats}[s + 1u];
  ${silu ? `let w = ${affine.w}; let b = ${affine.b};` : ""}
  let xAt = p.xOffset + n * p.xStride + c * P;
  let dYAt = p.dYOffset + n * p.dYStride + c * P;
  var sumV = V(); var sumVX = V();
  for (var i = ${shared ? "lane" : "0u"}; i < P; i += ${shared ? lanes : 1}u) {
    let xHat = (${x}[xAt + i] - mean) * rstd;
    let dV = ${dY}[dYAt + i]${silu ? " * siluSlope(w * xHat + b)" : ""};
    sumV += dV;
    sumVX += dV * xHat;
  }
  let sum = ${shared ? `total(lane, ${ownSum})` : ownSum};
  let sumX = ${shared ? `total(lane, ${ownSumX})` : ownSumX};
  ${shared ? "if (lane == 0u) {" : "{"}
    let at = 2u * (n * p.C + c);
    ${sums}[at] = sum;
    ${sums}[at + 1u] = sumX;${scaleShiftGradient}
  }
}
`;
  return shader.launch({
    kernel: kernelName("groupNormSums", variant, width),
    body,
    workgroups: [shared ? C : Math.ceil(C / CHANNELS_PER_WORKGROUP), N, 1],
    flops: (silu ? 16 : 5) * N * C * P,
    bytes: 8 * N * C * P,
  });
}

/** dX from the sums. */
function inputGradient<T>(
  variant: Variant,
  { N, C, P, groups }: GroupNormSizes,
  { silu, accumulateX }: GroupNormBackwardOptions,
  tensors: GroupNormBackwardTensors<T>,
): Launch<T> {
  const width = viewsWidth(variant, P, [tensors.x, tensors.dY, tensors.dX]);
  // The naive variant has one invocation per group.
  const lanes = variant === "naive" ? 1 : GROUP_LANES[variant];
  const channels = C / groups;
  const shader = new Shader<T>();
  shader.integers({ C, channels, groups, P: P / width, along: lanesAlong(P / width, lanes) });
  shader.floats({ inverseSize: 1 / (channels * P) });
  const x = shader.view("x", width, tensors.x, "read");
  const dY = shader.view("dY", width, tensors.dY, "read");
  const dX = shader.view("dX", width, tensors.dX, accumulateX ? "update" : "write");
  const stats = shader.tensor("stats", "f32", tensors.stats, "read");
  const sums = shader.tensor("sums", "f32", tensors.sums, "read");
  const affine = bindAffine(shader, tensors, { weight: true, bias: silu });
  const body = `${silu ? siluSlopeFunction(width) : ""}
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) id: vec3u, @builtin(local_invocation_index) lane: u32) {
  let group = id.x; let n = id.y;
  let P = p.P; let channels = p.channels; let along = p.along; let rows = ${lanes}u / along;
  let first = group * channels;
  let s = 2u * (n * p.groups + group);
  let mean = ${stats}[s]; let rstd = ${stats}[s + 1u];

  var meanG = 0.0; var meanGX = 0.0;
  for (var c = first; c < first + channels; c++) {
    let w = ${affine.w};
    let at = 2u * (n * p.C + c);
    meanG += w * ${sums}[at];
    meanGX += w * ${sums}[at + 1u];
  }
  meanG *= p.inverseSize;
  meanGX *= p.inverseSize;

  for (var c = first + lane / along; c < first + channels; c += rows) {
    let w = ${affine.w};
    ${silu ? `let b = ${affine.b};` : ""}
    let xAt = p.xOffset + n * p.xStride + c * P;
    let dYAt = p.dYOffset + n * p.dYStride + c * P;
    let dXAt = p.dXOffset + n * p.dXStride + c * P;
    for (var i = lane % along; i < P; i += along) {
      let xHat = (${x}[xAt + i] - mean) * rstd;
      let dV = ${dY}[dYAt + i]${silu ? " * siluSlope(w * xHat + b)" : ""};
      ${dX}[dXAt + i] = ${
    accumulateX ? `${dX}[dXAt + i] + ` : ""
  }(w * dV - meanG - xHat * meanGX) * rstd;
    }
  }
}
`;
  return shader.launch({
    kernel: kernelName(accumulateX ? "groupNormInputAdd" : "groupNormInput", variant, width),
    body,
    workgroups: [groups, N, 1],
    flops: (silu ? 18 : 8) * N * C * P,
    bytes: (accumulateX ? 16 : 12) * N * C * P,
  });
}

/** dWeight = Σ_n (1 + scale)·Σ dV·x̂ and dBias = Σ_n (1 + scale)·Σ dV, or those added. */
function parameterGradients<T>(
  { N, C }: GroupNormSizes,
  { accumulateParameters }: GroupNormBackwardOptions,
  tensors: GroupNormBackwardTensors<T>,
): Launch<T> {
  const access = accumulateParameters ? "update" : "write";
  const shader = new Shader<T>();
  shader.integers({ N, C });
  const sums = shader.tensor("sums", "f32", tensors.sums, "read");
  const dWeight = shader.tensor("dWeight", "f32", tensors.dWeight, access);
  const dBias = shader.tensor("dBias", "f32", tensors.dBias, access);
  const e = tensors.scaleShift && shader.view("e", 1, tensors.scaleShift, "read");
  const factor = e === null ? "" : `(1.0 + ${e}[p.eOffset + n * p.eStride + c]) * `;
  const start = (tensor: string) => accumulateParameters ? `${tensor}[c]` : "0.0";
  const body = `
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let c = id.x;
  if (c >= p.C) { return; }
  var sum = ${start(dBias)}; var sumX = ${start(dWeight)};
  for (var n = 0u; n < p.N; n++) {
    let at = 2u * (n * p.C + c);
    sum += ${factor}${sums}[at];
    sumX += ${factor}${sums}[at + 1u];
  }
  ${dBias}[c] = sum;
  ${dWeight}[c] = sumX;
}
`;
  return shader.launch({
    kernel: accumulateParameters ? "groupNormParametersAdd" : "groupNormParameters",
    body,
    workgroups: [Math.ceil(C / 64), 1, 1],
    flops: 2 * N * C,
    bytes: 8 * N * C + 8 * C,
  });
}
