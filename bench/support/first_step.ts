/**
 * From nothing to the first training step, in a process of its own: what someone waits for who starts a
 * run; and a second step, to see what of the first was work. Prints milliseconds since the process began
 * as one line of JSON.
 *
 * @module
 */
import { initialParameters } from "../../src/spec/unet_parameters.ts";
import { CIFAR10, MNIST } from "../../src/spec/unet_presets.ts";
import { requestGpu } from "../../src/webgpu/device.ts";
import { defaultVariants } from "../../src/webgpu/variants.ts";
import { makeTrainer, OPTIMIZER_STEP, trainingBatch } from "./training.ts";

const quick = Deno.args.includes("--quick");
const config = quick ? MNIST : CIFAR10;
const gpu = await requestGpu();
const device = performance.now();
const variants = defaultVariants(gpu.adapterClass);
let shaders = NaN, weights = NaN;
const trainer = await makeTrainer({ gpu, config, variants, quick }, () => {
  shaders = performance.now();
  const parameters = initialParameters(config, 1);
  weights = performance.now();
  return parameters;
});
const uploaded = performance.now();
const { loss } = await trainer.step([trainingBatch({ config, quick })], OPTIMIZER_STEP);
const step = performance.now();
await trainer.step([trainingBatch({ config, quick })], { ...OPTIMIZER_STEP, step: 2 });
const second = performance.now();
const line = JSON.stringify({ device, shaders, weights, uploaded, step, second, loss });
await Deno.stdout.write(new TextEncoder().encode(`${line}\n`));
Deno.exit(Number.isFinite(loss) ? 0 : 1);
