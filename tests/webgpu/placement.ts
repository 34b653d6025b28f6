/**
 * Arrays at drawn places inside larger tensors, with NaN around them: what a kernel reads or writes
 * outside its view shows.
 */
import { assert } from "@std/assert";
import fc from "fast-check";
import type { View } from "../../src/webgpu/kernel.ts";

/** Elements before an array and after each of its samples. */
export interface Placement {
  readonly offset: number;
  readonly gap: number;
}

/** A tensor of its own; a part whose edges fit vec4 loads; a part anywhere. */
export const placements: fc.Arbitrary<Placement> = fc.oneof(
  fc.constant({ offset: 0, gap: 0 }),
  fc.record({ offset: fc.constantFrom(0, 4, 12), gap: fc.constantFrom(4, 8) }),
  fc.record({ offset: fc.integer({ min: 0, max: 7 }), gap: fc.integer({ min: 0, max: 7 }) }),
);

/** An array `[N, D]` at a place. */
export class Placed {
  /** Elements of the tensor that holds it. */
  readonly size: number;

  constructor(
    readonly name: string,
    readonly N: number,
    readonly D: number,
    readonly placement: Placement = { offset: 0, gap: 0 },
  ) {
    this.size = placement.offset + N * (D + placement.gap);
  }

  /** The array as kernels see it. */
  get view(): View<string> {
    const { offset, gap } = this.placement;
    return { tensor: this.name, offset, sampleStride: this.D + gap };
  }

  /** The tensor that holds `values` at the place and NaN elsewhere. */
  holding(values: ArrayLike<number>): Float32Array {
    const all = new Float32Array(this.size).fill(NaN);
    this.#each((at, i) => all[at] = values[i]);
    return all;
  }

  /** The array out of the tensor's contents; everything around it must still be NaN. */
  taken(all: Float32Array): Float32Array {
    const rest = all.slice(), values = new Float32Array(this.N * this.D);
    this.#each((at, i) => {
      values[i] = all[at];
      rest[at] = NaN;
    });
    assert(rest.every(Number.isNaN), `${this.name}: written outside its view`);
    return values;
  }

  #each(visit: (at: number, i: number) => void): void {
    const { offset, sampleStride } = this.view;
    for (let n = 0; n < this.N; n++) {
      for (let d = 0; d < this.D; d++) visit(offset + n * sampleStride + d, n * this.D + d);
    }
  }
}
