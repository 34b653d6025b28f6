/**
 * Matrix product for software adapters: each invocation keeps an outer-product tile of V rows by T
 * columns in registers, and nothing is shared.
 *
 * On such an adapter a load inside a loop costs about thirteen fused multiply-adds, from whatever
 * memory and at whatever width, because each lane's address is looked up by itself. V + T loads feed
 * V·T multiply-adds, so large tiles win even where the accumulators spill. The eight lanes of a
 * workgroup are one vector and lie along the rows.
 *
 * @module
 */
import type { Launch } from "../kernel.ts";
import {
  accessOf,
  ADDENDS,
  checkedGrid,
  type GemmAccess,
  gemmBindings,
  gemmBytes,
  gemmFlops,
  gemmOperands,
  gemmParams,
  type GemmProblem,
  PARAMS,
} from "./gemm_problem.ts";

/** A tile of {@linkcode gemmRegister}. */
export interface RegisterTile {
  /** Rows per invocation, a multiple of 4. */
  readonly V: number;
  /** Columns per invocation. */
  readonly T: number;
}

const LANES = 8;
const XYZW = "xyzw";

function range(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i);
}

/** `f(0)`, `f(1)`, … as lines. */
function lines(n: number, f: (i: number) => string): string {
  return range(n).map(f).join("\n");
}

/** Where the rows of A and columns of B lie, in vec4s or elements, clamped to the last one. */
function addresses({ V, T }: RegisterTile, access: GemmAccess): string {
  const a = access.a === "vec4"
    ? lines(V / 4, (q) => `let row${q} = a + min(m / 4u + ${q}u, p.M / 4u - 1u);`)
    : lines(V, (v) => `let row${v} = a + min(m + ${v}u, p.M - 1u) * p.aI;`);
  const b = access.b === "vec4"
    ? lines(T / 4, (q) => `let column${q} = b + min(n / 4u + ${q}u, p.N / 4u - 1u);`)
    : lines(T, (t) => `let column${t} = b + min(n + ${t}u, p.N - 1u) * p.bI;`);
  return `${a}\n${b}`;
}

/** Loads of one k: V rows as vec4s `x0…`, T columns as scalars `y0…`. */
function loads({ V, T }: RegisterTile, access: GemmAccess): string {
  const x = access.a === "vec4"
    ? lines(V / 4, (q) => `let x${q} = A[ia + row${q}];`)
    : lines(V / 4, (q) => {
      const rows = range(4).map((j) => `A[ia + row${4 * q + j}]`);
      return `let x${q} = vec4f(${rows.join(", ")});`;
    });
  const y = access.b === "vec4"
    ? lines(T / 4, (q) => {
      const columns = range(4).map((j) => `let y${4 * q + j} = z${q}.${XYZW[j]};`);
      return `let z${q} = B[ib + column${q}]; ${columns.join(" ")}`;
    })
    : lines(T, (t) => `let y${t} = B[ib + column${t}];`);
  return `${x}\n${y}`;
}

/** Where row group q or column t of something added lies. */
function addendAt(x: string, row: string, column: string): string {
  return `${x}[p.${x}Offset + b1 * p.${x}B1 + b2 * p.${x}B2 + ${row} * p.${x}M + ${column} * p.${x}N]`;
}

/** Turns the sums `c{q}_{t}` into values: alpha, what is added, the division. */
function epilogue<T>(tile: RegisterTile, problem: GemmProblem<T>): string {
  const rowOf = (q: number, j: number): string => `min(m + ${4 * q + j}u, p.M - 1u)`;
  const vector = (x: string, q: number, column: string): string =>
    `vec4f(${range(4).map((j) => addendAt(x, rowOf(q, j), column)).join(", ")})`;
  const text = [tile].flatMap(({ V, T }) =>
    range(V / 4).flatMap((q) => range(T).map((t) => `c${q}_${t} *= p.alpha;`))
  );
  for (const x of ADDENDS) {
    const placed = problem[x];
    if (placed === undefined) continue;
    for (const q of range(tile.V / 4)) {
      if (!placed.n) text.push(`let ${x}${q} = ${vector(x, q, "0u")};`);
      for (const t of range(tile.T)) {
        const column = `min(n + ${t}u, p.N - 1u)`;
        text.push(`c${q}_${t} += ${placed.n ? vector(x, q, column) : `${x}${q}`};`);
      }
    }
  }
  if (problem.outputScale !== undefined) {
    text.push(
      ...range(tile.V / 4).flatMap((q) => range(tile.T).map((t) => `c${q}_${t} /= p.outputScale;`)),
    );
  }
  return text.join("\n");
}

