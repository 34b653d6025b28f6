/**
 * Mutants of kernels that compute the same as the original, or the same on any device that the tests
 * could run on: by name, each with the proof. They are not run and not counted.
 *
 * @module
 */

/** Proofs by the mutant's id. */
export const EQUIVALENT_KERNELS: Readonly<Record<string, string>> = {};
