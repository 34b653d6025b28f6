/**
 * The training loss and its gradient.
 *
 * @module
 */
import type { Launch, View } from "../kernel.ts";
import {
  componentSum,
  kernelName,
  Shader,
  totalFunction,
  type Variant,
  vectorType,
  viewsWidth,
  type Width,
} from "./layout.ts";

/** Sizes of the network's output `[N, …]`. */
export interface LossSizes {
  readonly N: number;
  /** Elements per sample: C·H·W. */
  readonly D: number;
}

/** What the loss reads and writes. */
export interface LossTensors<T> {
  /** What the network should have predicted: ε in L_simple. */
  readonly target: View<T>;
  /** What it predicted. */
  readonly output: View<T>;
  /** One weight per sample `[N]`, or null for 1. */
  readonly weights: T | null;
  /** ∂loss/∂output; may be output's view. */
  readonly dOutput: View<T>;
  /** Scratch of `lossParts(variant, D)` elements per sample. */
  readonly parts: T;
  /** Mean squared error of each sample, without its weight: `[N]`, or as many for each micro-batch. */
  readonly losses: T;
  /** u32 `[1]`: number of the micro-batch, from 0, where there are several; null where there is one. */
  readonly part: T | null;
  /** `[1]`: the loss. */
  readonly loss: T;
}

/** How the loss enters a step. */
export interface LossOptions {
  /** Factor of the loss and its gradient: one over the micro-batches of a step. */
  readonly scale: number;
  /** Whether the loss is added to what is there, as after the first micro-batch. */
  readonly accumulate: boolean;
}

const LANES = { naive: 1, lanes: 8, workgroup: 64, subgroups: 64 } as const;
/** Elements whose squares are summed to one part. */
const PART = 1024;
/** Invocations of the last sum. */
const TOTAL_LANES = 64;

/** Parts of a sample's sum. */
export function lossParts(variant: Variant, D: number): number {
  return variant === "naive" ? 1 : Math.ceil(D / PART);
}

/** Additions that one square goes through in a sample's sum. */
export function lossDepth(variant: Variant, width: Width, D: number): number {
  const parts = lossParts(variant, D), lanes = LANES[variant];
  const perLane = Math.ceil((parts === 1 ? D : PART) / width / lanes);
  return perLane + (width === 4 ? 2 : 0) + Math.log2(lanes) + parts - 1;
}

/**
 * loss = scale·(1/N)·Σ_n w_n·loss_n with loss_n = (1/D)·‖output_n − target_n‖², and
 * dOutput = scale·w_n·2·(output − target)/(N·D). With the noise as the target and no weights this is the
 * mean form of L_simple (Ho et al. 2020, eq. 14).
 */
export function loss<T>(
  variant: Variant,
  sizes: LossSizes,
  tensors: LossTensors<T>,
  options: LossOptions,
): Launch<T>[] {
  return [squares(variant, sizes, tensors, options), totals(variant, sizes, tensors, options)];
}

/** The gradient, and the sum of squares of each part of a sample. */
function squares<T>(
  variant: Variant,
  { N, D }: LossSizes,
  tensors: LossTensors<T>,
  { scale }: LossOptions,
): Launch<T> {
  const width = viewsWidth(variant, D, [tensors.target, tensors.output, tensors.dOutput]);
  const lanes = LANES[variant], parts = lossParts(variant, D);
  const shader = new Shader<T>();
  shader.integers({ count: D / width, perPart: parts === 1 ? D / width : PART / width, parts });
  shader.floats({ factor: 2 * scale / (N * D) });
  const target = shader.view("wanted", width, tensors.target, "read");
  const output = shader.view("output", width, tensors.output, "read");
  const dOutput = shader.view("dOutput", width, tensors.dOutput, "write");
  const partSums = shader.tensor("partSums", "f32", tensors.parts, "write");
  const weights = tensors.weights && shader.tensor("weights", "f32", tensors.weights, "read");
  const body = `${totalFunction(variant, lanes)}
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) id: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = id.y;
  let start = id.x * p.perPart;
  let end = min(start + p.perPart, p.count);
  let factor = p.factor${weights === null ? "" : ` * ${weights}[n]`};
  let targetAt = p.wantedOffset + n * p.wantedStride;
  let outputAt = p.outputOffset + n * p.outputStride;
  let dOutputAt = p.dOutputOffset + n * p.dOutputStride;
  var sum = ${vectorType(width)}();
  for (var i = start + lane; i < end; i += ${lanes}u) {
    let error = ${output}[outputAt + i] - ${target}[targetAt + i];
    sum += error * error;
    ${dOutput}[dOutputAt + i] = factor * error;
  }
  let part = total(lane, ${componentSum(width, "sum")});
  if (lane == 0u) { ${partSums}[n * p.parts + id.x] = part; }
}
`;
  return shader.launch({
    kernel: kernelName("lossSquares", variant, width),
    body,
    workgroups: [parts, N, 1],
    flops: 4 * N * D,
    bytes: 12 * N * D,
  });
}

/** Each sample's loss, and the batch's. */
function totals<T>(
  variant: Variant,
  { N, D }: LossSizes,
  tensors: LossTensors<T>,
  { scale, accumulate }: LossOptions,
): Launch<T> {
  const parts = lossParts(variant, D);
  const shader = new Shader<T>();
  shader.integers({ N, parts });
  shader.floats({ inverseD: 1 / D, factor: scale / N });
  const partSums = shader.tensor("partSums", "f32", tensors.parts, "read");
  const losses = shader.tensor("losses", "f32", tensors.losses, "write");
  const whole = shader.tensor("loss", "f32", tensors.loss, accumulate ? "update" : "write");
  const weights = tensors.weights && shader.tensor("weights", "f32", tensors.weights, "read");
  const part = tensors.part && shader.tensor("part", "u32", tensors.part, "read");
  const body = `${totalFunction(variant, TOTAL_LANES)}
@compute @workgroup_size(${TOTAL_LANES})
fn main(@builtin(local_invocation_index) lane: u32) {
  var weighted = 0.0;
  for (var n = lane; n < p.N; n += ${TOTAL_LANES}u) {
    var sum = 0.0;
    for (var i = n * p.parts; i < (n + 1u) * p.parts; i++) { sum += ${partSums}[i]; }
    let own = sum * p.inverseD;
    ${losses}[${part === null ? "n" : `${part}[0] * p.N + n`}] = own;
    weighted += ${weights === null ? "own" : `${weights}[n] * own`};
  }
  let mean = p.factor * total(lane, weighted);
  if (lane == 0u) { ${whole}[0] = ${accumulate ? `${whole}[0] + ` : ""}mean; }
}
`;
  return shader.launch({
    kernel: accumulate ? "lossTotalsAdd" : "lossTotals",
    body,
    workgroups: [1, 1, 1],
    flops: N * (parts + 3),
    bytes: 4 * N * (parts + 1),
  });
}
