/**
 * Plans of a U-Net for one batch size: its forward pass, and its training step with gradients, clipping,
 * Adam and the average of the weights.
 *
 * @module
 */
import { ArgumentError } from "../math/errors.ts";
import type { UNetConfig } from "../spec/unet_config.ts";
import { timeEmbeddingSize, unetModules } from "../spec/unet_modules.ts";
import { clipFactor, NORM_PARTS, sumOfSquares } from "./kernels/grad_norm.ts";
import { KEY_WORDS } from "./kernels/dropout.ts";
import { fill } from "./kernels/elementwise.ts";
import { loss, lossParts } from "./kernels/loss.ts";
import { adam } from "./kernels/optimizer.ts";
import { STEP_SIZE } from "./kernels/optimizer_step.ts";
import { type Activation, type ImageShape, Network, positions } from "./network.ts";
import type { Plan, PlanBuilder, PlanTensor } from "./plan.ts";
import { type UNetInputs, UNetNetwork } from "./unet_network.ts";
import type { Variants } from "./variants.ts";

/** What a plan is made for. */
export interface UNetPlanRequest {
  readonly config: UNetConfig;
  /** Samples per pass. */
  readonly batch: number;
  readonly height: number;
  readonly width: number;
  readonly variants: Variants;
  /**
   * Whether the host hands the weights in one by one (`uploadParameters`), so that those which kernels
   * read in another form are not kept twice. Inference only. Default false.
   */
  readonly streamed?: boolean;
}

/** A plan and the tensors by which the host talks to it. */
export interface UNetPlan {
  /** What runs. */
  readonly plan: Plan;
  /** What the host writes before a step. */
  readonly inputs: UNetInputs;
  /** `[N, outChannels, H, W]` */
  readonly output: Activation;
  /** Parameters by name, in the device's layout. */
  readonly parameters: ReadonlyMap<string, PlanTensor>;
}

/** A training plan and the tensors by which the host talks to it. */
export interface TrainingPlan extends UNetPlan {
  /** `[N, outChannels, H, W]`: what the output should be. */
  readonly target: Activation;
  /** `[N]`: weight of each sample's loss. */
  readonly weights: PlanTensor;
  /** `[accumulation·N]`: loss of each sample, unweighted. */
  readonly losses: PlanTensor;
  /** u32 `[1]`: number of the part that is next, from 0; null if a batch has one. */
  readonly part: PlanTensor | null;
  /** `[1]`: loss of the batch, over all its parts. */
  readonly loss: PlanTensor;
  /** What `optimizerStepNumbers` returns. */
  readonly step: PlanTensor;
  /** Global norm of the gradients, and the factor that clipped them. */
  readonly norm: PlanTensor;
  /** Gradients by name, in the device's layout. */
  readonly gradients: ReadonlyMap<string, PlanTensor>;
  /** ∂loss/∂x, if asked for. */
  readonly inputGradient: PlanTensor | null;
}

/** What a training plan is made for. */
export interface TrainingRequest extends UNetPlanRequest {
  /** Parts of a batch whose gradients are added up before the weights change. Default 1. */
  readonly accumulation?: number;
  /** Whether the gradient of x is computed as well. Default false. */
  readonly inputGradient?: boolean;
}

/**
 * Checks that the images can be halved as often as the network does.
 *
 * @throws {ArgumentError} if they cannot.
 */
export function checkExtent({ config, height, width }: UNetPlanRequest): void {
  const multiple = 2 ** (config.blockOutChannels.length - 1);
  if (height % multiple !== 0 || width % multiple !== 0) {
    throw new ArgumentError(
      `Expected height and width to be multiples of ${multiple} but got ${height} and ${width}`,
    );
  }
}

/** An activation in the `state` buffer, which the host reads or writes. */
function hostActivation(plan: PlanBuilder, label: string, shape: ImageShape): Activation {
  const sampleStride = shape.C * positions(shape);
  const tensor = plan.tensor("state", label, shape.N * sampleStride);
  return { ...shape, view: { tensor, offset: 0, sampleStride } };
}

/** What the host gives the network, in the `state` buffer. */
export function makeInputs(net: Network, request: UNetPlanRequest): UNetInputs {
  const { config, batch: N, height: H, width: W } = request;
  const { plan } = net;
  const vector = (label: string, C: number) => hostActivation(plan, label, { N, C, H: 1, W: 1 });
  const C = config.blockOutChannels[0];
  const { classEmbedType, numClassEmbeds } = config;
  const classes = classEmbedType === "timestep"
    ? vector("classes", C)
    : classEmbedType === "identity"
    ? vector("classes", timeEmbeddingSize(config))
    : numClassEmbeds === null
    ? null
    : vector("classes", 1);
  const blocks = unetModules(config).filter(({ kind }) => kind === "resnet").length;
  const dropoutKeys = net.training && config.dropout > 0
    ? Array.from(
      { length: blocks },
      (_, k) => plan.tensor("state", `dropout keys ${k}`, KEY_WORDS * N),
    )
    : null;
  return {
    x: hostActivation(plan, "x", { N, C: config.inChannels, H, W }),
    times: vector("times", C),
    classes,
    dropoutKeys,
  };
}

