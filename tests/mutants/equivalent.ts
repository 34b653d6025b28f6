/**
 * Mutants that are the same function as the original for every argument that the function accepts, so
 * that nothing could catch them: by name, each with the proof. They are not run and not counted.
 *
 * @module
 */

/** Proofs by the mutant's id. */
export const EQUIVALENT: Readonly<Record<string, string>> = {};
