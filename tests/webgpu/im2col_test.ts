/**
 * Convolutions as matrix products over columns: forward and both gradients, over drawn kernels,
 * strides, paddings, places and epilogues.
 */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { REGISTER } from "../../src/webgpu/kernels/gemm.ts";
import { im2colBackward, im2colForward } from "../../src/webgpu/kernels/im2col.ts";
import { Bound } from "../support/bound.ts";
import { checkForward, checkGradients, type ConvAlgorithm, drawnConv } from "./conv_cases.ts";
import { gpuTest } from "./gpu_test.ts";

const IM2COL: ConvAlgorithm = {
  forward: (sizes, tensors) => im2colForward(REGISTER, sizes, tensors),
  backward: (sizes, tensors, accumulate) =>
    im2colBackward(REGISTER, sizes, tensors, {
      accumulateX: accumulate,
      accumulateWeights: accumulate,
    }),
};

/** Without room for a transposed copy of dY. */
const WITHOUT_COPY: ConvAlgorithm = {
  ...IM2COL,
  backward: (sizes, tensors, accumulate) =>
    IM2COL.backward(sizes, { ...tensors, dYTransposed: undefined }, accumulate),
};

gpuTest("a convolution over columns and its gradients are the reference's", async () => {
  const bounds = new Bound("γ_n·(Σ|terms| + Σ|addends|)/outputScale");
  const property = fc.asyncProperty(drawnConv, async (d) => {
    await checkForward(IM2COL, d, bounds);
    // dX: a product over the output channels, then a sum over the taps that read the pixel.
    const n = d.O + Math.ceil(d.kernel / d.stride) ** 2;
    await checkGradients(d.seed % 2 === 0 ? IM2COL : WITHOUT_COPY, d, bounds, n);
  });
  await fc.assert(property, { seed: 40, numRuns: 16, endOnFailure: true });
  bounds.settle("im2col");
});

gpuTest("a sample's convolution over columns has the same bits in any batch", async () => {
  const property = fc.asyncProperty(drawnConv, async (drawn) => {
    const d = { ...drawn, with: { bias: true, perSample: false, residual: false } };
    const whole = await checkForward(IM2COL, { ...d, N: 5 });
    const alone = await checkForward(IM2COL, { ...d, N: 1 });
    assertEquals(whole.subarray(0, alone.length), alone);
  });
  await fc.assert(property, { seed: 41, numRuns: 3, endOnFailure: true });
});
