/**
 * Matrix product for GPUs: a workgroup of 16 × 16 invocations keeps a tile of C in registers, V × T
 * elements each, and walks along the sum in steps of 16, for each of which it brings a slice of A and
 * of B to workgroup memory once.
 *
 * @module
 */
import type { Launch } from "../kernel.ts";
import {
  accessOf,
  ADDENDS,
  checkedGrid,
  type Factor,
  type GemmAccess,
  gemmBytes,
  gemmDeclarations,
  gemmFlops,
  gemmOperands,
  gemmParams,
  type GemmProblem,
} from "./gemm_problem.ts";

/** Elements of C per invocation. */
export interface WorkgroupTile {
  /** Rows, a multiple of 4. */
  readonly V: number;
  /** Columns, a multiple of 4. */
  readonly T: number;
}

/** Invocations along a side of the workgroup. */
const SIDE = 16;
/** Terms of the sum per step. */
const DEPTH = 16;

function lines(n: number, f: (i: number) => string): string {
  return Array.from({ length: n }, (_, i) => f(i)).join("\n");
}

/**
 * Fills `slice{name}`, DEPTH rows of `width` elements as vec4s: one vec4 per invocation and turn, zero
 * beyond the end of the sum. Neighbouring invocations read neighbouring elements.
 */
function fill(
  name: "A" | "B",
  width: number,
  factor: Factor<unknown>,
  access: "scalar" | "vec4",
): string {
  const [lower, size, start] = name === "A" ? ["a", "p.M", "m0"] : ["b", "p.N", "n0"];
  const groups = width / 4;
  const alongSum = access === "scalar" && factor.k2 === 1;
  const place = alongSum
    ? `let k = i % ${DEPTH}u; let group = i / ${DEPTH}u;`
    : `let k = i / ${groups}u; let group = i % ${groups}u;`;
  const value = access === "vec4"
    ? `vec4f(${name}[at + min(${start} / 4u + group, ${size} / 4u - 1u)])`
    : `vec4f(${
      [0, 1, 2, 3].map((j) =>
        `f32(${name}[at + min(${start} + 4u * group + ${j}u, ${size} - 1u) * p.${lower}I])`
      ).join(", ")
    })`;
  return lines(width * DEPTH / 4 / SIDE ** 2, (turn) =>
    `{
  let i = lane + ${turn * SIDE ** 2}u;
  ${place}
  let at = ${lower} + k1 * p.${lower}K1 + min(k2 + k, p.K2 - 1u) * p.${lower}K2;
  slice${name}[k * ${groups}u + group] = select(vec4f(), ${value}, k2 + k < p.K2);
}`);
}

/** One term of all sums of an invocation. */
function step({ V, T }: WorkgroupTile): string {
  const rows = lines(V / 4, (i) => `let x${i} = sliceA[k * ${4 * V}u + ${SIDE * i}u + ty];`);
  const columns = lines(T / 4, (j) => `let y${j} = sliceB[k * ${4 * T}u + ${SIDE * j}u + tx];`);
  const sums = lines(
    V,
    (r) =>
      lines(
        T / 4,
        (j) => `c${r}_${j} = fma(vec4f(x${r >> 2}.${"xyzw"[r & 3]}), y${j}, c${r}_${j});`,
      ),
  );
  return `${rows}\n${columns}\n${sums}`;
}

/** Finishes and stores four neighbours in a row of C. */
function store<T>(problem: GemmProblem<T>, access: GemmAccess, r: number, j: number): string {
  const at = (x: string, n: string): string =>
    `p.${x}Offset + b1 * p.${x}B1 + b2 * p.${x}B2 + m * p.${x}M + ${n} * p.${x}N`;
  const set = problem.accumulate ? "+=" : "=";
  const present = ADDENDS.filter((x) => problem[x]);
  const head = `let m = m0 + ${4 * SIDE * (r >> 2) + (r & 3)}u + 4u * ty;
  let n = n0 + ${4 * SIDE * j}u + 4u * tx;`;
  if (access.c === "vec4n") {
    const added = present.map((x) => {
      const values = [0, 1, 2, 3].map((i) => `${x}[${at(x, `(n + ${i}u)`)}]`);
      return ` + vec4f(${values.join(", ")})`;
    });
    return `{
  ${head}
  if (m < p.M && n < p.N) {
    C[${at("c", "n / 4u")}] ${set} (p.alpha * c${r}_${j}${added.join("")}) / p.outputScale;
  }
}`;
  }
  const stores = lines(4, (i) => {
    const added = present.map((x) => ` + ${x}[${at(x, `(n + ${i}u)`)}]`).join("");
    return `if (m < p.M && n + ${i}u < p.N) {
    C[${at("c", `(n + ${i}u)`)}] ${set} (p.alpha * c${r}_${j}.${"xyzw"[i]}${added}) / p.outputScale;
  }`;
  });
  return `{\n  ${head}\n${stores}\n}`;
}

/** A tile of 16·V × 16·T per workgroup. Neighbours in C should lie along n. */
export function gemmWorkgroup<T>(tile: WorkgroupTile, problem: GemmProblem<T>): Launch<T> {
  const { B1 = 1, B2 = 1, M, N } = problem;
  const { V, T } = tile;
  const widest = accessOf(problem);
  const access: GemmAccess = { ...widest, c: widest.c === "vec4m" ? "scalar" : widest.c };
  const wgsl = `${gemmDeclarations(problem, access)}
var<workgroup> sliceA: array<vec4f, ${DEPTH * 4 * V}>;
var<workgroup> sliceB: array<vec4f, ${DEPTH * 4 * T}>;
@compute @workgroup_size(${SIDE ** 2})
fn main(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let tx = lane % ${SIDE}u;
  let ty = lane / ${SIDE}u;
  let n0 = wid.x * ${SIDE * T}u;
  let m0 = wid.y * ${SIDE * V}u;
  let b1 = wid.z / p.B2;
  let b2 = wid.z % p.B2;
  let a = p.aOffset + b1 * p.aB1 + b2 * p.aB2;
  let b = p.bOffset + b1 * p.bB1 + b2 * p.bB2;
${lines(V, (r) => lines(T / 4, (j) => `var c${r}_${j} = vec4f();`))}
  for (var k1 = 0u; k1 < p.K1; k1++) {
    for (var k2 = 0u; k2 < p.K2; k2 += ${DEPTH}u) {
${fill("A", SIDE * V, problem.a, access.a)}
${fill("B", SIDE * T, problem.b, access.b)}
      workgroupBarrier();
      for (var k = 0u; k < ${DEPTH}u; k++) {
${step(tile)}
      }
      workgroupBarrier();
    }
  }
${lines(V, (r) => lines(T / 4, (j) => store(problem, access, r, j)))}
}
`;
  return {
    kernel: `gemm.workgroup${V}x${T}`,
    wgsl,
    params: gemmParams(problem, access),
    operands: gemmOperands(problem),
    workgroups: checkedGrid(Math.ceil(N / (SIDE * T)), Math.ceil(M / (SIDE * V)), B1 * B2),
    flops: gemmFlops(problem),
    bytes: gemmBytes(problem),
  };
}
