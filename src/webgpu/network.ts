/**
 * The layers of a network as launches of a plan: each forward with its backward beside it. Parameters
 * are found by name; activations are views, so that what is to be concatenated is written where the
 * concatenation lies.
 *
 * @module
 */
import { sizeOf } from "../math/tensor.ts";
import type { UNetConfig } from "../spec/unet_config.ts";
import { type ParameterSpec, unetParameters } from "../spec/unet_parameters.ts";
import type { Launch, View } from "./kernel.ts";
import { type Phase, PlanBuilder, type PlanTensor } from "./plan.ts";
import type { Variants } from "./variants.ts";

/** Sizes of an activation `[N, C, H, W]`. */
export interface ImageShape {
  /** Samples. */
  readonly N: number;
  /** Channels. */
  readonly C: number;
  /** Height. */
  readonly H: number;
  /** Width. */
  readonly W: number;
}

/** An activation: where it lies and its sizes. */
export interface Activation extends ImageShape {
  /** Where it lies. */
  readonly view: View<PlanTensor>;
}

/** Where a gradient is to be added up, and whether something is there already. */
export interface GradientSlot {
  readonly view: View<PlanTensor>;
  /** True: add to what it holds. False: it holds nothing yet. */
  readonly accumulate: boolean;
}

/** Positions per channel. */
export function positions({ H, W }: Pick<ImageShape, "H" | "W">): number {
  return H * W;
}

/** A part of an activation's channels. */
export function channelRange(of: Activation, first: number, C: number): Activation {
  const offset = of.view.offset + first * positions(of);
  return { ...of, C, view: { ...of.view, offset } };
}

/** What every layer needs while a plan is being built. */
export class Network {
  /** Receives tensors and launches. */
  readonly plan: PlanBuilder = new PlanBuilder();
  /** Whether a backward pass will follow. */
  readonly training: boolean;
  /** Whether gradients of parameters are added to what is there, for batches in parts. */
  readonly accumulateParameters: boolean;
  /** Which kernel computes what. */
  readonly variants: Variants;
  /**
   * Whether the host hands the weights in one by one, so that those which `prepare` alone reads need no
   * place of their own. Otherwise all lie in one flat layout, as training and whoever shares its weights
   * need them.
   */
  readonly streamed: boolean;
  /** Every parameter in order. */
  readonly specs: readonly ParameterSpec[];
  readonly #parameters = new Map<string, PlanTensor>();
  readonly #gradients = new Map<string, PlanTensor>();
  /** Gradients by the tensor of the activation; a concatenation and its parts share one. */
  readonly #activationGradients = new Map<PlanTensor, PlanTensor>();
  /** Ranges of a sample's elements that hold a gradient already, by tensor. */
  readonly #written = new Map<PlanTensor, { start: number; end: number }[]>();
  readonly #backward: (() => void)[] = [];

  /** `accumulateParameters` matters in training only. */
  constructor(
    config: UNetConfig,
    training: boolean,
    variants: Variants,
    accumulateParameters = false,
    streamed = false,
  ) {
    this.training = training;
    this.streamed = streamed;
    this.accumulateParameters = accumulateParameters;
    this.variants = variants;
    this.specs = unetParameters(config);
    for (const { name, shape } of streamed ? [] : this.specs) {
      const size = sizeOf(shape);
      this.#parameters.set(name, this.plan.tensor("parameters", name, size));
      if (training) this.#gradients.set(name, this.plan.tensor("gradients", `d ${name}`, size));
    }
  }

  /** A parameter by name. */
  parameter(name: string): PlanTensor {
    if (this.streamed && !this.#parameters.has(name)) {
      this.#parameters.set(name, this.plan.tensor("parameters", name, this.#sizeOf(name)));
    }
    return found(this.#parameters, name);
  }

  /** A parameter that only `prepare` reads. */
  sourceParameter(name: string): PlanTensor {
    if (!this.streamed) return this.parameter(name);
    const tensor = this.plan.staged(name, this.#sizeOf(name));
    this.#parameters.set(name, tensor);
    return tensor;
  }

  #sizeOf(name: string): number {
    const spec = this.specs.find((candidate) => candidate.name === name);
    if (spec === undefined) throw new RangeError(`Expected a parameter ${name} but got none`);
    return sizeOf(spec.shape);
  }

  /** The gradient of a parameter. */
  gradient(name: string): PlanTensor {
    return found(this.#gradients, name);
  }

  /** A new activation in the arena. */
  activation(label: string, shape: ImageShape): Activation {
    const { N, C } = shape;
    const sampleStride = C * positions(shape);
    const tensor = this.plan.tensor("arena", label, N * sampleStride);
    return { ...shape, view: { tensor, offset: 0, sampleStride } };
  }

  /** A scratch tensor in the arena. */
  scratch(label: string, size: number): PlanTensor {
    return this.plan.tensor("arena", label, Math.max(size, 1));
  }

  /** Launches of the current layer, in every step. */
  add(launches: Launch<PlanTensor> | readonly Launch<PlanTensor>[], phase: Phase = "step"): void {
    this.plan.add(
      phase,
      ...(Array.isArray(launches) ? launches : [launches as Launch<PlanTensor>]),
    );
  }

  /** Names the layer that the launches of `run` belong to, forward and backward. */
  inLayer<R>(name: string, run: () => R): R {
    const before = this.plan.layer;
    this.plan.layer = name;
    const result = run();
    this.plan.layer = before;
    return result;
  }

  /** Notes how to go back through what was just computed; called in reverse order by `walkBack`. */
  onBackward(emit: () => void): void {
    const layer = this.plan.layer;
    if (this.training) this.#backward.push(() => this.inLayer(layer, emit));
  }

  /** Emits the backward launches of all layers, last first. */
  walkBack(): void {
    for (const emit of this.#backward.reverse()) emit();
  }

  /** The gradient of an activation, complete once every later use has been walked back. */
  gradientOf(x: Activation): View<PlanTensor> {
    return { ...x.view, tensor: this.#gradientTensor(x) };
  }

  /** Lets the gradient of an activation lie in a tensor that outlives the step. */
  placeGradient({ view }: Activation, gradient: PlanTensor): void {
    this.#activationGradients.set(view.tensor, gradient);
  }

  /**
   * Where the gradient of one use of an activation goes; from now on it holds something, and so do its
   * parts. The uses of a concatenation come before those of its parts on the way back.
   */
  slot(x: Activation): GradientSlot {
    const tensor = this.#gradientTensor(x);
    const written = this.#written.get(tensor) ?? [];
    this.#written.set(tensor, written);
    const start = x.view.offset, end = start + x.C * positions(x);
    const accumulate = written.some((range) => range.start <= start && end <= range.end);
    if (!accumulate) {
      if (written.some((range) => range.start < end && start < range.end)) {
        throw new RangeError(`Expected the gradient of ${tensor.label} to be written whole first`);
      }
      written.push({ start, end });
    }
    return { view: { ...x.view, tensor }, accumulate };
  }

  #gradientTensor({ view: { tensor } }: Activation): PlanTensor {
    const known = this.#activationGradients.get(tensor);
    if (known !== undefined) return known;
    const gradient = this.plan.tensor("arena", `d ${tensor.label}`, tensor.size);
    this.#activationGradients.set(tensor, gradient);
    return gradient;
  }
}

function found(tensors: ReadonlyMap<string, PlanTensor>, name: string): PlanTensor {
  const tensor = tensors.get(name);
  if (tensor === undefined) throw new RangeError(`Expected a parameter ${name} but got none`);
  return tensor;
}
