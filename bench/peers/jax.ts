/**
 * A bench's work in jax-js on WebGPU, as a worker.
 *
 * @module
 */
import {
  type Array as JaxArray,
  blockUntilReady,
  defaultDevice,
  init,
  jit,
  lax,
  numpy as np,
  valueAndGrad,
} from "npm:@jax-js/jax@0.1.25";
import type { Tensor } from "../../src/math/tensor.ts";
import { jaxUnet } from "./jax_unet.ts";
import type { ConvWork, Program, UNetWork } from "./work.ts";
import { serve } from "./worker.ts";

serve(async (work) => {
  const devices = await init("webgpu");
  if (!devices.includes("webgpu")) throw new Error("Expected jax-js to start on webgpu");
  defaultDevice("webgpu");
  return work.kind === "conv" ? convProgram(work) : unetProgram(work);
});

function onDevice({ shape, data }: Tensor): JaxArray {
  return np.array(data.slice(), { shape: [...shape] });
}

/** A program from a function that queues one evaluation. */
function programOf(evaluate: () => JaxArray[]): Program {
  return {
    results: () => Promise.all(evaluate().map(async (y) => await y.data() as Float32Array)),
    run: async (times) => {
      const results = Array.from({ length: times }, evaluate).flat();
      await blockUntilReady(results);
      for (const y of results) y.dispose();
    },
  };
}

function convProgram({ x, weight, dY }: ConvWork): Program {
  const conv = (x: JaxArray, w: JaxArray): JaxArray => lax.conv(x, w, [1, 1], "SAME");
  const input = onDevice(x), w = onDevice(weight);
  if (dY === null) {
    const forward = jit(conv);
    return programOf(() => [forward(input.ref, w.ref)]);
  }
  // Σ y·dY has the gradients that belong to dY; its value stands for y, whose sum it is.
  const withGradients = jit((x: JaxArray, w: JaxArray, dY: JaxArray) => {
    const [value, [dX, dW]] = valueAndGrad(
      (x: JaxArray, w: JaxArray) => np.sum(conv(x, w).mul(dY)),
      { argnums: [0, 1] },
    )(x, w);
    return [value, dX, dW] as JaxArray[];
  });
  const dOutput = onDevice(dY);
  return programOf(() => withGradients(input.ref, w.ref, dOutput.ref));
}

function unetProgram({ config, parameters, x, timesteps }: UNetWork): Program {
  const { weights, times, forward } = jaxUnet(config, parameters, timesteps);
  const input = onDevice(x);
  return programOf(() => [forward(weights.map(({ ref }) => ref), input.ref, times.ref)]);
}
