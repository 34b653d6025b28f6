/**
 * The naive convolution and its gradients, over drawn kernels, strides, paddings, places and epilogues.
 */
import fc from "fast-check";
import {
  directForward,
  directInputGradient,
  directWeightGradient,
} from "../../src/webgpu/kernels/conv_direct.ts";
import { Bound } from "../support/bound.ts";
import { checkForward, checkGradients, type ConvAlgorithm, drawnConv } from "./conv_cases.ts";
import { gpuTest } from "./gpu_test.ts";

const DIRECT: ConvAlgorithm = {
  forward: (sizes, tensors) => [directForward(sizes, tensors)],
  backward: (sizes, tensors, accumulate) => [
    directInputGradient(sizes, tensors, accumulate),
    directWeightGradient(sizes, tensors, accumulate),
  ],
};

gpuTest("a direct convolution and its gradients are the reference's", async () => {
  const bounds = new Bound("γ_n·(Σ|terms| + Σ|addends|)/outputScale");
  const property = fc.asyncProperty(drawnConv, async (d) => {
    await checkForward(DIRECT, d, bounds);
    await checkGradients(DIRECT, d, bounds, d.O * Math.ceil(d.kernel / d.stride) ** 2);
  });
  await fc.assert(property, { seed: 50, numRuns: 24, endOnFailure: true });
  bounds.settle("direct convolution");
});
