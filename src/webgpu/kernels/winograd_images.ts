/**
 * Transforms between images and planes. Plane ξ holds element ξ of every transformed tile; there are
 * α² of them.
 *
 * @module
 */
import { type Launch, linearGrid, type Operand, type View } from "../kernel.ts";
import {
  declared,
  elements,
  type PlaneStrides,
  range,
  sandwich,
  shader,
  storeInLoop,
  WORKGROUP,
} from "./winograd_code.ts";
import type { Matrix } from "./winograd_matrices.ts";

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

/**
 * Whether rows of four pixels, a tile's width, are one vec4 in an array of images.
 *
 * @param views where the images lie.
 */
function rowsAreVec4({ W, m }: Tiling, views: readonly View<unknown>[]): boolean {
  const aligned = views.every((v) => v.offset % 4 === 0 && v.sampleStride % 4 === 0);
  return m === 4 && W % 4 === 0 && aligned;
}

/** Where tile n lies: `image`, and the row and column of its first output; one division each. */
const TILE_POSITION = `  let perImage = p.tilesX * p.tilesY;
  let image = n / perImage;
  let tileY = (n - image * perImage) / p.tilesX;
  let tileX = n - image * perImage - tileY * p.tilesX;`;

/** `d{i}_{j}`: size × size pixels from (y, x) on, zero outside the image; `base` is its first pixel. */
function pixels(size: number, border: number, vec4Rows: boolean): string {
  const bounds = range(size).map((k) =>
    `let inY${k} = y + ${k}u < p.H;
let inX${k} = x + ${k}u < p.W;
let row${k} = base + (min(y + ${k}u, p.H - 1u) >> p.shift) * width;
let column${k} = min(x + ${k}u, p.W - 1u) >> p.shift;`
  );
  const element = (i: number, j: number): string => {
    const at = `row${i} + column${j}`;
    // A column that is not in the vec4 is the last of the one before it or the first of the next.
    const value = vec4Rows ? `X[(${at}) / 4u].${j < border ? "w" : "x"}` : `X[${at}]`;
    return `let d${i}_${j} = select(0.0, ${value}, inY${i} && inX${j});`;
  };
  const row = (i: number): string =>
    `let r${i} = select(vec4f(), X[(row${i} + column${border}) / 4u], inY${i});
${range(4).map((j) => `let d${i}_${border + j} = r${i}.${"xyzw"[j]};`).join("\n")}`;
  const rows = range(size).map((i) => {
    const single = range(size).filter((j) => !vec4Rows || j < border || j >= border + 4);
    return [...(vec4Rows ? [row(i)] : []), ...single.map((j) => element(i, j))].join("\n");
  });
  return [...bounds, ...rows].join("\n");
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
  const vec4Rows = !upsampled && rowsAreVec4(tiling, [x]);
  // Neighbouring invocations write neighbouring elements.
  const tilesInside = strides.n < strides.c;
  const { names, values } = declared({
    count: C * tiles,
    inside: tilesInside ? tiles : C,
    tilesX,
    tilesY,
    H,
    W,
    shift: upsampled ? 1 : 0,
    step: m,
    border,
    elements: L.length ** 2,
    xOffset: x.offset,
    xSample: x.sampleStride,
    strideXi: strides.xi,
    strideOutside: tilesInside ? strides.c : strides.n,
    strideInside: tilesInside ? strides.n : strides.c,
  });
  const body = `  let outside = index / p.inside;
  let inside = index - outside * p.inside;
  let c = ${tilesInside ? "outside" : "inside"};
  let n = ${tilesInside ? "inside" : "outside"};
${TILE_POSITION}
  // Both wrap around below zero, to numbers that are outside of any image.
  let y = tileY * p.step - p.border;
  let x = tileX * p.step - p.border;
  let width = p.W >> p.shift;
  let base = p.xOffset + image * p.xSample + c * (p.H >> p.shift) * width;
${pixels(L[0].length, border, vec4Rows)}
${storeInLoop(L, "P", "outside * p.strideOutside + inside * p.strideInside", "p.strideXi")}`;
  return {
    kernel: `winograd.${name}${m}`,
    wgsl: shader(names, { X: vec4Rows ? "vec4f" : "f32", P: "f32" }, body),
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
  const images = residual === undefined ? [y] : [y, residual];
  const vec4Rows = !folded && rowsAreVec4(tiling, images);
  const image = vec4Rows ? "vec4f" : "f32";
  const shift = [
    ...(bias ? ["bias[p.biasOffset + c]"] : []),
    ...(perSample ? ["perSample[p.perSampleOffset + image * p.perSampleStride + c]"] : []),
  ];
  const finished = (sum: string, at: string): string =>
    `Y[sink + ${at}] ${accumulate ? "+=" : "="} (${sum} + shift${
      residual ? ` + residual[r + ${at}]` : ""
    }) / p.outputScale;`;
  const sumOf = (i: number, j: number): string =>
    folded
      ? [[0, 0], [0, 1], [1, 0], [1, 1]].map(([a, b]) => `f${2 * i + a}_${2 * j + b}`).join(" + ")
      : `f${i}_${j}`;
  const stores = vec4Rows
    ? range(size).map((i) =>
      `if (y + ${i}u < p.H) {
  let at = (y + ${i}u) * (p.W / 4u) + x / 4u;
  ${finished(`vec4f(${range(4).map((j) => `f${i}_${j}`).join(", ")})`, "at")}
}`
    ).join("\n")
    : elements(size, size, (i, j) =>
      `if (y + ${i}u < p.H && x + ${j}u < p.W) {
  let at = (y + ${i}u) * p.W + x + ${j}u;
  ${finished(sumOf(i, j), "at")}
}`);
  const plane = `c * p.H * p.W`;
  const unit = vec4Rows ? " / 4u" : "";
  const body = `  let c = index / p.tiles;
  let n = index - c * p.tiles;
${TILE_POSITION}
  let y = tileY * ${size}u;
  let x = tileX * ${size}u;
  let source = c * p.strideC + n * p.strideN;
${elements(alpha, alpha, (i, j) => `let d${i}_${j} = P[source + ${i * alpha + j}u * p.strideXi];`)}
${sandwich(L, (i, j, value) => `let f${i}_${j} = ${value};`)}
  let shift = ${shift.length === 0 ? "0.0" : shift.join(" + ")};
  let sink = (p.yOffset + image * p.ySample + ${plane})${unit};
  ${residual ? `let r = (p.residualOffset + image * p.residualStride + ${plane})${unit};` : ""}
${stores}`;
  return {
    kernel: `winograd.output${m}`,
    wgsl: shader(names, {
      P: "f32",
      Y: image,
      ...(bias && { bias: "f32" as const }),
      ...(perSample && { perSample: "f32" as const }),
      ...(residual && { residual: image }),
    }, body),
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
