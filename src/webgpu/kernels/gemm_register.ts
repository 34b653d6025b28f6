/**
 * Matrix product for software adapters: each invocation keeps an outer-product tile of V rows by T
 * columns in registers, and nothing is shared.
 *
 * On such an adapter a load from a buffer inside a loop costs about thirteen fused multiply-adds, at
 * whatever width, because each lane's address is looked up and checked by itself. V + T loads feed
 * V·T multiply-adds, so large tiles win even where the accumulators spill. The eight lanes of a
 * workgroup are one vector and lie along the rows.
 *
 * An array of the function costs a sixth of that. Where a workgroup has several tiles of columns to go
 * through, it therefore first copies its rows, up to `keep` elements of the sum at a time, and carries
 * the partial sums of longer ones in C.
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
  /** Elements of a row that an invocation keeps for all its tiles; left out, it loads them for each. */
  readonly keep?: number;
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

/** Where the rows of A lie, in vec4s or elements, clamped to the last one. */
function rowAddresses({ V }: RegisterTile, access: GemmAccess): string {
  return access.a === "vec4"
    ? lines(V / 4, (q) => `let row${q} = a + min(m / 4u + ${q}u, p.M / 4u - 1u);`)
    : lines(V, (v) => `let row${v} = a + min(m + ${v}u, p.M - 1u) * p.aI;`);
}

/** Likewise the columns of B. */
function columnAddresses({ T }: RegisterTile, access: GemmAccess): string {
  return access.b === "vec4"
    ? lines(T / 4, (q) => `let column${q} = b + min(n / 4u + ${q}u, p.N / 4u - 1u);`)
    : lines(T, (t) => `let column${t} = b + min(n + ${t}u, p.N - 1u) * p.bI;`);
}

/** Loads of one k: V rows as vec4s `x0…`. */
function loadRows({ V }: RegisterTile, access: GemmAccess): string {
  return access.a === "vec4"
    ? lines(V / 4, (q) => `let x${q} = vec4f(A[ia + row${q}]);`)
    : lines(V / 4, (q) => {
      const rows = range(4).map((j) => `f32(A[ia + row${4 * q + j}])`);
      return `let x${q} = vec4f(${rows.join(", ")});`;
    });
}

/** Loads of one k: T columns as scalars `y0…`. */
function loadColumns({ T }: RegisterTile, access: GemmAccess): string {
  return access.b === "vec4"
    ? lines(T / 4, (q) => {
      const columns = range(4).map((j) => `let y${4 * q + j} = z${q}.${XYZW[j]};`);
      return `let z${q} = vec4f(B[ib + column${q}]); ${columns.join(" ")}`;
    })
    : lines(T, (t) => `let y${t} = f32(B[ib + column${t}]);`);
}

/** The multiply-adds of one k. */
function multiplyAdds({ V, T }: RegisterTile): string {
  return lines(V / 4, (q) => lines(T, (t) => `c${q}_${t} = fma(x${q}, vec4f(y${t}), c${q}_${t});`));
}

/** The sums of a tile on their way between registers and C, in a private array `tile`. */
interface TileCode {
  /** Declares it, and how many of its rows and columns there are. */
  readonly declare: string;
  /** The register of sum (v, t) as it stands in it, four rows of a column. */
  readonly sums: (q: number, t: number) => string;
  /** Fills it from registers. */
  readonly fill: string;
  /** Fills it from C, which holds sums and nothing else. */
  readonly load: string;
  /** Stores the sums and nothing else. */
  readonly carry: string;
  /** Stores the finished sums. */
  readonly store: string;
}

/**
 * Code that stores a tile, four values or one at a time, in loops over the private array: written out
 * for each of the V·T sums, the compiler would take longer over this than over everything else.
 */