/** Stores the values that lie inside C. */
function stores({ V, T }: RegisterTile, access: GemmAccess, accumulate: boolean): string {
  const set = accumulate ? "+=" : "=";
  if (access.c === "vec4m") {
    return lines(T, (t) =>
      `if (n + ${t}u < p.N) {
        let i = c + (n + ${t}u) * p.cN + m / 4u;
        ${lines(V / 4, (q) => `if (m + ${4 * q}u < p.M) { C[i + ${q}u] ${set} c${q}_${t}; }`)}
      }`);
  }
  const element = (v: number, t: number): string => `c${v >> 2}_${t}.${XYZW[v & 3]}`;
  if (access.c === "vec4n") {
    return lines(V, (v) =>
      `if (m + ${v}u < p.M) {
        let i = c + (m + ${v}u) * p.cM + n / 4u;
        ${
        lines(T / 4, (q) => {
          const value = range(4).map((j) => element(v, 4 * q + j)).join(", ");
          return `if (n + ${4 * q}u < p.N) { C[i + ${q}u] ${set} vec4f(${value}); }`;
        })
      }
      }`);
  }
  return lines(V, (v) =>
    `if (m + ${v}u < p.M) {
      let i = c + (m + ${v}u) * p.cM + n * p.cN;
      ${lines(T, (t) => `if (n + ${t}u < p.N) { C[i + ${t}u * p.cN] ${set} ${element(v, t)}; }`)}
    }`);
}

/** One tile per invocation. */
export function gemmRegister<T>(tile: RegisterTile, problem: GemmProblem<T>): Launch<T> {
  const { B1 = 1, B2 = 1, M, N, accumulate = false } = problem;
  const { V, T } = tile;
  const widest = accessOf(problem);
  // Too few columns in a tile for a vec4 of them.
  const access: GemmAccess = T % 4 === 0 ? widest : {
    a: widest.a,
    b: "scalar",
    c: widest.c === "vec4n" ? "scalar" : widest.c,
  };
  const wgsl = `${PARAMS}
${gemmBindings(problem, access)}
@compute @workgroup_size(${LANES})
fn main(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let m = (wid.x * ${LANES}u + lane) * ${V}u;
  let n = wid.y * ${T}u;
  let b1 = wid.z / p.B2;
  let b2 = wid.z % p.B2;
  let a = p.aOffset + b1 * p.aB1 + b2 * p.aB2;
  let b = p.bOffset + b1 * p.bB1 + b2 * p.bB2;
  let c = p.cOffset + b1 * p.cB1 + b2 * p.cB2;
${addresses(tile, access)}
${lines(V / 4, (q) => lines(T, (t) => `var c${q}_${t} = vec4f();`))}
  for (var k1 = 0u; k1 < p.K1; k1++) {
    var ia = k1 * p.aK1;
    var ib = k1 * p.bK1;
    for (var k2 = 0u; k2 < p.K2; k2++) {
${loads(tile, access)}
${lines(V / 4, (q) => lines(T, (t) => `c${q}_${t} = fma(x${q}, vec4f(y${t}), c${q}_${t});`))}
      ia += p.aK2;
      ib += p.bK2;
    }
  }
${epilogue(tile, problem)}
${stores(tile, access, accumulate)}
}
`;
  return {
    kernel: `gemm.register${V}x${T}`,
    wgsl,
    params: gemmParams(problem, access),
    operands: gemmOperands(problem),
    workgroups: checkedGrid(Math.ceil(M / (V * LANES)), Math.ceil(N / T), B1 * B2),
    flops: gemmFlops(problem),
    bytes: gemmBytes(problem),
  };
}
