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
  gemmBytes,
  gemmDeclarations,
  gemmFlops,
  gemmOperands,
  gemmParams,
  type GemmProblem,
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

/** The widest access, where the tile has four columns. */
function registerAccess<T>({ T }: RegisterTile, problem: GemmProblem<T>): GemmAccess {
  const widest = accessOf(problem);
  if (T % 4 === 0) return widest;
  return { ...widest, b: "scalar", c: widest.c === "vec4n" ? "scalar" : widest.c };
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
    ? lines(V / 4, (q) => `let x${q} = vec4f(A[ia + row${q}]);`)
    : lines(V / 4, (q) => {
      const rows = range(4).map((j) => `f32(A[ia + row${4 * q + j}])`);
      return `let x${q} = vec4f(${rows.join(", ")});`;
    });
  const y = access.b === "vec4"
    ? lines(T / 4, (q) => {
      const columns = range(4).map((j) => `let y${4 * q + j} = z${q}.${XYZW[j]};`);
      return `let z${q} = vec4f(B[ib + column${q}]); ${columns.join(" ")}`;
    })
    : lines(T, (t) => `let y${t} = f32(B[ib + column${t}]);`);
  return `${x}\n${y}`;
}

/**
 * Finishes the sums of a tile and stores them, four or one at a time, in loops over a private array:
 * written out for each of the V·T sums, the compiler would take longer over this than over
 * everything else.
 */
function stores<T>({ V, T }: RegisterTile, problem: GemmProblem<T>, access: GemmAccess): string {
  const alongM = access.c === "vec4m";
  const width = access.c === "scalar" ? 1 : 4;
  // Lines of the tile run along m or n, groups of `width` values within a line.
  const [line, inLine, perLine] = alongM ? ["j", "i", V / width] : ["i", "j", T / width];
  const at = (x: string): string =>
    `p.${x}Offset + b1 * p.${x}B1 + b2 * p.${x}B2 + i * p.${x}M + j * p.${x}N`;
  const vector = (values: readonly string[]): string =>
    width === 1 ? values[0] : `vec4f(${values.join(", ")})`;
  const addends = ADDENDS.flatMap((x) => {
    const placed = problem[x];
    if (placed === undefined) return [];
    const stride = (alongM ? placed.m : placed.n) ?? 0;
    return [{ x, stride: `p.${x}${alongM ? "M" : "N"}`, perLine: stride === 0 }];
  });
  const perLineAddends = addends.filter((a) => a.perLine).map(({ x }) =>
    `let ${x}OfLine = ${x}[${at(x).replace(` + ${inLine} * p.${x}${alongM ? "M" : "N"}`, "")}];`
  );
  const perValueAddends = addends.filter((a) => !a.perLine).map(({ x, stride }) => {
    const values = range(width).map((d) => `${x}[at_${x} + ${d}u * ${stride}]`);
    return { at: `let at_${x} = ${at(x)};`, value: vector(values) };
  });
  const value = [
    "p.alpha * tile[l * " + perLine + "u + g]",
    ...addends.filter((a) => a.perLine).map(({ x }) => `${x}OfLine`),
    ...perValueAddends.map((a) => a.value),
  ].join(" + ");
  const sum = (l: number, e: number): string => {
    const [v, t] = alongM ? [e, l] : [l, e];
    return `c${v >> 2}_${t}.${XYZW[v & 3]}`;
  };
  const copies = lines(
    alongM ? T : V,
    (l) =>
      range(perLine).map((g) =>
        `tile[${l * perLine + g}] = ${vector(range(width).map((d) => sum(l, g * width + d)))};`
      ).join(" "),
  );
  return `  var tile: array<${width === 1 ? "f32" : "vec4f"}, ${V * T / width}>;
${copies}
  let rows = min(p.M - min(m, p.M), ${V}u);
  let columns = min(p.N - n, ${T}u);
  for (var l = 0u; l < ${alongM ? "columns" : "rows"}; l++) {
    let ${line} = ${alongM ? "n" : "m"} + l;
    ${perLineAddends.join("\n")}
    let c_line = c + ${line} * p.c${line === "i" ? "M" : "N"};
    for (var g = 0u; g < ${alongM ? "rows" : "columns"} / ${width}u; g++) {
      let ${inLine} = ${alongM ? "m" : "n"} + g * ${width}u;
      ${perValueAddends.map((a) => a.at).join("\n")}
      C[c_line + ${inLine} / ${width}u * p.c${inLine === "i" ? "M" : "N"}] ${
    problem.accumulate ? "+=" : "="
  } (${value}) / p.outputScale;
    }
  }`;
}

/** One tile per invocation. */
export function gemmRegister<T>(tile: RegisterTile, problem: GemmProblem<T>): Launch<T> {
  const { B1 = 1, B2 = 1, M, N } = problem;
  const { V, T } = tile;
  const access = registerAccess(tile, problem);
  const wgsl = `${gemmDeclarations(problem, access)}
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
${stores(tile, problem, access)}
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
