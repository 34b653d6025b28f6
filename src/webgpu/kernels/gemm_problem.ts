/**
 * What a matrix product is, and what its kernels share: `Params`, bindings and the epilogue.
 *
 * @module
 */
import { checkInteger } from "../../math/errors.ts";
import {
  ENABLE_HALF,
  floatWord,
  MAX_WORKGROUPS,
  type Operand,
  type Workgroups,
} from "../kernel.ts";

/** Element strides of an array over the batch (b1, b2); what is left out is 0: the same for all. */
interface BatchStrides<T> {
  /** The tensor that holds it. */
  readonly tensor: T;
  /** Its first element. Default 0. */
  readonly offset?: number;
  /** Stride of the outer batch index, for example the image. */
  readonly b1?: number;
  /** Stride of the inner batch index, for example the head. */
  readonly b2?: number;
}

/** Strides of A over m, or of B over n, and of both over the two levels of the sum. */
export interface Factor<T> extends BatchStrides<T> {
  /** Stride of the outer index of the sum. */
  readonly k1?: number;
  /** Stride of the inner index of the sum. */
  readonly k2: number;
  /** Stride of the row m of A, or of the column n of B. */
  readonly i: number;
  /** Whether its elements are float16, read as float32. Default false. */
  readonly half?: boolean;
}

/** Strides of C, or of something added to it, over m and n. */
export interface Placed<T> extends BatchStrides<T> {
  /** Stride of the row. */
  readonly m?: number;
  /** Stride of the column. */
  readonly n?: number;
}

/**
 * C[b1,b2,m,n] = (alpha·Σ_{k1<K1} Σ_{k2<K2} A[b1,b2,k1,k2,m]·B[b1,b2,k1,k2,n] + bias + perSample
 * + residual) / outputScale, or that much more than before with `accumulate`.
 */
export interface GemmProblem<T> {
  /** Outer batch size. Default 1. */
  readonly B1?: number;
  /** Inner batch size. Default 1. */
  readonly B2?: number;
  /** Rows. */
  readonly M: number;
  /** Columns. */
  readonly N: number;
  /** Outer length of the sum. Default 1. */
  readonly K1?: number;
  /** Inner length of the sum. */
  readonly K2: number;
  /** Left factor. */
  readonly a: Factor<T>;
  /** Right factor. */
  readonly b: Factor<T>;
  /** The product. */
  readonly c: Placed<T>;
  /** Factor of the sum. Default 1. */
  readonly alpha?: number;
  /** Added to alpha times the sum; usually varies with m alone. */
  readonly bias?: Placed<T>;
  /** Added as well; usually varies with image and m. */
  readonly perSample?: Placed<T>;
  /** Added as well; usually of C's shape. */
  readonly residual?: Placed<T>;
  /** What everything is divided by at the end. Default 1. */
  readonly outputScale?: number;
  /** Whether to add to what C holds. Default false. */
  readonly accumulate?: boolean;
}

/** What may be added to a product, in this order. */
export const ADDENDS = ["bias", "perSample", "residual"] as const;

/** A product with A and B, rows and columns exchanged: the same sums in the same order. */
export function transposed<T>(problem: GemmProblem<T>): GemmProblem<T> {
  const swap = (x: Placed<T>): Placed<T> => ({ ...x, m: x.n ?? 0, n: x.m ?? 0 });
  const { M, N, a, b, c, bias, perSample, residual } = problem;
  return {
    ...problem,
    M: N,
    N: M,
    a: b,
    b: a,
    c: swap(c),
    bias: bias && swap(bias),
    perSample: perSample && swap(perSample),
    residual: residual && swap(residual),
  };
}

/** How the kernels address an array: single elements, or four at once along a dimension. */
export type Access4 = "scalar" | "vec4";

/** Along which dimension, if any, four elements of C are stored at once. */
export type StoreAccess = "scalar" | "vec4m" | "vec4n";

/** What the text of a kernel depends on, apart from the variant: which loads and stores fit the strides. */
export interface GemmAccess {
  /** Loads of A, vec4 along m. */
  readonly a: Access4;
  /** Loads of B, vec4 along n. */
  readonly b: Access4;
  /** Stores of C. */
  readonly c: StoreAccess;
}

const strides4 = (x: Factor<unknown>): boolean =>
  [x.offset ?? 0, x.b1 ?? 0, x.b2 ?? 0, x.k1 ?? 0, x.k2].every((s) => s % 4 === 0) && x.i === 1;

function storeAccess({ M, N, c }: GemmProblem<unknown>): StoreAccess {
  const aligned = [c.offset ?? 0, c.b1 ?? 0, c.b2 ?? 0].every((s) => s % 4 === 0);
  if (aligned && c.n === 1 && (c.m ?? 0) % 4 === 0 && N % 4 === 0) return "vec4n";
  if (aligned && c.m === 1 && (c.n ?? 0) % 4 === 0 && M % 4 === 0) return "vec4m";
  return "scalar";
}

/** The widest loads and stores that sizes, strides and offsets allow. */
export function accessOf(problem: GemmProblem<unknown>): GemmAccess {
  const { M, N, a, b } = problem;
  return {
    a: M % 4 === 0 && strides4(a) ? "vec4" : "scalar",
    b: N % 4 === 0 && strides4(b) ? "vec4" : "scalar",
    c: storeAccess(problem),
  };
}

