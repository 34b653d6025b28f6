/**
 * Adam and AdamW.
 *
 * @module
 */
import { checkFinite, checkInteger, unexpected } from "../math/errors.ts";
import { checkShape, type Tensor } from "../math/tensor.ts";
import type { Parameters } from "../spec/unet_parameters.ts";
import { zerosLike } from "./nn/zeros_like.ts";

/** What a step of Adam is made with. */
export interface AdamOptions {
  /** Learning rate. */
  readonly lr: number;
  /** Decay of the first moment. Default 0.9. */
  readonly beta1?: number;
  /** Decay of the second moment. Default 0.999. */
  readonly beta2?: number;
  /** ε, added to √v̂. Default 1e−8. */
  readonly eps?: number;
  /** Weight decay λ. Default 0. */
  readonly weightDecay?: number;
  /** Decay the weights themselves (AdamW, the default) or add λ·θ to the gradient. */
  readonly decoupled?: boolean;
}

/** A tensor of parameters and its two moments. */
export interface AdamTensors {
  /** θ, of any shape. */
  readonly params: Tensor;
  /** First moment: the decayed mean of the gradient, of θ's shape. */
  readonly m: Tensor;
  /** Second moment: the decayed mean of the squared gradient, of θ's shape. */
  readonly v: Tensor;
}

/**
 * One step of Adam (Kingma and Ba 2014, algorithm 1) on one tensor:
 * m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², θ ← θ − lr·m̂/(√v̂ + ε) with m̂ = m/(1−β₁^step) and
 * v̂ = v/(1−β₂^step). Weight decay is θ ← θ − lr·λ·θ before it if decoupled (Loshchilov and Hutter
 * 2017, algorithm 2), else g ← g + λ·θ.
 *
 * @param step number of this step; the first is 1.
 * @throws {ArgumentError} if shapes differ or an option is out of range.
 */
export function adamStep(
  { params, m, v }: AdamTensors,
  grad: Tensor,
  step: number,
  options: AdamOptions,
): AdamTensors {
  const { lr, beta1, beta2, eps, weightDecay, decoupled } = checkedOptions(options);
  checkInteger("step", step, 1, Number.MAX_SAFE_INTEGER);
  checkShape("grad", grad, params.shape);
  checkShape("m", m, params.shape);
  checkShape("v", v, params.shape);
  const next = { params: zerosLike(params), m: zerosLike(m), v: zerosLike(v) };
  const correction1 = 1 - beta1 ** step, correction2 = 1 - beta2 ** step;
  for (let i = 0; i < params.data.length; i++) {
    const theta = params.data[i];
    const g = decoupled ? grad.data[i] : grad.data[i] + weightDecay * theta;
    const mi = beta1 * m.data[i] + (1 - beta1) * g;
    const vi = beta2 * v.data[i] + (1 - beta2) * g * g;
    const decayed = decoupled ? theta - lr * weightDecay * theta : theta;
    next.m.data[i] = mi;
    next.v.data[i] = vi;
    next.params.data[i] = decayed -
      lr * (mi / correction1) / (Math.sqrt(vi / correction2) + eps);
  }
  return next;
}

/** A model's parameters and their two moments, by name. */
export interface AdamState {
  /** θ by name. */
  readonly params: Parameters;
  /** First moments by name, of the shapes of θ. */
  readonly m: Parameters;
  /** Second moments by name, of the shapes of θ. */
  readonly v: Parameters;
}

/** The state before the first step: both moments zero. */
export function initialAdamState(params: Parameters): AdamState {
  const zeros = (): Parameters =>
    new Map([...params].map(([name, theta]) => [name, zerosLike(theta)]));
  return { params, m: zeros(), v: zeros() };
}

/**
 * `adamStep` on every parameter of a model.
 *
 * @throws {ArgumentError} if a gradient or moment is missing, or as `adamStep` does.
 */
export function adamStepAll(
  state: AdamState,
  gradients: Parameters,
  step: number,
  options: AdamOptions,
): AdamState {
  const next = {
    params: new Map<string, Tensor>(),
    m: new Map<string, Tensor>(),
    v: new Map<string, Tensor>(),
  };
  for (const [name, params] of state.params) {
    const tensors = { params, m: named(state.m, name, "m"), v: named(state.v, name, "v") };
    const stepped = adamStep(tensors, named(gradients, name, "gradients"), step, options);
    next.params.set(name, stepped.params);
    next.m.set(name, stepped.m);
    next.v.set(name, stepped.v);
  }
  return next;
}

function named(map: Parameters, name: string, what: string): Tensor {
  return map.get(name) ?? unexpected(`${what} of ${name}`, undefined);
}

function checkedOptions(options: AdamOptions): Required<AdamOptions> {
  const {
    lr,
    beta1 = 0.9,
    beta2 = 0.999,
    eps = 1e-8,
    weightDecay = 0,
    decoupled = true,
  } = options;
  checkFinite("lr", lr);
  for (const [name, beta] of [["beta1", beta1], ["beta2", beta2]] as const) {
    if (!(beta >= 0 && beta < 1)) unexpected(`${name} in [0, 1)`, beta);
  }
  if (!(eps >= 0)) unexpected("eps of at least 0", eps);
  checkFinite("weightDecay", weightDecay);
  return { lr, beta1, beta2, eps, weightDecay, decoupled };
}
