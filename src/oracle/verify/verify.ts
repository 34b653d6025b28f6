/**
 * The harness: requests drawn by fast-check, answers judged, failures shrunk over the pipe.
 *
 * @module
 */
import { unexpected } from "../../math/errors.ts";
import { ops as OPS } from "../ops/mod.ts";
import { BrokenError, type Candidate } from "./candidate.ts";
import { DRAWS } from "./draw/mod.ts";
import { type Cell, type Fc, Parts, type Request } from "./draw/parts.ts";
import type { Precision } from "./model.ts";
import { type Failure, type OpReport, overall, type Report } from "./report.ts";
import { brokenFailure, type Evidence, Session } from "./session.ts";

/** How a candidate is verified. */
export interface VerifyOptions {
  /** Operations to check. Default: all of the protocol. */
  readonly ops?: readonly string[];
  /** Requests per operation, spread over its options. Default {@linkcode DEFAULT_RUNS}. */
  readonly runs?: number;
  /** Seed of the draws. Default {@linkcode DEFAULT_SEED}. */
  readonly seed?: number;
  /** Number format whose rounding is allowed. Default `f32`. */
  readonly precision?: Precision;
  /** Called when an operation's turn comes. */
  readonly onOp?: (op: string) => void;
}

/** Requests per operation. */
export const DEFAULT_RUNS = 150;
/** Seed of the draws. */
export const DEFAULT_SEED = 20200619;

/** Fewest requests per combination of options. */
const MIN_RUNS = 5;
/** Most requests that are spent on making a failing one smaller. */
const MAX_SHRINKS = 3000;

/** A candidate, or what starts one: then one that broke is started again for the next operation. */
export type CandidateSource = Candidate | (() => Promise<Candidate>);

async function loadFastCheck(): Promise<Fc> {
  return await import("fast-check");
}

/** What was found of one operation so far. */
interface Findings {
  requests: number;
  worst: number;
  readonly unsupported: Set<string>;
  failure: Failure | null;
  broke: BrokenError | null;
}

/** Draws the requests of one cell; stops at the first failure, which is shrunk. */
async function runCell(
  fc: Fc,
  session: Session,
  cell: Cell,
  runs: number,
  seed: number,
  findings: Findings,
): Promise<void> {
  let first: Evidence | null = null, smallest: Evidence | null = null, shrinks = 0;
  const property = fc.asyncProperty(cell.requests, async (request: Request) => {
    // Once the candidate broke, or shrinking took long enough, every further request passes.
    if (findings.broke !== null) return;
    if (first !== null && ++shrinks > MAX_SHRINKS) return;
    try {
      const outcome = await session.examine(request);
      // Another request is drawn instead.
      if (outcome.kind === "undefined") return fc.pre(false);
      if (outcome.kind === "unsupported") {
        findings.unsupported.add([cell.label, outcome.message].filter((s) => s !== "").join(": "));
        return;
      }
      if (first === null) findings.requests++;
      if (outcome.kind === "within") {
        if (first === null) findings.worst = Math.max(findings.worst, outcome.worst);
      } else {
        first ??= outcome.evidence;
        smallest = outcome.evidence;
        findings.failure = outcome.failure;
        throw new Error(outcome.failure.message);
      }
    } catch (error) {
      if (!(error instanceof BrokenError)) throw error;
      findings.broke = error;
      findings.failure ??= brokenFailure(request, error);
    }
  });
  await fc.check(property, { numRuns: runs, seed });
  if (findings.failure !== null && first !== null && smallest !== null) {
    findings.failure = session.explained(findings.failure, [smallest, first]);
  }
}

async function runOp(
  fc: Fc,
  session: Session,
  op: string,
  runs: number,
  seed: number,
): Promise<Findings> {
  const findings: Findings = {
    requests: 0,
    worst: 0,
    unsupported: new Set(),
    failure: null,
    broke: null,
  };
  const cells = DRAWS[op](new Parts(fc));
  const perCell = Math.max(MIN_RUNS, Math.ceil(runs / cells.length));
  for (const [k, cell] of cells.entries()) {
    await runCell(fc, session, cell, perCell, seed + 7919 * k, findings);
    if (findings.failure !== null || findings.broke !== null) break;
  }
  return findings;
}

