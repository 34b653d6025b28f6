/**
 * One typed error per way in which a device can fail a run.
 *
 * @module
 */

/** Base of the errors below, to catch them all. */
export class WebGpuError extends Error {
  /** Name of the class, for messages and serialisation. */
  override readonly name: string = "WebGpuError";
}

/** There is no WebGPU, or no adapter fits what was asked for. */
export class NoAdapterError extends WebGpuError {
  /** Name of the class. */
  override readonly name: string = "NoAdapterError";
}

/** A model needs more of something than the adapter has; the message holds both figures. */
export class LimitError extends WebGpuError {
  /** Name of the class. */
  override readonly name: string = "LimitError";
  /** The WebGPU limit. */
  readonly limit: string;
  /** What the model needs. */
  readonly needed: number;
  /** What the adapter has. */
  readonly available: number;

  /** Builds the sentence from the figures; `what` names the thing that is too large. */
  constructor(limit: string, needed: number, available: number, what: string) {
    super(
      `Expected ${what} within the adapter's ${limit} = ${available} but it needs ${needed}; ` +
        "use a smaller batch or model",
    );
    this.limit = limit;
    this.needed = needed;
    this.available = available;
  }
}

/** A plan uses an optional feature that the adapter lacks. */
export class FeatureError extends WebGpuError {
  /** Name of the class. */
  override readonly name: string = "FeatureError";
}

/** The device had no memory left for a buffer. */
export class OutOfMemoryError extends WebGpuError {
  /** Name of the class. */
  override readonly name: string = "OutOfMemoryError";
}

/** The device was lost, or destroyed, while it was in use. */
export class DeviceLostError extends WebGpuError {
  /** Name of the class. */
  override readonly name: string = "DeviceLostError";
}

/** A shader did not compile; the message holds the kernel's name and the compiler's first error. */
export class ShaderError extends WebGpuError {
  /** Name of the class. */
  override readonly name: string = "ShaderError";
}

/** A training step gave a loss or a gradient that is NaN or infinite: the weights are worth nothing. */
export class NonFiniteLossError extends WebGpuError {
  /** Name of the class. */
  override readonly name: string = "NonFiniteLossError";
  /** Number of the step, as the optimiser counts. */
  readonly step: number;
  /** Loss of the batch. */
  readonly loss: number;
  /** Global norm of the gradients. */
  readonly gradientNorm: number;

  /** Builds the sentence from the figures. */
  constructor(step: number, loss: number, gradientNorm: number) {
    const [what, value] = Number.isFinite(loss)
      ? ["gradient norm", gradientNorm] as const
      : ["loss", loss] as const;
    super(
      `Expected a finite ${what} at step ${step} but got ${value}: try a lower learning rate, from a ` +
        "state before that step",
    );
    this.step = step;
    this.loss = loss;
    this.gradientNorm = gradientNorm;
  }
}
