/**
 * From nothing to the first training step, in a process of its own: what someone waits for who starts a
 * run. Prints milliseconds since the process began as one line of JSON.
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
const parameters = initialParameters(config, 1);
const weights = performance.now();
const variants = defaultVariants(gpu.adapterClass);
const trainer = await makeTrainer({ gpu, config, parameters, variants, quick });
const compiled = performance.now();
const { loss } = await trainer.step([trainingBatch({ config, quick })], OPTIMIZER_STEP);
const step = performance.now();
const line = JSON.stringify({ device, weights, compiled, step, loss });
await Deno.stdout.write(new TextEncoder().encode(`${line}\n`));
Deno.exit(Number.isFinite(loss) ? 0 : 1);
