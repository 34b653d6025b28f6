import { type Launch, linearGrid, type View } from "../kernel.ts";
import { kernelName, Shader, type Variant, vectorType, vectorWidth } from "./layout.ts";

/** Sizes of `[N, C, P]`. */
export interface TransposeSizes {
  readonly N: number;
  readonly C: number;
  readonly P: number;
}

const WORKGROUP = 64;

/**
 * y[n, p, c] = x[n, c, p]: channels become neighbours. One element per invocation, or blocks of 4 × 4
 * where sizes and places allow.
 */
export function transpose<T>(
  variant: Variant,
  { N, C, P }: TransposeSizes,
  { x, y }: { readonly x: View<T>; readonly y: T },
): Launch<T> {
  const width = variant === "naive" ? 1 : vectorWidth(C, P, x.offset, x.sampleStride);
  const shader = new Shader<T>();
  const [rows, columns] = [C / width, P / width];
  shader.integers({ count: rows * columns, rows, columns });
  const source = shader.view("x", width, x, "read");
  const sink = shader.tensor("y", vectorType(width), y, "write");
  const block = Array.from({ length: width }, (_, i) => i);
  const loads = block.map((i) =>
    `let r${i} = ${source}[p.xOffset + id.z * p.xStride + (${width}u * row + ${i}u) * p.columns + column];`
  );
  const stores = block.map((i) => {
    const value = width === 1
      ? "r0"
      : `vec4f(${block.map((j) => `r${j}.${"xyzw"[i]}`).join(", ")})`;
    return `${sink}[(id.z * p.columns + column) * ${width}u * p.rows + ${i}u * p.rows + row] = ${value};`;
  });
  const body = `
@compute @workgroup_size(${WORKGROUP})
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let index = (id.x + id.y * grid.x) * ${WORKGROUP}u + lane;
  if (index >= p.count) { return; }
  let row = index / p.columns;
  let column = index - row * p.columns;
  ${loads.join("\n  ")}
  ${stores.join("\n  ")}
}
`;
  const [gridX, gridY] = linearGrid(Math.ceil(rows * columns / WORKGROUP));
  return shader.launch({
    kernel: kernelName("transpose", variant, width),
    body,
    workgroups: [gridX, gridY, N],
    flops: 0,
    bytes: 8 * N * C * P,
  });
}
