/**
 * What samples look like on their way, for an animation.
 *
 * @module
 */
import { type Pictures, picturesOf } from "../data/image_grid.ts";
import type { Tensor } from "../math/tensor.ts";
import type { FrameRequest, SamplingFrame } from "./backend.ts";

/** Frames that an animation has at most, the last one repeated not counted. */
const MAX_FRAMES = 30;

/** Frames of every sample, put together from those of batches. */
export class FrameRecorder {
  /** What to ask a backend for. */
  readonly request: FrameRequest;
  readonly #frames = new Map<number, { x: Pictures; x0: Pictures }>();
  readonly #count: number;

  /** For `count` samples that are drawn in `steps` steps. */
  constructor(steps: number, count: number) {
    this.#count = count;
    this.request = {
      every: Math.ceil(steps / MAX_FRAMES),
      onFrame: (frame) => this.#add(frame),
    };
  }

  /** The samples, or x̂_0, frame by frame. */
  frames(of: "x" | "x0"): readonly Pictures[] {
    const steps = [...this.#frames].sort(([a], [b]) => a - b);
    return steps.map(([, frame]) => frame[of]);
  }

  #add({ step, start, x, x0 }: SamplingFrame): void {
    const frame = this.#frames.get(step) ?? { x: this.#empty(x), x0: this.#empty(x) };
    this.#frames.set(step, frame);
    for (const [to, from] of [[frame.x, x], [frame.x0, x0]] as const) {
      const { shape: [N], data } = picturesOf(from);
      to.data.set(data, start * data.length / N);
    }
  }

  #empty({ shape: [, C, H, W] }: Tensor): Pictures {
    const data = new Uint8Array(this.#count * H * W * C);
    return { shape: [this.#count, H, W, C === 3 ? 3 : 1], data };
  }
}
