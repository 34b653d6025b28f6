/** The classifier's convolution is the reference's. */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { columnsConv, columnsConvBackward } from "../../src/evaluate/columns_conv.ts";
import { sumBound, U64 } from "../../src/math/float32.ts";
import type { Tensor } from "../../src/math/tensor.ts";
import { conv2d, conv2dBackward } from "../../src/reference/nn/conv2d.ts";
import { doubles, inDouble } from "../support/doubles.ts";
import { normals, seeds, upTo } from "../support/layers.ts";
import { boundedTest } from "../support/property.ts";

const sizes = fc.record({
  seed: seeds,
  N: upTo(3),
  C: upTo(3),
  O: upTo(3),
  H: upTo(7),
  W: upTo(7),
  k: fc.constantFrom(1, 3, 5),
  stride: upTo(3),
  padding: fc.nat(2),
});

function magnitude({ shape, data }: Tensor): Tensor {
  return doubles(shape, data.map(Math.abs));
}

boundedTest(
  "columnsConv and its gradients are conv2d and conv2dBackward",
  "2·γ_n(2^−53)·Σ|terms|",
  60,
  sizes,
  ({ seed, N, C, O, H, W, k, stride, padding }, bound) => {
    fc.pre(H + 2 * padding >= k && W + 2 * padding >= k);
    const x = inDouble(normals(seed, 0, [N, C, H, W]));
    const w = inDouble(normals(seed, 1, [O, C, k, k])), b = inDouble(normals(seed, 2, [O]));
    const options = { stride, padding };
    const sides = { stride, padding: [padding, padding, padding, padding] as const };
    // Either side sums the same terms in its own order (Higham 3.5), so the two differ by 2·γ_n·Σ|terms|,
    // and Σ|terms| is the layer itself on magnitudes.
    const check = (found: Tensor, expected: Tensor, size: Tensor, terms: number, what: string) => {
      assertEquals(found.shape, expected.shape);
      bound.checkAll(
        found.data,
        expected.data,
        (i) => 2 * sumBound(terms, size.data[i], U64),
        what,
      );
    };
    const y = conv2d(x, w, b, sides);
    const size = conv2d(magnitude(x), magnitude(w), magnitude(b), sides);
    check(columnsConv(x, w, b, options), y, size, C * k * k + 1, "y");
    const dY = inDouble(normals(seed, 3, y.shape));
    const expected = conv2dBackward(dY, x, w, sides);
    const sizeOf = conv2dBackward(magnitude(dY), magnitude(x), magnitude(w), sides);
    const { dX, dWeight, dBias } = columnsConvBackward(dY, x, w, options, true);
    const outputs = N * y.shape[2] * y.shape[3];
    check(dX!, expected.dX, sizeOf.dX, O * k * k, "dX");
    check(dWeight, expected.dWeight, sizeOf.dWeight, outputs, "dWeight");
    assertEquals(dBias, expected.dBias, "the same sum in the same order");
    const first = columnsConvBackward(dY, x, w, options, false);
    assertEquals(first, { dX: null, dWeight, dBias });
  },
);
