/**
 * Rows of a table and their gradient against the reference.
 */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { gamma } from "../../src/math/float32.ts";
import { tensor } from "../../src/math/tensor.ts";
import * as nn from "../../src/reference/nn/mod.ts";
import { embedding, embeddingBackward } from "../../src/webgpu/kernels/embedding.ts";
import { Bound } from "../support/bound.ts";
import { inDouble } from "../support/doubles.ts";
import { seeds } from "../support/layers.ts";
import { forAllAsync } from "../support/property.ts";
import { gpuTest } from "./gpu_test.ts";
import { Placed, placements } from "./placement.ts";
import { runLaunches } from "./run_launch.ts";
import { normals } from "./values.ts";

const drawn = fc.integer({ min: 1, max: 7 }).chain((rows) =>
  fc.record({
    rows: fc.constant(rows),
    E: fc.integer({ min: 1, max: 140 }),
    labels: fc.array(fc.nat(rows - 1), { minLength: 1, maxLength: 9 }),
    place: placements,
    shared: fc.boolean(),
    accumulate: fc.boolean(),
    seed: seeds,
  })
);

gpuTest("embedding takes the labels' rows", async () => {
  await forAllAsync(drawn, 15, async ({ rows, E, labels, place, shared, seed }) => {
    const N = labels.length;
    const table = normals(rows * E, seed);
    const y = new Placed("y", N, E, place);
    const results = await runLaunches<string>(
      [embedding({ N, E }, { table: "table", labels: "labels", y: y.view }, shared)],
      { table, labels: Uint32Array.from(shared ? [labels[0]] : labels), y: y.size },
    );
    const taken = shared ? labels.map(() => labels[0]) : labels;
    assertEquals(y.taken(results.y), nn.embedding(taken, tensor([rows, E], table)).data);
  });
});

gpuTest("embedding's gradient sums over the samples of a row", async () => {
  const bound = new Bound("γ_n·Σ|dY|");
  await forAllAsync(drawn, 15, async ({ rows, E, labels, place, accumulate, seed }) => {
    const N = labels.length;
    const dY = new Placed("dY", N, E, place);
    const values = normals(N * E, seed), old = normals(rows * E, seed + 1);
    const tensors = { dY: dY.view, labels: "labels", dTable: "dTable" };
    const results = await runLaunches<string>(
      [embeddingBackward({ N, E }, rows, tensors, accumulate)],
      {
        dY: dY.holding(values),
        labels: Uint32Array.from(labels),
        dTable: accumulate ? old : rows * E,
      },
    );
    const table = inDouble(tensor([rows, E], old));
    const gradient = (v: Float32Array) =>
      nn.embeddingBackward(inDouble(tensor([N, E], v)), labels, table).data;
    const exact = gradient(values), sizes = gradient(values.map(Math.abs));
    const before = (i: number) => accumulate ? old[i] : 0;
    bound.checkAll(
      results.dTable,
      exact.map((v, i) => v + before(i)),
      (i) => gamma(N) * (sizes[i] + Math.abs(before(i))),
      "dTable",
    );
  });
  bound.settle("embedding gradient");
});
