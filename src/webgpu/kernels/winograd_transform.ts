/**
 * The four transforms around Winograd's products, as straight-line code written from the matrices:
 * images to planes, planes to images, weights to planes and planes to weight gradients.
 *
 * A plane ξ holds element ξ of every transformed tile (or kernel); there are α² of them.
 *
 * @module
 */
import { checkInteger } from "../../math/errors.ts";
import { floatWord, type Launch, linearGrid, type Operand, type View } from "../kernel.ts";
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

/** Images `[N, C, H, W]` in tiles of m × m outputs. */
export interface Tiling {
  readonly N: number;
  readonly C: number;
  readonly H: number;
  readonly W: number;
  readonly m: number;
}

/** Tiles along and across an image, and in the batch. */
export function tilesOf({ N, H, W, m }: Tiling): { tilesX: number; tilesY: number; tiles: number } {
  const tilesX = Math.ceil(W / m), tilesY = Math.ceil(H / m);
  return { tilesX, tilesY, tiles: N * tilesX * tilesY };
}

const WORKGROUP = 64;

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

function range(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i);
}

/** `f(i, j)` for every element of an array of rows by columns, as lines. */
function elements(rows: number, columns: number, f: (i: number, j: number) => string): string {
  return range(rows).map((i) => range(columns).map((j) => f(i, j)).join("\n")).join("\n");
}

/** f = L·d·Lᵀ: code from `d{i}_{j}` to `f{i}_{j}`. */
function sandwich(L: Matrix): string {
  const inner = L[0].length;
  const first = elements(
    L.length,
    inner,
    (i, j) => `let e${i}_${j} = ${combination(L[i], range(inner).map((k) => `d${k}_${j}`))};`,
  );
  const second = elements(
    L.length,
    L.length,
    (i, j) => `let f${i}_${j} = ${combination(L[j], range(inner).map((k) => `e${i}_${k}`))};`,
  );
  return `${first}\n${second}`;
}

