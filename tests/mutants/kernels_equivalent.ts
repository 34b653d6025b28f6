/**
 * Mutants of kernels that compute the same as the original: by name, each with the proof. They are not
 * run and not counted.
 *
 * @module
 */

/** Proofs by the mutant's id. */
export const EQUIVALENT_KERNELS: Readonly<Record<string, string>> = {
  // storeAccess: another order in a list all of whose members must fit.
  "49b1fa1e": "every() does not depend on the order",
  "6df6ff49": "every() does not depend on the order",
  // accessOf: scalar loads where vec4 loads fit.
  "02e089f7": "the same elements are read, one at a time: slower only",
  // vectorWidth: never vec4.
  "69362e66": "the same elements are read, one at a time: slower only",
  // keptTiles: runs longer than all tiles.
  "e109d4d5": "the first workgroup then goes through every tile, the others through none",
  // pixels: the column just inside of the border.
  "7e6da541": "single columns are those left of the border or right of the vec4: none is at it",
  // im2col: a row's clamp that does nothing.
  "024a15e5": "what is read outside of the image is discarded by the select",
  // ROW_SIZE: 9 for 8.
  "35fa5842": "host and shader take the stride from the one constant",
  // partLength: not at least 1.
  "201329e8": "a tensor has at least one element, so the quotient rounded up is at least 1",
  // lossParts: parts of another length.
  "354301b0": "parts beyond a sample's end are empty, and a single part is as long as the sample",
  // assignOffsets: a comparison doubled.
  "021faac9": "sort looks at the sign alone",
};
