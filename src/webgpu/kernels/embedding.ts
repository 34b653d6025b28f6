/**
 * Rows of a table by number: class embeddings, and tables with a row per time.
 *
 * @module
 */
import { type Launch, linearGrid, type View } from "../kernel.ts";
import { Shader } from "./layout.ts";

/** Sizes of N rows of E elements. */
export interface EmbeddingSizes {
  readonly N: number;
  readonly E: number;
}

const WORKGROUP = 64;

/**
 * y[n,·] = table[labels[n],·], bit for bit.
 *
 * @param tensors.labels u32 `[N]`, or `[1]` with `shared`; each below the number of rows.
 * @param shared whether all samples take row labels[0].
 */
export function embedding<T>(
  { N, E }: EmbeddingSizes,
  tensors: { readonly table: T; readonly labels: T; readonly y: View<T> },
  shared = false,
): Launch<T> {
  const shader = new Shader<T>();
  shader.integers({ E, labelStride: shared ? 0 : 1 });
  const table = shader.tensor("table", "f32", tensors.table, "read");
  const labels = shader.tensor("labels", "u32", tensors.labels, "read");
  const y = shader.view("y", 1, tensors.y, "write");
  const body = `
@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= p.E) { return; }
  let row = ${labels}[id.y * p.labelStride];
  ${y}[p.yOffset + id.y * p.yStride + id.x] = ${table}[row * p.E + id.x];
}
`;
  return shader.launch({
    kernel: "embedding",
    body,
    workgroups: [Math.ceil(E / WORKGROUP), N, 1],
    flops: 0,
    bytes: 8 * N * E,
  });
}

/**
 * dTable[row,·] = Σ dY[n,·] over the samples with labels[n] = row, in the order of n; or that added to
 * dTable.
 */
export function embeddingBackward<T>(
  { N, E }: EmbeddingSizes,
  rows: number,
  tensors: { readonly dY: View<T>; readonly labels: T; readonly dTable: T },
  accumulate = false,
): Launch<T> {
  const shader = new Shader<T>();
  shader.integers({ N, E, rows });
  const dY = shader.view("dY", 1, tensors.dY, "read");
  const labels = shader.tensor("labels", "u32", tensors.labels, "read");
  const dTable = shader.tensor("dTable", "f32", tensors.dTable, accumulate ? "update" : "write");
  const body = `
@compute @workgroup_size(${WORKGROUP})
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let at = (id.x + id.y * grid.x) * ${WORKGROUP}u + lane;
  if (at >= p.rows * p.E) { return; }
  let row = at / p.E; let e = at % p.E;
  var sum = ${accumulate ? `${dTable}[at]` : "0.0"};
  for (var n = 0u; n < p.N; n++) {
    if (${labels}[n] == row) { sum += ${dY}[p.dYOffset + n * p.dYStride + e]; }
  }
  ${dTable}[at] = sum;
}
`;
  return shader.launch({
    kernel: accumulate ? "embeddingBackwardAdd" : "embeddingBackward",
    body,
    workgroups: linearGrid(Math.ceil(rows * E / WORKGROUP)),
    flops: N * E,
    bytes: 4 * (N * E + rows * E),
  });
}