function tileCode<T>(
  { V, T }: RegisterTile,
  problem: GemmProblem<T>,
  access: GemmAccess,
): TileCode {
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
  const inTile = `tile[l * ${perLine}u + g]`;
  const value = [
    `p.alpha * ${inTile}`,
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
  const inC = `C[c_line + ${inLine} / ${width}u * p.c${inLine === "i" ? "M" : "N"}]`;
  const overTile = (ofLine: readonly string[], ofGroup: readonly string[]): string =>
    `for (var l = 0u; l < ${alongM ? "columns" : "rows"}; l++) {
    let ${line} = ${alongM ? "n" : "m"} + l;
    let c_line = c + ${line} * p.c${line === "i" ? "M" : "N"};
    ${ofLine.join("\n")}
    for (var g = 0u; g < ${alongM ? "rows" : "columns"} / ${width}u; g++) {
      let ${inLine} = ${alongM ? "m" : "n"} + g * ${width}u;
      ${ofGroup.join("\n")}
    }
  }`;
  return {
    // Zero by an initial value: without one, wgpu clears it before a loop, not in every turn.
    declare: `var tile = array<${width === 1 ? "f32" : "vec4f"}, ${V * T / width}>();
  let rows = min(p.M - min(m, p.M), ${V}u);
  let columns = min(p.N - n, ${T}u);`,
    sums: (q, t) => {
      const values = range(4).map((j) => {
        const v = 4 * q + j;
        const [l, e] = alongM ? [t, v] : [v, t];
        const element = `tile[${l * perLine + Math.floor(e / width)}]`;
        return width === 1 ? element : `${element}.${XYZW[e & 3]}`;
      });
      return `vec4f(${values.join(", ")})`;
    },
    fill: copies,
    load: overTile([], [`${inTile} = ${inC};`]),
    carry: overTile([], [`${inC} = ${inTile};`]),
    store: overTile(perLineAddends, [
      ...perValueAddends.map((a) => a.at),
      `${inC} ${problem.accumulate ? "+=" : "="} (${value}) / p.outputScale;`,
    ]),
  };
}

/** A tile per invocation, its rows and columns loaded for every k. */
function loadedTile<T>(tile: RegisterTile, problem: GemmProblem<T>, access: GemmAccess): string {
  const { V, T } = tile;
  const { declare, fill, store } = tileCode(tile, problem, access);
  return `  let n = wid.y * ${T}u;
${rowAddresses(tile, access)}
${columnAddresses(tile, access)}
${lines(V / 4, (q) => lines(T, (t) => `var c${q}_${t} = vec4f();`))}
  for (var k1 = 0u; k1 < p.K1; k1++) {
    var ia = k1 * p.aK1;
    var ib = k1 * p.bK1;
    for (var k2 = 0u; k2 < p.K2; k2++) {
${loadRows(tile, access)}
${loadColumns(tile, access)}
${multiplyAdds(tile)}
      ia += p.aK2;
      ib += p.bK2;
    }
  }
  ${declare}
  ${fill}
  ${store}`;
}

/** Tiles next to each other, the rows kept in an array for each four: one array alone compiles slowly. */
function keptTiles<T>(tile: RegisterTile, problem: GemmProblem<T>, access: GemmAccess): string {
  const { V, T, keep } = tile;
  const { declare, sums, fill, load, carry, store } = tileCode(tile, problem, access);
  return `  let tiles = (p.N + ${T - 1}u) / ${T}u;
  let run = (tiles + launched.y - 1u) / launched.y;
  let end = min((wid.y + 1u) * run, tiles);
${rowAddresses(tile, access)}
${lines(V / 4, (q) => `var kept${q}: array<vec4f, ${keep}>;`)}
  for (var k0 = 0u; k0 < p.K2; k0 += ${keep}u) {
    let length = min(p.K2 - k0, ${keep}u);
    var ia = k0 * p.aK2;
    for (var k = 0u; k < length; k++) {
${loadRows(tile, access)}
${lines(V / 4, (q) => `kept${q}[k] = x${q};`)}
      ia += p.aK2;
    }
    for (var t = wid.y * run; t < end; t++) {
      let n = t * ${T}u;
${columnAddresses(tile, access)}
      ${declare}
      if (k0 > 0u) {
        ${load}
      }
${lines(V / 4, (q) => lines(T, (t) => `var c${q}_${t} = ${sums(q, t)};`))}
      var ib = k0 * p.bK2;
      for (var k = 0u; k < length; k++) {
${lines(V / 4, (q) => `let x${q} = kept${q}[k];`)}
${loadColumns(tile, access)}
${multiplyAdds(tile)}
        ib += p.bK2;
      }
      ${fill}
      if (k0 + length < p.K2) {
        ${carry}
      } else {
        ${store}
      }
    }
  }`;
}

/**
 * Whether a tile can compute a product: one that keeps rows cannot go through a sum of two levels, nor
 * carry sums in C where C holds what they are added to.
 */
export function tileFits({ keep }: RegisterTile, problem: GemmProblem<unknown>): boolean {
  const { K1 = 1, K2, accumulate = false } = problem;
  if (keep === undefined) return true;
  return K1 === 1 && K2 > 0 && (K2 <= keep || !accumulate);
}

/** Workgroups that keep every core busy; more of them would copy the same rows more often. */
const ENOUGH_WORKGROUPS = 16;

/** Workgroups along the columns for tiles that keep rows. */
export function runsOfTiles({ V, T }: RegisterTile, problem: GemmProblem<unknown>): number {
  const { B1 = 1, B2 = 1, M, N } = problem;
  const others = B1 * B2 * Math.ceil(M / (V * LANES));
  return Math.min(Math.ceil(N / T), Math.ceil(ENOUGH_WORKGROUPS / others));
}

/** One tile per invocation, or several that have their rows in common. */
export function gemmRegister<T>(tile: RegisterTile, problem: GemmProblem<T>): Launch<T> {
  const { B1 = 1, B2 = 1, M, N } = problem;
  const { V, T, keep } = tile;
  const access = registerAccess(tile, problem);
  const along = keep === undefined ? Math.ceil(N / T) : runsOfTiles(tile, problem);
  const body = keep === undefined ? loadedTile : keptTiles;
  const wgsl = `${gemmDeclarations(problem, access)}
@compute @workgroup_size(${LANES})
fn main(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) launched: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let m = (wid.x * ${LANES}u + lane) * ${V}u;
  let b1 = wid.z / p.B2;
  let b2 = wid.z % p.B2;
  let a = p.aOffset + b1 * p.aB1 + b2 * p.aB2;
  let b = p.bOffset + b1 * p.bB1 + b2 * p.bB2;
  let c = p.cOffset + b1 * p.cB1 + b2 * p.cB2;
${body(tile, problem, access)}
}
`;
  return {
    kernel: `gemm.register${V}x${T}${keep === undefined ? "" : `keep${keep}`}`,
    wgsl,
    params: gemmParams(problem, access),
    operands: gemmOperands(problem),
    workgroups: checkedGrid(Math.ceil(M / (V * LANES)), along, B1 * B2),
    flops: gemmFlops(problem),
    bytes: gemmBytes(problem),
  };
}
