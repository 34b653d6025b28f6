/**
 * Mutants that are the same function as the original for every argument that the function accepts, so
 * that nothing could catch them: by name, each with the proof. They are not run and not counted.
 *
 * @module
 */

/** Proofs by the mutant's id. */
export const EQUIVALENT: Readonly<Record<string, string>> = {
  // cosineBetas: 2·cos² for cos². β is 1 less a ratio of two of these, and doubling is exact.
  "45bcd1eb": "a factor of 2 cancels in the ratio",
  // sectionTimesteps: another stride for a section with one time, which no stride follows.
  "5aab5106": "the stride is not used",
  // unetBackward: x for zeros where x has no gradient. x is the first convolution's input, always.
  "018332eb": "the fallback is never reached",
};
