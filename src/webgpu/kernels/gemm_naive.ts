/**
 * Matrix product, one invocation per element of C: what the fast variants are compared with.
 *
 * @module
 */
import type { Launch } from "../kernel.ts";
import {
  ADDENDS,
  checkedGrid,
  gemmBytes,
  gemmDeclarations,
  gemmFlops,
  gemmOperands,
  gemmParams,
  type GemmProblem,
} from "./gemm_problem.ts";

const SCALAR = { a: "scalar", b: "scalar", c: "scalar" } as const;

/** One element per invocation. */
export function gemmNaive<T>(problem: GemmProblem<T>): Launch<T> {
  const { B1 = 1, B2 = 1, M, N } = problem;
  const at = (x: string): string =>
    `p.${x}Offset + b1 * p.${x}B1 + b2 * p.${x}B2 + m * p.${x}M + n * p.${x}N`;
  const added = ADDENDS.filter((x) => problem[x]).map((x) => ` + ${x}[${at(x)}]`).join("");
  const wgsl = `${gemmDeclarations(problem, SCALAR)}
@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let n = wid.x * 64u + lane;
  if (n >= p.N) { return; }
  let m = wid.y;
  let b1 = wid.z / p.B2;
  let b2 = wid.z % p.B2;
  let a = p.aOffset + b1 * p.aB1 + b2 * p.aB2 + m * p.aI;
  let b = p.bOffset + b1 * p.bB1 + b2 * p.bB2 + n * p.bI;
  var sum = 0.0;
  for (var k1 = 0u; k1 < p.K1; k1++) {
    for (var k2 = 0u; k2 < p.K2; k2++) {
      let x = f32(A[a + k1 * p.aK1 + k2 * p.aK2]);
      let y = f32(B[b + k1 * p.bK1 + k2 * p.bK2]);
      sum = fma(x, y, sum);
    }
  }
  let value = (p.alpha * sum${added}) / p.outputScale;
  ${problem.accumulate ? `C[${at("c")}] += value;` : `C[${at("c")}] = value;`}
}
`;
  return {
    kernel: "gemm.naive",
    wgsl,
    params: gemmParams(problem, SCALAR),
    operands: gemmOperands(problem),
    workgroups: checkedGrid(Math.ceil(N / 64), M, B1 * B2),
    flops: gemmFlops(problem),
    bytes: gemmBytes(problem),
  };
}
