/**
 * Classifier-free guidance.
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
} from "./layout.ts";
import type { MapSizes } from "./map.ts";

/** Two outputs of the network for the same x_t, and their combination; arrays `[N, D]`. */
export interface GuidanceTensors<T> {
  /** The output without the condition. */
  readonly unconditional: View<T>;
  /** The output with it. */
  readonly conditional: View<T>;
  /** May be one of the others. */
  readonly output: View<T>;
}

/** How outputs are combined. */
export interface GuidanceOptions {
  /** s: 1 is no guidance. */
  readonly scale: number;
  /** φ: share of the output brought back to the conditional output's standard deviation; 0 is none. */
  readonly rescale: number;
}

/** Invocations that share a sample. */
export const GUIDANCE_LANES = { naive: 1, lanes: 8, workgroup: 128, subgroups: 128 } as const;

/**
 * output = g·(φ·std(c)/std(g) + 1 − φ) with g = u + s·(c − u) (Ho and Salimans 2022, eq. 6, with s = 1 + w) and
 * standard deviations over each sample (Lin et al. 2023, section 3.4).
 */
export function guidance<T>(
  variant: Variant,
  { N, D }: MapSizes,
  tensors: GuidanceTensors<T>,
  { scale, rescale }: GuidanceOptions,
): Launch<T> {
  const { unconditional, conditional, output } = tensors;
  const width = viewsWidth(variant, D, [unconditional, conditional, output]);
  const lanes = GUIDANCE_LANES[variant];
  const type = vectorType(width);
  const shader = new Shader<T>();
  shader.integers({ count: D / width });
  shader.floats({ scale, inverseD: 1 / D });
  const us = shader.view("uData", width, unconditional, "read");
  const cs = shader.view("cData", width, conditional, "read");
  const outputs = shader.view("outputData", width, output, "write");
  const each = (body: string): string =>
    `for (var i = lane; i < count; i += ${lanes}u) {
    let u = ${us}[uAt + i]; let c = ${cs}[cAt + i];
    let g = u + scale * (c - u);
    ${body}
  }`;
  const sum = (of: string) => `total(lane, ${componentSum(width, of)})`;
  if (rescale !== 0) shader.floats({ rescale, kept: 1 - rescale });
  const deviations = rescale === 0 ? "let factor = 1.0;" : `
  var sumC = ${type}(); var sumG = ${type}();
  ${each("sumC += c; sumG += g;")}
  let meanC = ${sum("sumC")} * p.inverseD;
  let meanG = ${sum("sumG")} * p.inverseD;
  var squaresC = ${type}(); var squaresG = ${type}();
  ${each("let dC = c - meanC; let dG = g - meanG; squaresC += dC * dC; squaresG += dG * dG;")}
  let ratio = sqrt(${sum("squaresC")} / ${sum("squaresG")});
  let factor = p.rescale * ratio + p.kept;`;
  const body = `${rescale === 0 ? "" : totalFunction(variant, lanes)}
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) id: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = id.x; let count = p.count; let scale = p.scale;
  let uAt = p.uDataOffset + n * p.uDataStride;
  let cAt = p.cDataOffset + n * p.cDataStride;
  let outputAt = p.outputDataOffset + n * p.outputDataStride;
  ${deviations}
  ${each(`${outputs}[outputAt + i] = factor * g;`)}
}
`;
  return shader.launch({
    kernel: kernelName(rescale === 0 ? "guidance" : "guidanceRescaled", variant, width),
    body,
    workgroups: [N, 1, 1],
    flops: (rescale === 0 ? 3 : 14) * N * D,
    bytes: 12 * N * D,
  });
}
