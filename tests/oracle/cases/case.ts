/** A request that must be answered, and with what. Expected values are doubles. */
export interface Case {
  readonly name: string;
  readonly request: { readonly op: string; readonly [field: string]: unknown };
  readonly expected: Record<string, unknown>;
}

/** A batch of samples of one element each. */
export function rows(...data: number[]): { shape: number[]; data: number[] } {
  return { shape: [data.length, 1], data };
}

/** A tensor as JSON. */
export function tensor(shape: number[], data: number[]): { shape: number[]; data: number[] } {
  return { shape, data };
}

/** β = 3/4 twice: ᾱ = 1/4, 1/16; β̃ = 0, 3/5; both posterior coefficients of step 2 are 2/5. */
export const TWO = { kind: "constant", T: 2, beta: 0.75 };
/** β = 1/2 four times, of which every second time is kept: the steps of TWO, at times 2 and 4. */
export const KEPT = { kind: "constant", T: 4, beta: 0.5, keep: [2, 4] };
/** β = 1/4, 1/3, 1/2, 1; ᾱ = 3/4, 1/2, 1/4, 0. */
export const INVERSE = { kind: "inverse", T: 4 };
/** One step. */
export const ONE = { kind: "constant", T: 1, beta: 0.75 };
