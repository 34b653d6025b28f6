/**
 * What the transforms around Winograd's products share: straight-line code written from a matrix, and
 * the frame of their shaders.
 *
 * @module
 */
import { checkInteger } from "../../math/errors.ts";
import { ENABLE_HALF, floatWord } from "../kernel.ts";
import type { Matrix } from "./winograd_matrices.ts";

/** Where transformed values lie: ξ·xi + channel·c + tile·n (or row·c + column·n of a weight). */
export interface PlaneStrides {
  /** From one plane to the next. */
  readonly xi: number;
  /** From one channel to the next. */
  readonly c: number;
  /** From one tile to the next. */
  readonly n: number;
}

/** Invocations per workgroup of every transform. */
export const WORKGROUP = 64;

/** The text of a coefficient. */
function literal(c: number): string {
  return Number.isInteger(c) ? `${c}.0` : `${c}`;
}

/** Σ_k row[k]·operands[k] without the zeros: ones are added, everything else is multiplied into it. */
function combination(row: readonly number[], operands: readonly string[]): string {
  let sum = "";
  for (const [k, c] of row.entries()) {
    if (Math.abs(c) !== 1) continue;
    const sign = c < 0 ? "-" : "";
    sum = sum === "" ? `${sign}${operands[k]}` : `${sum} ${c < 0 ? "-" : "+"} ${operands[k]}`;
  }
  for (const [k, c] of row.entries()) {
    if (c === 0 || Math.abs(c) === 1) continue;
    sum = sum === ""
      ? `${literal(c)} * ${operands[k]}`
      : `fma(${literal(c)}, ${operands[k]}, ${sum})`;
  }
  return sum === "" ? "0.0" : sum;
}

/** 0, 1, …, n − 1. */
export function range(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i);
}

/** `f(i, j)` for every element of an array of rows by columns, as lines. */
export function elements(
  rows: number,
  columns: number,
  f: (i: number, j: number) => string,
): string {
  return range(rows).map((i) => range(columns).map((j) => f(i, j)).join("\n")).join("\n");
}

/** L·d·Lᵀ: code from `d{i}_{j}` to what `define` makes of the value of element (i, j). */
export function sandwich(
  L: Matrix,
  define: (i: number, j: number, value: string) => string,
): string {
  const inner = L[0].length;
  const first = elements(
    L.length,
    inner,
    (i, j) => `let e${i}_${j} = ${combination(L[i], range(inner).map((k) => `d${k}_${j}`))};`,
  );
  const second = elements(
    L.length,
    L.length,
    (i, j) => define(i, j, combination(L[j], range(inner).map((k) => `e${i}_${k}`))),
  );
  return `${first}\n${second}`;
}

/**
 * Stores L·d·Lᵀ, element ξ at `sink` + ξ·`stride`, in a loop: on software adapters that is faster than
 * one store after the other, and compiles faster. The number of elements is a parameter to keep the
 * compiler from writing the loop out.
 */
export function storeInLoop(
  L: Matrix,
  to: string,
  sink: string,
  stride: string,
  set = "=",
  type: "f32" | "f16" = "f32",
): string {
  const count = L.length ** 2;
  return `  var f: array<f32, ${count}>;
${sandwich(L, (i, j, value) => `f[${i * L.length + j}] = ${value};`)}
  var sink = ${sink};
  for (var k = 0u; k < p.elements; k++) {
    ${to}[sink] ${set} ${type}(f[k]);
    sink += ${stride};
  }`;
}

/** The parts of a shader that all transforms have. */
export function shader(
  params: readonly string[],
  bindings: Readonly<Record<string, "f32" | "f16" | "vec4f">>,
  body: string,
): string {
  const head = Object.values(bindings).includes("f16") ? `${ENABLE_HALF}\n` : "";
  return `${head}struct Params { ${params.join(", ")} }
@group(0) @binding(0) var<uniform> p: Params;
${
    Object.entries(bindings).map(([name, type], i) =>
      `@group(0) @binding(${i + 1}) var<storage, read_write> ${name}: array<${type}>;`
    ).join("\n")
  }
@compute @workgroup_size(${WORKGROUP})
fn main(
  @builtin(workgroup_id) wid: vec3u,
  @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let index = (wid.x + wid.y * nwg.x) * ${WORKGROUP}u + lane;
  if (index >= p.count) { return; }
${body}
}
`;
}

/** Params of which each is a u32 but for those in `floats`. */
export function declared(
  words: Readonly<Record<string, number>>,
  floats: Readonly<Record<string, number>> = {},
): { names: string[]; values: number[] } {
  for (const [name, value] of Object.entries(words)) {
    checkInteger(`${name} of a Winograd transform`, value, 0, 2 ** 32 - 1);
  }
  return {
    names: [
      ...Object.keys(words).map((name) => `${name}: u32`),
      ...Object.keys(floats).map((name) => `${name}: f32`),
    ],
    values: [...Object.values(words), ...Object.values(floats).map(floatWord)],
  };
}
