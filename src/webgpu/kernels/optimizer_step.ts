/**
 * The numbers of one optimiser step, which the host computes in double and writes before the step.
 *
 * @module
 */

/** What a step of Adam with clipping and averaging is made with. */
export interface OptimizerStep {
  /** Number of this step; the first is 1. */
  readonly step: number;
  /** Learning rate of this step. */
  readonly lr: number;
  /** Decay of the first moment. */
  readonly beta1: number;
  /** Decay of the second moment. */
  readonly beta2: number;
  /** ε, added to √v̂. */
  readonly eps: number;
  /** Weight decay λ. */
  readonly weightDecay: number;
  /** Decay the weights themselves (AdamW) or add λ·θ to the gradient. */
  readonly decoupled: boolean;
  /** Largest global norm of the gradients, or null for no clipping. */
  readonly maxNorm: number | null;
  /** Decay of the average of the weights in this step. */
  readonly emaDecay: number;
}

/** Places of the numbers in the step's tensor. */
export const STEP = {
  /** lr/(1 − β₁^step). */
  stepSize: 0,
  /** 1/√(1 − β₂^step). */
  rootCorrection: 1,
  /** ε. */
  eps: 2,
  /** 1 − β₁. */
  share1: 3,
  /** 1 − β₂. */
  share2: 4,
  /** λ, added to the gradient as λ·θ; 0 if decoupled. */
  coupledDecay: 5,
  /** lr·λ, taken from θ as lr·λ·θ; 0 if coupled. */
  decoupledDecay: 6,
  /** 1 − decay of the average. */
  emaShare: 7,
  /** Largest norm. */
  maxNorm: 8,
} as const;

/** Elements of the step's tensor. */
export const STEP_SIZE = 12;

/** A norm that no finite gradient of float32 exceeds, and whose quotient by 10⁻⁶ is still finite. */
const NO_CLIPPING = 1e30;

/** The step's tensor. */
export function optimizerStepNumbers(options: OptimizerStep): Float32Array<ArrayBuffer> {
  const { step, lr, beta1, beta2, eps, weightDecay, decoupled, maxNorm, emaDecay } = options;
  const numbers = new Array<number>(STEP_SIZE).fill(0);
  numbers[STEP.stepSize] = lr / (1 - beta1 ** step);
  numbers[STEP.rootCorrection] = 1 / Math.sqrt(1 - beta2 ** step);
  numbers[STEP.eps] = eps;
  numbers[STEP.share1] = 1 - beta1;
  numbers[STEP.share2] = 1 - beta2;
  numbers[STEP.coupledDecay] = decoupled ? 0 : weightDecay;
  numbers[STEP.decoupledDecay] = decoupled ? lr * weightDecay : 0;
  numbers[STEP.emaShare] = 1 - emaDecay;
  numbers[STEP.maxNorm] = maxNorm ?? NO_CLIPPING;
  // The one rounding of the step's numbers to float32.
  return Float32Array.from(numbers);
}
