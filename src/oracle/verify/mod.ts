/**
 * Verifying an implementation against the reference: requests are drawn, answers judged under bounds
 * that are derived for its number format, failures shrunk and explained (`docs/verify.md`).
 *
 * @module
 */
export {
  BrokenError,
  type Candidate,
  type CandidateAnswer,
  candidateOf,
  type CandidateOp,
  UnsupportedError,
} from "./candidate.ts";
export type { CandidateSource } from "./harness.ts";
export { openCandidate, type Pipe } from "./line_candidate.ts";
export type { Precision } from "./model.ts";
export type { Files } from "./networks.ts";
export {
  type Failure,
  failureText,
  type FormDifference,
  junitOf,
  type OpReport,
  type Report,
  tableOf,
  type Verdict,
} from "./report.ts";
export { DEFAULT_RUNS, DEFAULT_SEED, replay, verify, type VerifyOptions } from "./verify.ts";
