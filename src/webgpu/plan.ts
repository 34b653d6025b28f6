/**
 * The plan of a model for one (config, batch size): tensors, launches in order, and where each tensor
 * lives. It knows nothing of WebGPU: it can be listed, counted and checked without a device, and
 * another executor could run it.
 *
 * @module
 */
import { assignOffsets, type Lifetime } from "./arena.ts";
import type { Launch } from "./kernel.ts";

/**
 * Buffers that tensors live in. `arena` is reused by liveness; the others keep their contents between
 * submissions: `parameters`, `gradients`, `moments` and `ema` of training, `prepared` weights in the
 * form that kernels read, `staging` for one weight at a time on its way there, `state` for what the
 * host writes and reads.
 */
export type BufferName =
  | "parameters"
  | "gradients"
  | "moment1"
  | "moment2"
  | "ema"
  | "prepared"
  | "staging"
  | "state"
  | "arena";

/** A range of one buffer. */
export interface PlanTensor {
  /** What it holds, for tables. */
  readonly label: string;
  /** The buffer. */
  readonly buffer: BufferName;
  /** First element, a multiple of {@linkcode ALIGNMENT}; in the arena it is set by `finish`. */
  readonly offset: number;
  /** Elements of 4 bytes. */
  readonly size: number;
}

/** Tensors start at multiples of this many elements: WebGPU's 256-byte storage-offset alignment. */
export const ALIGNMENT = 64;

/** Rounds a number of elements up to the alignment. */
export function aligned(elements: number): number {
  return Math.ceil(elements / ALIGNMENT) * ALIGNMENT;
}

/**
 * When a launch runs: `prepare` after the weights changed from outside; `clear` before the first part
 * of a batch; `step` for every batch, or part of one; `update` after the last part.
 */
export type Phase = "prepare" | "clear" | "step" | "update";

/** A launch with its place in the network. */
export interface PlannedLaunch extends Launch<PlanTensor> {
  /** The layer it belongs to: `down_blocks.0.resnets.0.conv1`. */
  readonly layer: string;
  /** When it runs. */
  readonly phase: Phase;
}

/** A finished plan. */
export interface Plan {
  /** Launches in order. */
  readonly launches: readonly PlannedLaunch[];
  /** Elements of each buffer. */
  readonly sizes: Readonly<Record<BufferName, number>>;
  /** All tensors, arena offsets assigned. */
  readonly tensors: readonly PlanTensor[];
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Collects tensors and launches; {@linkcode finish} assigns the arena. */
export class PlanBuilder {
  readonly #tensors: Mutable<PlanTensor>[] = [];
  readonly #launches: PlannedLaunch[] = [];
  readonly #sizes: Record<BufferName, number> = {
    parameters: 0,
    gradients: 0,
    moment1: 0,
    moment2: 0,
    ema: 0,
    prepared: 0,
    staging: 0,
    state: 0,
    arena: 0,
  };
  /** The layer that launches are being added for. */
  layer = "";

  /** A new tensor behind the others in its buffer; in the arena, wherever it fits while it is live. */
  tensor(buffer: BufferName, label: string, size: number): PlanTensor {
    const tensor = { label, buffer, offset: this.#sizes[buffer], size };
    if (buffer !== "arena") this.#sizes[buffer] += aligned(size);
    this.#tensors.push(tensor);
    return tensor;
  }

  /** A tensor at the beginning of `staging`: it is there only until the next one is written. */
  staged(label: string, size: number): PlanTensor {
    this.#sizes.staging = Math.max(this.#sizes.staging, aligned(size));
    const tensor: PlanTensor = { label, buffer: "staging", offset: 0, size };
    this.#tensors.push(tensor);
    return tensor;
  }

  /** Elements of a persistent buffer so far. */
  sizeOf(buffer: Exclude<BufferName, "arena">): number {
    return this.#sizes[buffer];
  }

  /** Appends launches to a phase. */
  add(phase: Phase, ...launches: readonly Launch<PlanTensor>[]): void {
    for (const launch of launches) this.#launches.push({ ...launch, layer: this.layer, phase });
  }

  /** Assigns arena offsets from the first and last use of each tensor. */
  finish(): Plan {
    const arena = this.#tensors.filter((t) => t.buffer === "arena");
    const lifetimes = new Map<PlanTensor, Mutable<Lifetime>>();
    this.#launches.forEach(({ operands }, at) => {
      for (const { tensor } of operands) {
        if (tensor.buffer !== "arena") continue;
        const known = lifetimes.get(tensor);
        if (known === undefined) {
          lifetimes.set(tensor, { size: aligned(tensor.size), first: at, last: at });
        } else known.last = at;
      }
    });
    const used = arena.filter((t) => lifetimes.has(t));
    const { offsets, total } = assignOffsets(used.map((t) => lifetimes.get(t) as Lifetime));
    used.forEach((t, i) => t.offset = offsets[i]);
    return {
      launches: this.#launches,
      sizes: { ...this.#sizes, arena: total },
      tensors: this.#tensors.filter((t) => t.buffer !== "arena" || lifetimes.has(t)),
    };
  }
}

/** Largest sum of sizes that are live at one launch: no assignment of the arena can be smaller. */
export function liveMaximum(plan: Plan): number {
  const change = new Float64Array(plan.launches.length + 1);
  const spans = new Map<PlanTensor, [number, number]>();
  plan.launches.forEach(({ operands }, at) => {
    for (const { tensor } of operands) {
      if (tensor.buffer !== "arena") continue;
      const span = spans.get(tensor);
      if (span === undefined) spans.set(tensor, [at, at]);
      else span[1] = at;
    }
  });
  for (const [tensor, [first, last]] of spans) {
    change[first] += aligned(tensor.size);
    change[last + 1] -= aligned(tensor.size);
  }
  let live = 0, most = 0;
  for (const d of change) most = Math.max(most, live += d);
  return most;
}
