import { checkInteger } from "../../math/errors.ts";
import { checkRank, checkShape, type Tensor } from "../../math/tensor.ts";
import { zerosLike } from "./zeros_like.ts";

/**
 * Rows of a table: y[n,·] = table[labels[n],·].
 *
 * @param labels N integers in 0..rows − 1.
 * @param table `[rows, E]`
 * @returns `[N, E]`
 * @throws {ArgumentError} if a label is out of range.
 */
export function embedding(labels: readonly number[], table: Tensor): Tensor {
  const [rows, E] = tableSizes(table);
  const y = zerosLike(table, [labels.length, E]);
  labels.forEach((label, n) => {
    checkInteger("every class label", label, 0, rows - 1);
    y.data.set(table.data.subarray(label * E, (label + 1) * E), n * E);
  });
  return y;
}

/**
 * Gradient of `embedding` with respect to the table: each row sums dY over the samples that took it.
 *
 * @param dY `[N, E]`
 * @throws {ArgumentError} if shapes do not fit or a label is out of range.
 */
export function embeddingBackward(dY: Tensor, labels: readonly number[], table: Tensor): Tensor {
  const [rows, E] = tableSizes(table);
  checkShape("dY", dY, [labels.length, E]);
  const sums = new Float64Array(rows * E);
  labels.forEach((label, n) => {
    checkInteger("every class label", label, 0, rows - 1);
    for (let e = 0; e < E; e++) sums[label * E + e] += dY.data[n * E + e];
  });
  const dTable = zerosLike(table);
  dTable.data.set(sums);
  return dTable;
}

function tableSizes(table: Tensor): readonly [number, number] {
  checkRank("table", table, "rows, E");
  return [table.shape[0], table.shape[1]];
}