/** The parts of a shader that all transforms have. */
function shader(
  params: readonly string[],
  bindings: readonly string[],
  body: string,
): string {
  return `struct Params { ${params.join(", ")} }
@group(0) @binding(0) var<uniform> p: Params;
${
    bindings.map((name, i) =>
      `@group(0) @binding(${i + 1}) var<storage, read_write> ${name}: array<f32>;`
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
function declared(
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

/**
 * Planes of images: ξ = (i, j) of L·d·Lᵀ for every tile d of `L[0].length`² pixels, which starts
 * `border` pixels above and left of the tile of outputs; there are zeros outside the image.
 *
 * @param upsampled whether the image is x with every pixel doubled in both directions; `tiling` has
 * the doubled sizes.
 */
export function imageToPlanes<T>(
  name: string,
  L: Matrix,
  tiling: Tiling,
  border: number,
  x: View<T>,
  planes: T,
  strides: PlaneStrides,
  upsampled = false,
): Launch<T> {
  const { C, H, W, m } = tiling;
  const { tilesX, tilesY, tiles } = tilesOf(tiling);
  const channelsFirst = strides.n < strides.c;
  const { names, values } = declared({
    count: C * tiles,
    channels: C,
    tiles,
    tilesX,
    tilesY,
    H,
    W,
    shift: upsampled ? 1 : 0,
    step: m,
    border,
    xOffset: x.offset,
    xSample: x.sampleStride,
    strideXi: strides.xi,
    strideC: strides.c,
    strideN: strides.n,
    // Neighbouring invocations write neighbouring elements.
    divideC: channelsFirst ? tiles : 1,
    divideN: channelsFirst ? 1 : C,
  });
  const size = L[0].length;
  const body = `  let c = index / p.divideC % p.channels;
  let n = index / p.divideN % p.tiles;
  let image = n / (p.tilesX * p.tilesY);
  // Both wrap around below zero, to numbers that are outside of any image.
  let y = n / p.tilesX % p.tilesY * p.step - p.border;
  let x = n % p.tilesX * p.step - p.border;
  let width = p.W >> p.shift;
  let base = p.xOffset + image * p.xSample + c * (p.H >> p.shift) * width;
${
    range(size).map((k) =>
      `let inY${k} = y + ${k}u < p.H;
let inX${k} = x + ${k}u < p.W;
let row${k} = base + (min(y + ${k}u, p.H - 1u) >> p.shift) * width;
let column${k} = min(x + ${k}u, p.W - 1u) >> p.shift;`
    ).join("\n")
  }
${
    elements(
      size,
      size,
      (i, j) => `let d${i}_${j} = select(0.0, X[row${i} + column${j}], inY${i} && inX${j});`,
    )
  }
${sandwich(L)}
  let sink = c * p.strideC + n * p.strideN;
${
    elements(L.length, L.length, (i, j) =>
      `P[sink + ${i * L.length + j}u * p.strideXi] = f${i}_${j};`)
  }`;
  return {
    kernel: `winograd.${name}${m}`,
    wgsl: shader(names, ["X", "P"], body),
    params: values,
    operands: [{ tensor: x.tensor, access: "read" }, { tensor: planes, access: "write" }],
    workgroups: linearGrid(Math.ceil(C * tiles / WORKGROUP)),
    flops: 0,
    bytes: 4 * C * (tiles * L.length ** 2 + tiling.N * H * W / (upsampled ? 4 : 1)),
  };
}

/** What happens to a convolution's sums on their way out. */
export interface Epilogue<T> {
  /** bias[o], added. */
  readonly bias?: { readonly tensor: T; readonly offset: number };
  /** e[n, o], added to every pixel. */
  readonly perSample?: View<T>;
  /** r[n, o, y, x], added. */
  readonly residual?: View<T>;
  /** What the sum of all these is divided by. Default 1. */
  readonly outputScale?: number;
  /** Whether the result is added to what is there. Default false. */
  readonly accumulate?: boolean;
}

const ADDENDS = ["bias", "perSample", "residual"] as const;

/**
 * Images of planes: y = (L·f·Lᵀ + bias + perSample + residual)/outputScale for every tile.
 *
 * @param folded whether 2 × 2 pixels are added up to one: the gradient of doubling them. `tiling` has
 * the doubled sizes, `y` and the residual the folded ones.
 */
export function planesToImage<T>(
  L: Matrix,
  tiling: Tiling,
  planes: T,
  strides: PlaneStrides,
  y: View<T>,
  epilogue: Epilogue<T>,
  folded = false,
): Launch<T> {
  const { C, m } = tiling;
  const { tilesX, tilesY, tiles } = tilesOf(tiling);
  const fold = folded ? 2 : 1;
  const [H, W, size] = [tiling.H / fold, tiling.W / fold, m / fold];
  const { bias, perSample, residual, outputScale = 1, accumulate = false } = epilogue;
  const present = ADDENDS.filter((x) => epilogue[x] !== undefined);
  const { names, values } = declared({
    count: C * tiles,
    tiles,
    tilesX,
    tilesY,
    H,
    W,
    yOffset: y.offset,
    ySample: y.sampleStride,
    strideXi: strides.xi,
    strideC: strides.c,
    strideN: strides.n,
    biasOffset: bias?.offset ?? 0,
    perSampleOffset: perSample?.offset ?? 0,
    perSampleStride: perSample?.sampleStride ?? 0,
    residualOffset: residual?.offset ?? 0,
    residualStride: residual?.sampleStride ?? 0,
  }, { outputScale });
  const alpha = L[0].length;
  const finished = (i: number, j: number): string => {
    const sum = folded
      ? `f${2 * i}_${2 * j} + f${2 * i}_${2 * j + 1} + f${2 * i + 1}_${2 * j} + f${2 * i + 1}_${
        2 * j + 1
      }`
      : `f${i}_${j}`;
    return `(${sum}${bias || perSample ? " + shift" : ""}${
      residual ? " + residual[r + at]" : ""
    }) / p.outputScale`;
  };
  const body = `  let c = index / p.tiles;
  let n = index % p.tiles;
  let image = n / (p.tilesX * p.tilesY);
  let y = n / p.tilesX % p.tilesY * ${size}u;
  let x = n % p.tilesX * ${size}u;
  let source = c * p.strideC + n * p.strideN;
${elements(alpha, alpha, (i, j) => `let d${i}_${j} = P[source + ${i * alpha + j}u * p.strideXi];`)}
${sandwich(L)}
  ${
    bias || perSample
      ? `let shift = ${
        [
          ...(bias ? ["bias[p.biasOffset + c]"] : []),
          ...(perSample ? ["perSample[p.perSampleOffset + image * p.perSampleStride + c]"] : []),
        ].join(" + ")
      };`
      : ""
  }
  let sink = p.yOffset + image * p.ySample + c * p.H * p.W;
  ${residual ? "let r = p.residualOffset + image * p.residualStride + c * p.H * p.W;" : ""}
${
    elements(size, size, (i, j) =>
      `if (y + ${i}u < p.H && x + ${j}u < p.W) {
  let at = (y + ${i}u) * p.W + x + ${j}u;
  Y[sink + at] ${accumulate ? "+=" : "="} ${finished(i, j)};
}`)
  }`;
  return {
    kernel: `winograd.output${m}`,
    wgsl: shader(names, ["P", "Y", ...present], body),
    params: values,
    operands: [
      { tensor: planes, access: "read" },
      { tensor: y.tensor, access: accumulate ? "update" : "write" },
      ...present.map((x): Operand<T> => ({ tensor: epilogue[x]!.tensor, access: "read" })),
    ],
    workgroups: linearGrid(Math.ceil(C * tiles / WORKGROUP)),
    flops: 0,
    bytes: 4 * C *
      (tiles * alpha ** 2 + tiling.N * H * W * (1 + (residual ? 1 : 0) + (accumulate ? 1 : 0))),
  };
}

/** Where kernels of 3 × 3 weights (or their transforms) lie: tap·xi + row·c + column·n from `offset`. */
export interface KernelStrides<T> extends PlaneStrides {
  readonly tensor: T;
  readonly offset: number;
}

/**
 * L·d·Lᵀ of every kernel d in a matrix of rows × columns kernels: the transform of the weights, and of
 * their gradient back.
 *
 * @param turned whether d is the kernel turned by 180°.
 */
export function transformKernels<T>(
  name: string,
  L: Matrix,
  rows: number,
  columns: number,
  from: KernelStrides<T>,
  to: KernelStrides<T>,
  options: { turned?: boolean; accumulate?: boolean } = {},
): Launch<T> {
  const inner = L[0].length;
  const { turned = false, accumulate = false } = options;
  const { names, values } = declared({
    count: rows * columns,
    columns,
    // A turned kernel is read from its last tap backwards: the stride wraps around below zero.
    fromOffset: from.offset + (turned ? (inner ** 2 - 1) * from.xi : 0),
    fromXi: turned ? 2 ** 32 - from.xi : from.xi,
    fromC: from.c,
    fromN: from.n,
    toOffset: to.offset,
    toXi: to.xi,
    toC: to.c,
    toN: to.n,
  });
  const body = `  let c = index / p.columns;
  let n = index % p.columns;
  let source = p.fromOffset + c * p.fromC + n * p.fromN;
${
    elements(
      inner,
      inner,
      (i, j) => `let d${i}_${j} = X[source + ${i * inner + j}u * p.fromXi];`,
    )
  }
${sandwich(L)}
  let sink = p.toOffset + c * p.toC + n * p.toN;
${
    elements(L.length, L.length, (i, j) =>
      `Y[sink + ${i * L.length + j}u * p.toXi] ${accumulate ? "+=" : "="} f${i}_${j};`)
  }`;
  return {
    kernel: `winograd.${name}`,
    wgsl: shader(names, ["X", "Y"], body),
    params: values,
    operands: [
      { tensor: from.tensor, access: "read" },
      { tensor: to.tensor, access: accumulate ? "update" : "write" },
    ],
    workgroups: linearGrid(Math.ceil(rows * columns / WORKGROUP)),
    flops: 0,
    bytes: 4 * rows * columns * (inner ** 2 + L.length ** 2 * (accumulate ? 2 : 1)),
  };
}