const FACTOR_WORDS = ["Offset", "B1", "B2", "K1", "K2", "I"];
const PLACED_WORDS = ["Offset", "B1", "B2", "M", "N"];

/** `Params` of every variant. Strides of what is accessed by vec4 count vec4s, except along it. */
const PARAMS: string = `struct Params {
  ${["B2", "M", "N", "K1", "K2"].map((w) => `${w}: u32`).join(", ")},
  ${["a", "b"].flatMap((x) => FACTOR_WORDS.map((w) => `${x}${w}: u32`)).join(", ")},
  ${["c", ...ADDENDS].flatMap((x) => PLACED_WORDS.map((w) => `${x}${w}: u32`)).join(", ")},
  alpha: f32, outputScale: f32,
}
@group(0) @binding(0) var<uniform> p: Params;`;

/** The words of `Params`. */
export function gemmParams<T>(problem: GemmProblem<T>, access: GemmAccess): number[] {
  const { B2 = 1, M, N, K1 = 1, K2, alpha = 1, outputScale = 1 } = problem;
  const factor = (x: Factor<T>, unit: number): number[] => [
    ...[x.offset ?? 0, x.b1 ?? 0, x.b2 ?? 0, x.k1 ?? 0, x.k2].map((s) => s / unit),
    x.i,
  ];
  const placed = (x: Placed<T> | undefined, m = 1, n = 1): number[] => {
    const unit = Math.max(m, n);
    const [offset, b1, b2] = [x?.offset ?? 0, x?.b1 ?? 0, x?.b2 ?? 0].map((s) => s / unit);
    return [offset, b1, b2, m > 1 ? 1 : (x?.m ?? 0) / unit, n > 1 ? 1 : (x?.n ?? 0) / unit];
  };
  const words = [
    ...[B2, M, N, K1, K2],
    ...factor(problem.a, access.a === "vec4" ? 4 : 1),
    ...factor(problem.b, access.b === "vec4" ? 4 : 1),
    ...placed(problem.c, access.c === "vec4m" ? 4 : 1, access.c === "vec4n" ? 4 : 1),
    ...ADDENDS.flatMap((x) => placed(problem[x])),
  ];
  for (const w of words) checkInteger("a size, stride or offset of a product", w, 0, 2 ** 32 - 1);
  return [...words, floatWord(alpha), floatWord(outputScale)];
}

/** The tensors of a product in the order of its bindings: A, B, C and what is added. */
export function gemmOperands<T>(problem: GemmProblem<T>): Operand<T>[] {
  const addends = ADDENDS.flatMap((x) => problem[x] ?? []);
  return [
    { tensor: problem.a.tensor, access: "read" },
    { tensor: problem.b.tensor, access: "read" },
    { tensor: problem.c.tensor, access: problem.accumulate ? "update" : "write" },
    ...addends.map(({ tensor }): Operand<T> => ({ tensor, access: "read" })),
  ];
}

/**
 * {@linkcode PARAMS} and declarations of the bindings that {@linkcode gemmOperands} lists. Loads of A and B
 * convert to float32, which changes nothing where they are.
 */
export function gemmDeclarations<T>(problem: GemmProblem<T>, access: GemmAccess): string {
  const element = (x: string, half = false): string =>
    x === "scalar" ? (half ? "f16" : "f32") : half ? "vec4h" : "vec4f";
  const { a, b } = problem;
  const names: [string, string][] = [
    ["A", element(access.a, a.half)],
    ["B", element(access.b, b.half)],
    ["C", element(access.c)],
    ...ADDENDS.filter((x) => problem[x]).map((x): [string, string] => [x, "f32"]),
  ];
  const bindings = names.map(([name, type], i) =>
    `@group(0) @binding(${i + 1}) var<storage, read_write> ${name}: array<${type}>;`
  );
  return [...(a.half || b.half ? [ENABLE_HALF] : []), PARAMS, ...bindings].join("\n");
}

/** Multiplications and additions of a product. */
export function gemmFlops({ B1 = 1, B2 = 1, M, N, K1 = 1, K2 }: GemmProblem<unknown>): number {
  return 2 * B1 * B2 * M * N * K1 * K2;
}

/** Bytes that a product must at least read and write. */
export function gemmBytes(problem: GemmProblem<unknown>): number {
  const { B1 = 1, B2 = 1, M, N, K1 = 1, K2, a, b, c, accumulate } = problem;
  const distinct = (x: BatchStrides<unknown>): number => (x.b1 ? B1 : 1) * (x.b2 ? B2 : 1);
  const placed = (x: Placed<unknown>): number => distinct(x) * (x.m ? M : 1) * (x.n ? N : 1);
  const sum = K1 * K2;
  const factor = (x: Factor<unknown>): number => distinct(x) * sum / (x.half ? 2 : 1);
  const reads = factor(a) * M + factor(b) * N +
    ADDENDS.reduce((total, x) => total + (problem[x] ? placed(problem[x]) : 0), 0);
  return 4 * (reads + placed(c) * (accumulate ? 2 : 1));
}

/**
 * A grid of workgroups over tiles of columns or rows and the batch.
 *
 * @throws {ArgumentError} if one dimension is more than WebGPU guarantees.
 */
export function checkedGrid(x: number, y: number, z: number): Workgroups {
  for (const size of [x, y, z]) {
    checkInteger("workgroups of a product along one dimension", size, 1, MAX_WORKGROUPS);
  }
  return [x, y, z];
}