/** The network's output, in the `state` buffer. */
export function makeOutput(
  net: Network,
  { config, batch: N, height: H, width: W }: UNetPlanRequest,
): Activation {
  return hostActivation(net.plan, "output", { N, C: config.outChannels, H, W });
}

/** A tensor for every parameter. */
export function byName(
  net: Network,
  tensor: (name: string) => PlanTensor,
): Map<string, PlanTensor> {
  return new Map(net.specs.map(({ name }) => [name, tensor(name)]));
}

/**
 * The plan of a forward pass.
 *
 * @throws {ArgumentError} if height or width cannot be halved as often as the network does.
 */
export function unetPlan(request: UNetPlanRequest): UNetPlan {
  checkExtent(request);
  const net = new Network(request.config, false, request.variants, false, request.streamed);
  const inputs = makeInputs(net, request);
  const output = makeOutput(net, request);
  new UNetNetwork(net, request.config, inputs).forward(output);
  const parameters = byName(net, (name) => net.parameter(name));
  return { plan: net.plan.finish(), inputs, output, parameters };
}

/** Largest range of a flat buffer that one launch takes: half of the binding size that WebGPU guarantees. */
const CHUNK = 2 ** 24;

/** The whole of a buffer of `size` elements in ranges that can be bound. */
function chunks(buffer: PlanTensor["buffer"], size: number): PlanTensor[] {
  return Array.from({ length: Math.ceil(size / CHUNK) }, (_, i): PlanTensor => ({
    label: `${buffer} ${i}`,
    buffer,
    offset: i * CHUNK,
    size: Math.min(CHUNK, size - i * CHUNK),
  }));
}

/**
 * The plan of a training step: phases `clear`, `step` and `update`.
 *
 * @throws {ArgumentError} if height or width cannot be halved as often as the network does.
 */
export function trainingPlan(request: TrainingRequest): TrainingPlan {
  checkExtent(request);
  const { config, variants, batch: N, accumulation = 1, inputGradient = false } = request;
  const net = new Network(config, true, variants, accumulation > 1);
  const { plan } = net;
  const inputs = makeInputs(net, request);
  const output = makeOutput(net, request);
  const target = hostActivation(plan, "target", output);
  const state = (label: string, size: number): PlanTensor => plan.tensor("state", label, size);
  const weights = state("weights", N), total = state("loss", 1);
  const losses = state("losses", accumulation * N);
  const part = accumulation > 1 ? state("part", 1) : null;
  const step = state("optimiser step", STEP_SIZE), norm = state("norm", 2);
  // In the arena it would be overwritten by the launches that come after its own.
  const dX = inputGradient ? state("d x", inputs.x.view.tensor.size) : null;
  if (dX !== null) net.placeGradient(inputs.x, dX);

  const network = new UNetNetwork(net, config, inputs, inputGradient);
  network.forward(output);
  const D = output.C * positions(output);
  net.inLayer("loss", () => {
    const parts = net.scratch("loss parts", N * lossParts(variants.other, D));
    const tensors = {
      target: target.view,
      output: output.view,
      weights,
      dOutput: net.slot(output).view,
      parts,
      losses,
      part,
      loss: total,
    };
    const options = { scale: 1 / accumulation, accumulate: accumulation > 1 };
    net.add(loss(variants.other, { N, D }, tensors, options));
  });
  net.walkBack();

  const size = plan.sizeOf("parameters");
  for (const buffer of ["moment1", "moment2", "ema"] as const) plan.tensor(buffer, buffer, size);
  const flat = (buffer: PlanTensor["buffer"]): PlanTensor[] => chunks(buffer, size);
  const grads = flat("gradients");
  plan.layer = "optimiser";
  if (accumulation > 1) {
    const zero = (tensor: PlanTensor) => {
      const view = { tensor, offset: 0, sampleStride: tensor.size };
      return fill(variants.other, { N: 1, D: tensor.size }, view, 0);
    };
    plan.add("clear", ...grads.map(zero), zero(total));
  }
  const parts = plan.tensor("state", "norm parts", NORM_PARTS * grads.length);
  grads.forEach((chunk, i) => {
    const tensors = { grads: chunk, parts };
    plan.add("update", sumOfSquares(variants.other, chunk.size, tensors, i * NORM_PARTS));
  });
  plan.add("update", clipFactor(grads.length, { parts, step, norm }));
  const params = flat("parameters"), m = flat("moment1"), v = flat("moment2"), ema = flat("ema");
  grads.forEach((chunk, i) => {
    const tensors = { params: params[i], grads: chunk, m: m[i], v: v[i], ema: ema[i], step, norm };
    plan.add("update", adam(variants.other, chunk.size, tensors));
  });
  return {
    plan: plan.finish(),
    inputs,
    output,
    parameters: byName(net, (name) => net.parameter(name)),
    gradients: byName(net, (name) => net.gradient(name)),
    target,
    weights,
    losses,
    part,
    loss: total,
    step,
    norm,
    inputGradient: dX,
  };
}
