/**
 * Device memory of a plan next to the least that any plan of the same work needs.
 *
 * @module
 */
import { type BufferName, liveMaximum, type Plan } from "../../src/webgpu/plan.ts";

/** Elements that a plan cannot do without, by what they hold. */
export interface MemoryNeed {
  /** Weights in the form that steps read: as they are, or transformed beforehand. */
  readonly weights: number;
  readonly gradients: number;
  readonly moments: number;
  readonly ema: number;
  /** Activations and scratch that are live at once, at the worst moment. */
  readonly activations: number;
  /** What the host writes and reads. */
  readonly state: number;
}

/** Elements of a buffer that launches outside `prepare` touch. */
function touched({ launches }: Plan, buffer: BufferName): number {
  const ranges = launches.filter(({ phase }) => phase !== "prepare")
    .flatMap(({ operands }) => operands.map(({ tensor }) => tensor))
    .filter((tensor) => tensor.buffer === buffer)
    .map(({ offset, size }) => ({ start: offset, end: offset + size }))
    .sort((a, b) => a.start - b.start);
  let sum = 0, reached = 0;
  for (const { start, end } of ranges) {
    sum += Math.max(0, end - Math.max(start, reached));
    reached = Math.max(reached, end);
  }
  return sum;
}

/** The analytic minimum of a plan, part by part. */
export function memoryNeed(plan: Plan): MemoryNeed {
  return {
    weights: touched(plan, "parameters") + touched(plan, "prepared"),
    gradients: touched(plan, "gradients"),
    moments: touched(plan, "moment1") + touched(plan, "moment2"),
    ema: touched(plan, "ema"),
    activations: liveMaximum(plan),
    state: touched(plan, "state"),
  };
}

/** Elements of all parts. */
export function totalNeed(need: MemoryNeed): number {
  return Object.values(need).reduce((sum, part) => sum + part, 0);
}
