/**
 * The sampling step itself, on the device.
 *
 * @module
 */
import { type Launch, linearGrid, type View } from "../kernel.ts";
import { ROW, ROW_SIZE } from "../sampler_rows.ts";
import { kernelName, Shader, type Variant, vectorType, vectorWidth, viewsWidth } from "./layout.ts";
import type { MapSizes } from "./map.ts";

/** What a sampling step reads and writes; arrays `[N, D]`. */
export interface SamplerTensors<T> {
  /** x_t, which becomes x_prev. */
  readonly x: View<T>;
  /** The network's output, its mean part. */
  readonly output: View<T>;
  /** The network's variance part, or null for a fixed variance. */
  readonly variance: View<T> | null;
  /** z of the steps whose number is a multiple of `noiseSlots`; null where no step has noise. */
  readonly noise: View<T> | null;
  /** Where x̂_0 after clipping goes, or null. */
  readonly x0: View<T> | null;
  /** `samplerRows`. */
  readonly rows: T;
  /** u32 `[1]`: number of the step, from 0. */
  readonly step: T;
}

/** Where the noise of step k lies: in slot k mod `slots`. */
export interface NoiseSlots {
  readonly slots: number;
  /** Elements from one slot to the next. */
  readonly stride: number;
}

const WORKGROUP = 64;
const MOST_PER_INVOCATION = 8;

/**
 * x ← fromX0·x̂_0 + fromX·x + fromOutput·output + σ·z with x̂_0 = x0FromX·x + x0FromOutput·output, clamped: a DDPM
 * or a DDIM step by the step's row.
 */
export function samplerStep<T>(
  variant: Variant,
  { N, D }: MapSizes,
  tensors: SamplerTensors<T>,
  noiseSlots: NoiseSlots = { slots: 1, stride: 0 },
): Launch<T> {
  const { variance, noise, x0 } = tensors;
  const views = [tensors.x, tensors.output, variance, noise, x0].filter((v) => v !== null);
  const width = variant === "naive" || vectorWidth(noiseSlots.stride) === 1
    ? 1
    : viewsWidth(variant, D, views);
  const type = vectorType(width);
  const count = D / width;
  const perInvocation = variant === "naive"
    ? 1
    : Math.min(MOST_PER_INVOCATION, Math.ceil(count / WORKGROUP));
  const perWorkgroup = WORKGROUP * perInvocation;
  const shader = new Shader<T>();
  shader.integers({ count, perWorkgroup });
  const xs = shader.view("xData", width, tensors.x, "update");
  const outputs = shader.view("outputData", width, tensors.output, "read");
  const rows = shader.tensor("rows", "f32", tensors.rows, "read");
  const step = shader.tensor("step", "u32", tensors.step, "read");
  const at = (name: string) => `p.${name}Offset + n * p.${name}Stride + i`;
  const read = (name: string, view: View<T>, shift = "") =>
    `${shader.view(name, width, view, "read")}[${at(name)}${shift}]`;
  const raw = variance && read("variance", variance);
  const z = noise && read("noise", noise, " + slot");
  if (noise !== null) {
    shader.integers({ noiseSlots: noiseSlots.slots, noiseSlotStride: noiseSlots.stride / width });
  }
  const x0s = x0 && shader.view("x0Data", width, x0, "write");
  const sigma = raw === null ? "sigma" : `sigma * exp(sigmaSlope * ${raw})`;
  const body = `
@compute @workgroup_size(${WORKGROUP})
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let n = id.z;
  let number = ${step}[0];
  let row = number * ${ROW_SIZE}u;
  ${
    Object.entries(ROW).map(([name, place]) => `let ${name} = ${rows}[row + ${place}u];`)
      .join("\n  ")
  }
  ${noise === null ? "" : "let slot = (number % p.noiseSlots) * p.noiseSlotStride;"}
  let start = (id.x + id.y * grid.x) * p.perWorkgroup;
  let end = min(start + p.perWorkgroup, p.count);
  for (var i = start + lane; i < end; i += ${WORKGROUP}u) {
    let x = ${xs}[${at("xData")}];
    let output = ${outputs}[${at("outputData")}];
    let x0 = clamp(x0FromX * x + x0FromOutput * output, ${type}(-clipRange), ${type}(clipRange));
    ${x0s === null ? "" : `${x0s}[${at("x0Data")}] = x0;`}
    let mean = fromX0 * x0 + fromX * x + fromOutput * output;
    ${xs}[${at("xData")}] = mean${z === null ? "" : ` + ${sigma} * ${z}`};
  }
}
`;
  const [columns, lines] = linearGrid(Math.ceil(count / perWorkgroup));
  return shader.launch({
    kernel: kernelName("samplerStep", variant, width),
    body,
    workgroups: [columns, lines, N],
    flops: 12 * N * D,
    bytes: 4 * N * D * (views.length + 1),
  });
}

/** step ← step + 1, for a u32 `[1]`. */
export function advance<T>(step: T): Launch<T> {
  const shader = new Shader<T>();
  shader.integers({ by: 1 });
  const number = shader.tensor("step", "u32", step, "update");
  const body = `
@compute @workgroup_size(1)
fn main() { ${number}[0] += p.by; }
`;
  return shader.launch({ kernel: "advance", body, workgroups: [1, 1, 1], flops: 0, bytes: 8 });
}