/** Most of the options not covered that are listed. */
const MAX_LISTED = 16;

function reportOf(op: string, findings: Findings): OpReport {
  const { requests, worst, failure, broke, unsupported } = findings;
  const listed = [...unsupported].slice(0, MAX_LISTED);
  if (unsupported.size > MAX_LISTED) listed.push(`and ${unsupported.size - MAX_LISTED} more`);
  const verdict = broke !== null
    ? "broke"
    : failure !== null
    ? "deviates"
    : requests > 0
    ? "conforms"
    : "not covered";
  return { op, verdict, requests, worst, notCovered: listed, failure };
}

function notCovered(op: string, why: string): OpReport {
  return { op, verdict: "not covered", requests: 0, worst: 0, notCovered: [why], failure: null };
}

/**
 * Verifies a candidate against the reference.
 *
 * @throws {ArgumentError} for an operation that the protocol does not have.
 * @throws {BrokenError} if the candidate cannot even be started.
 */
export async function verify(
  source: CandidateSource,
  options: VerifyOptions = {},
): Promise<Report> {
  const { runs = DEFAULT_RUNS, seed = DEFAULT_SEED, precision = "f32" } = options;
  const chosen = options.ops ?? Object.keys(OPS);
  for (const op of chosen) if (!Object.hasOwn(OPS, op)) unexpected("an op of the protocol", op);
  const fc = await loadFastCheck();
  const open = typeof source === "function" ? source : () => Promise.resolve(source);
  let candidate = await open(), session = new Session(candidate, precision);
  const reports: OpReport[] = [];
  let ownTables = false, gone: string | null = null;
  for (const [k, op] of Object.keys(OPS).entries()) {
    if (!chosen.includes(op)) continue;
    if (!candidate.ops.includes(op)) reports.push(notCovered(op, "the candidate does not list it"));
    else if (!Object.hasOwn(DRAWS, op)) {
      reports.push(notCovered(op, "no requests are drawn for it"));
    } else if (gone !== null) reports.push(notCovered(op, gone));
    else {
      options.onOp?.(op);
      const findings = await runOp(fc, session, op, runs, seed + 104729 * k);
      reports.push(reportOf(op, findings));
      ownTables ||= session.ownTables;
      if (findings.broke === null) continue;
      if (typeof source !== "function") gone = `the candidate broke on ${op}`;
      else {
        try {
          candidate = await open();
          session = new Session(candidate, precision);
        } catch (error) {
          gone = `the candidate did not start again: ${String(error)}`;
        }
      }
    }
  }
  const notes = ownTables
    ? [
      "its tables are a float32 cumulative product (1 − ᾱ cancels near t = 1): " +
      "steps were judged with its own ᾱ",
    ]
    : [];
  return {
    candidate: candidate.name,
    precision,
    seed,
    runs,
    ops: reports,
    notes,
    verdict: overall(reports),
  };
}

/** Judges one request again. @throws {BrokenError} if the candidate breaks. */
export async function replay(
  candidate: Candidate,
  request: Request,
  precision: Precision = "f32",
): Promise<OpReport> {
  if (!Object.hasOwn(DRAWS, request.op)) {
    unexpected("an op that requests are drawn for", request.op);
  }
  const session = new Session(candidate, precision);
  const outcome = await session.examine(request);
  const judged = outcome.kind === "within" || outcome.kind === "beyond";
  const findings: Findings = {
    requests: judged ? 1 : 0,
    worst: 0,
    unsupported: new Set(),
    failure: null,
    broke: null,
  };
  if (outcome.kind === "unsupported") findings.unsupported.add(outcome.message);
  if (outcome.kind === "within") findings.worst = outcome.worst;
  if (outcome.kind === "beyond") {
    findings.failure = session.explained(outcome.failure, [outcome.evidence]);
  }
  return reportOf(request.op, findings);
}
