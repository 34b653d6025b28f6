/**
 * Doubling and halving of images.
 *
 * @module
 */
import { type Launch, linearGrid, type View } from "../kernel.ts";
import { kernelName, Shader, type Variant, vectorType, viewsWidth, type Width } from "./layout.ts";

/** Sizes of the small images `[N, C, H, W]`; the large ones are `[N, C, 2H, 2W]`. */
export interface ResampleSizes {
  readonly N: number;
  readonly C: number;
  /** Height of the small images. */
  readonly H: number;
  /** Width of the small images. */
  readonly W: number;
}

/** Small images and large ones. */
export interface Resampled<T> {
  readonly small: View<T>;
  readonly large: View<T>;
}

/** y[n,c,i,j] = x[n,c,⌊i/2⌋,⌊j/2⌋]: x is small, y large. */
export function upsample<T>(
  variant: Variant,
  sizes: ResampleSizes,
  tensors: Resampled<T>,
): Launch<T> {
  return repeat("upsample", variant, sizes, tensors, 1, false);
}

/** dX = the sums of dY's 2×2 blocks, or those added to dX: dX is small, dY large. */
export function upsampleBackward<T>(
  variant: Variant,
  sizes: ResampleSizes,
  tensors: Resampled<T>,
  accumulate = false,
): Launch<T> {
  return blockSums("upsampleBackward", variant, sizes, tensors, 1, accumulate);
}

/** y = the means of x's 2×2 blocks: x is large, y small. */
export function averagePool<T>(
  variant: Variant,
  sizes: ResampleSizes,
  tensors: Resampled<T>,
): Launch<T> {
  return blockSums("averagePool", variant, sizes, tensors, 1 / 4, false);
}

/** dX = a quarter of dY for each element of a block, or that added to dX: dX is large, dY small. */
export function averagePoolBackward<T>(
  variant: Variant,
  sizes: ResampleSizes,
  tensors: Resampled<T>,
  accumulate = false,
): Launch<T> {
  return repeat("averagePoolBackward", variant, sizes, tensors, 1 / 4, accumulate);
}

/** large = factor·small, each small element over its block; or that added. */
function repeat<T>(
  kernel: string,
  variant: Variant,
  sizes: ResampleSizes,
  tensors: Resampled<T>,
  factor: number,
  accumulate: boolean,
): Launch<T> {
  return eachBlock(variant, sizes, tensors, {
    kernel: accumulate ? `${kernel}Add` : kernel,
    factor,
    writes: "large",
    accumulate,
    body: (width, small, large) => {
      const store = (at: string, value: string) =>
        `${large}[${at}] = ${accumulate ? `${large}[${at}] + ` : ""}${value};`;
      const [left, right] = width === 4 ? ["v.xxyy", "v.zzww"] : ["v", "v"];
      return `let v = p.factor * ${small};
    ${store("top", left)}
    ${store("top + 1u", right)}
    ${store("bottom", left)}
    ${store("bottom + 1u", right)}`;
    },
  });
}

/** small = factor·(sum of the block in large); or that added. */
function blockSums<T>(
  kernel: string,
  variant: Variant,
  sizes: ResampleSizes,
  tensors: Resampled<T>,
  factor: number,
  accumulate: boolean,
): Launch<T> {
  return eachBlock(variant, sizes, tensors, {
    kernel: accumulate ? `${kernel}Add` : kernel,
    factor,
    writes: "small",
    accumulate,
    body: (width, small, large) => {
      const old = accumulate ? `${small} + ` : "";
      const columns = `let left = ${large}[top] + ${large}[bottom];
    let right = ${large}[top + 1u] + ${large}[bottom + 1u];`;
      return width === 1
        ? `${columns}
    ${small} = ${old}p.factor * (left + right);`
        : `${columns}
    ${small} = ${old}p.factor * (vec4f(left.xz, right.xz) + vec4f(left.yw, right.yw));`;
    },
  });
}

const WORKGROUP = 64;
const MOST_PER_INVOCATION = 8;

/** What happens to one small element, or four in a row, and the large elements at `top` and `bottom`. */
interface BlockKernel {
  readonly kernel: string;
  readonly factor: number;
  readonly writes: "small" | "large";
  readonly accumulate: boolean;
  readonly body: (width: Width, small: string, large: string) => string;
}

function eachBlock<T>(
  variant: Variant,
  { N, C, H, W }: ResampleSizes,
  tensors: Resampled<T>,
  { kernel, factor, writes, accumulate, body }: BlockKernel,
): Launch<T> {
  const width = viewsWidth(variant, W, [tensors.small, tensors.large]);
  const count = C * H * W / width;
  const perInvocation = variant === "naive"
    ? 1
    : Math.min(MOST_PER_INVOCATION, Math.ceil(count / WORKGROUP));
  const perWorkgroup = WORKGROUP * perInvocation;
  const shader = new Shader<T>();
  shader.integers({ count, perWorkgroup, W: W / width });
  shader.floats({ factor });
  const written = accumulate ? "update" : "write";
  const small = shader.view("small", width, tensors.small, writes === "small" ? written : "read");
  const large = shader.view("large", width, tensors.large, writes === "large" ? written : "read");
  const text = `
alias V = ${vectorType(width)};
@compute @workgroup_size(${WORKGROUP})
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = (id.x + id.y * grid.x) * p.perWorkgroup;
  let end = min(first + p.perWorkgroup, p.count);
  let W = p.W;
  for (var k = first + lane; k < end; k += ${WORKGROUP}u) {
    let row = k / W; let column = k - row * W;
    let at = p.smallOffset + id.z * p.smallStride + k;
    let top = p.largeOffset + id.z * p.largeStride + 4u * row * W + 2u * column;
    let bottom = top + 2u * W;
    ${body(width, `${small}[at]`, large)}
  }
}
`;
  const [x, y] = linearGrid(Math.ceil(count / perWorkgroup));
  return shader.launch({
    kernel: kernelName(kernel, variant, width),
    body: text,
    workgroups: [x, y, N],
    flops: 4 * N * C * H * W,
    bytes: 4 * N * C * H * W * (accumulate ? (writes === "large" ? 9 : 6) : 5),
  });
}
