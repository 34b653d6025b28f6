/**
 * Golden vectors: requests of every operation with the reference's answers as files, and the judgement
 * of answers that somebody else put beside them (`docs/vectors.md`).
 *
 * @module
 */
export { type Checked, type CheckOptions, checkVectors, type ReadFile } from "./check.ts";
export { makeVectors, type Provenance, type VectorOptions } from "./make.ts";
export { FORMAT as VECTORS_FORMAT, type Manifest, type ManifestFile } from "./manifest.ts";
