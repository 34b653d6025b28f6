/**
 * The device's layout of parameters: where each number goes, and back.
 */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { type Shape, sizeOf, tensor } from "../../src/math/tensor.ts";
import { fromDevice, toDevice } from "../../src/webgpu/weights.ts";
import { forAll } from "../support/property.ts";

const side = fc.integer({ min: 1, max: 5 });

/** The number of its place in the parameter, at every place. */
const numbered = (shape: Shape) =>
  tensor(shape, Array.from({ length: sizeOf(shape) }, (_, i) => i));

Deno.test("a convolution's weights go from [O, C, kH, kW] to [kH, kW, C, O]", () => {
  forAll(fc.tuple(side, side, side, side), 50, ([O, C, kH, kW]) => {
    const spec = { name: "conv_in.weight", shape: [O, C, kH, kW] };
    const device = toDevice(spec, numbered(spec.shape));
    let at = 0;
    for (let y = 0; y < kH; y++) {
      for (let x = 0; x < kW; x++) {
        for (let c = 0; c < C; c++) {
          for (let o = 0; o < O; o++) assertEquals(device[at++], ((o * C + c) * kH + y) * kW + x);
        }
      }
    }
    assertEquals(at, device.length);
  });
});

Deno.test("a linear layer's weights go from [O, I] to [I, O]; tables and vectors stay", () => {
  forAll(fc.tuple(side, side), 50, ([O, I]) => {
    const weight = numbered([O, I]);
    const device = toDevice({ name: "time_embedding.linear_1.weight", shape: [O, I] }, weight);
    for (let i = 0; i < I; i++) {
      for (let o = 0; o < O; o++) assertEquals(device[i * O + o], o * I + i);
    }
    const table = { name: "class_embedding.weight", shape: [O, I] };
    assertEquals(toDevice(table, weight), weight.data);
    const bias = numbered([O]);
    assertEquals(toDevice({ name: "conv_in.bias", shape: [O] }, bias), bias.data);
  });
});

Deno.test("parameters come back from the device as they were", () => {
  const shapes = fc.oneof(
    fc.tuple(side),
    fc.tuple(side, side),
    fc.tuple(side, side, side, side),
  );
  forAll(
    fc.tuple(shapes, fc.constantFrom("a.weight", "class_embedding.weight")),
    100,
    ([shape, name]) => {
      const value = numbered(shape);
      assertEquals(fromDevice({ name, shape }, toDevice({ name, shape }, value)), value);
    },
  );
});
