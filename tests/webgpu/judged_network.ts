/**
 * The operation `unet`, answered by `GpuUNet` or, with a target, by a step of `GpuTrainer`; and the files
 * by which it is handed weights and hands out gradients.
 */
import { type Tensor, tensor } from "../../src/math/tensor.ts";
import type { CandidateOp, Files } from "../../src/oracle/verify/mod.ts";
import { decodeSafetensors, encodeSafetensors, storedTensor } from "../../src/spec/safetensors.ts";
import { type UNetConfig, unetConfigFromDiffusers } from "../../src/spec/unet_config.ts";
import {
  type Classes,
  type Gpu,
  GpuTrainer,
  GpuUNet,
  type Parameters,
} from "../../src/webgpu/mod.ts";
import type { JsonTensor } from "./judged_steps.ts";
import { ANY_STEP, trainingState } from "./networks.ts";

/** Files in memory. */
export function filesInMemory(): Files {
  const files = new Map<string, Uint8Array>();
  return {
    folder: "memory",
    readFile: (path) => {
      const content = files.get(path);
      if (content === undefined) throw new Error(`Expected a file ${path} but there is none`);
      return content;
    },
    writeFile: (path, content) => files.set(path, content),
  };
}

interface UnetRequest {
  readonly config: Readonly<Record<string, unknown>>;
  readonly weights: string;
  readonly x: JsonTensor;
  readonly timesteps: number | readonly number[];
  readonly classLabels?: readonly number[] | JsonTensor | null;
  readonly target?: JsonTensor | null;
  readonly out?: string | null;
}

const tensorFrom = ({ shape, data }: JsonTensor) => tensor(shape, data);

function classesOf(labels: UnetRequest["classLabels"]): Classes | undefined {
  if (labels === undefined || labels === null) return undefined;
  return "shape" in labels ? tensorFrom(labels) : labels;
}

/** What a network answers; without a target there is no more than the output. */
interface Answer {
  readonly output: Tensor;
  readonly loss?: number;
  readonly gradients?: Parameters;
}

/** A network with its inputs. */
interface Run {
  readonly config: UNetConfig;
  readonly parameters: Parameters;
  readonly x: Tensor;
  readonly timesteps: readonly number[];
  readonly classes?: Classes;
}

/** The output. */
async function predicted(gpu: Gpu, { config, parameters, x, ...run }: Run): Promise<Answer> {
  const [batch, , height, width] = x.shape;
  const network = await GpuUNet.create(gpu, config, parameters, { batch, height, width });
  const output = await network.predict(x, run.timesteps, run.classes);
  network.destroy();
  return { output };
}

/** Output, loss and every gradient of a training step. */
async function trained(
  gpu: Gpu,
  { config, parameters, x, timesteps, classes }: Run,
  target: Tensor,
): Promise<Answer> {
  const [batch, , height, width] = x.shape;
  const options = { batch, height, width, inputGradient: true };
  const trainer = await GpuTrainer.create(gpu, config, trainingState(parameters), options);
  const { loss } = await trainer.step([{ xt: x, target, timesteps, classes }], ANY_STEP);
  const [data] = await trainer.executor.read(trainer.planned.output.view.tensor);
  const gradients = new Map([["x", await trainer.inputGradient()], ...await trainer.gradients()]);
  trainer.destroy();
  return { output: tensor(target.shape, data), loss, gradients };
}

/** `unet`. */
export function networkOps(gpu: Gpu, files: Files): Readonly<Record<string, CandidateOp>> {
  return {
    unet: async (asked) => {
      const { weights, target, out, ...request } = asked as unknown as UnetRequest;
      const x = tensorFrom(request.x), { timesteps: t } = request;
      const { tensors } = decodeSafetensors(files.readFile(weights));
      const run = {
        config: unetConfigFromDiffusers(request.config),
        parameters: new Map([...tensors].map(([name, stored]) => [name, storedTensor(stored)])),
        x,
        timesteps: typeof t === "number" ? new Array<number>(x.shape[0]).fill(t) : t,
        classes: classesOf(request.classLabels),
      };
      const { output, loss, gradients = new Map() } = target
        ? await trained(gpu, run, tensorFrom(target))
        : await predicted(gpu, run);
      if (out) {
        const named = [...gradients].map(([name, g]) => [`grad.${name}`, g] as const);
        files.writeFile(out, encodeSafetensors(new Map([["output", output], ...named])));
      }
      return { output, loss };
    },
  };
}
