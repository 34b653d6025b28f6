/**
 * The harness: requests drawn by fast-check, answers judged, failures shrunk over the pipe.
 *
 * @module
 */
import { unexpected } from "../../math/errors.ts";
import { ops as OPS } from "../ops/mod.ts";
import { BrokenError, type Candidate } from "./candidate.ts";
import type { Evidence } from "./causes/mod.ts";
import { DRAWS } from "./draw/mod.ts";
import { type Cell, type Fc, Parts, type Request } from "./draw/parts.ts";
import type { Precision } from "./model.ts";
import type { Files } from "./networks.ts";
import { reductions } from "./reduce.ts";
import { type Failure, type OpReport, overall, type Report } from "./report.ts";
import { brokenFailure, Session } from "./session.ts";
import { fastCheck } from "./fast_check.ts";
import { type CandidateSource, Harness } from "./harness.ts";

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
  /** Where networks are handed over; without it `unet` is not covered. */
  readonly files?: Files;
  /** Called when an operation's turn comes. */
  readonly onOp?: (op: string) => void;
}

/** Requests per operation, but a third as many of `unet`, each of which is a whole network. */
export const DEFAULT_RUNS = 150;
/** Seed of the draws. */
export const DEFAULT_SEED = 20200619;

/** Fewest requests per combination of options. */
const MIN_RUNS = 5;
/** Requests drawn in place of one that cannot be judged: some candidates have one kind of schedule. */
const MAX_SKIPS = 25;
/** After so many requests of which none could be judged, a combination of options is given up. */
const HOPELESS = 100;
/** The same where every request is a network. */
const HOPELESS_NETWORKS = 8;
/** How many times fewer networks are drawn than other requests. */
const NETWORKS_OF = 3;
/** Most requests that are spent on making a failing one smaller. */
const MAX_SHRINKS = 3000;
/** How often a candidate that breaks on smaller requests is started again. */
const MAX_RESTARTS = 20;

/** What was found of one operation so far. */
interface Findings {
  requests: number;
  worst: number;
  readonly unsupported: Set<string>;
  failure: Failure | null;
  broke: boolean;
}

function nothingFound(): Findings {
  return { requests: 0, worst: 0, unsupported: new Set(), failure: null, broke: false };
}

/** What came of a request. */
type Found = "not judged" | "passed" | "failed";

/** A failing request, made smaller as long as smaller ones fail. */
class Shrinking {
  first: Evidence | null = null;
  smallest: Evidence | null = null;
  /** What came of requests since the first failed: parts that a request does not use shrink as well. */
  readonly seen = new Map<string, Found>();
  count = 0;
  #restarts = 0;

  /** Notes a failing request. */
  note(evidence: Evidence): void {
    this.first ??= evidence;
    this.smallest = evidence;
  }

  /** Whether enough was tried. */
  get over(): boolean {
    return this.first !== null && ++this.count > MAX_SHRINKS;
  }

  /** Whether the candidate may be started again, having broken on a smaller request. */
  get mayRestart(): boolean {
    return this.first !== null && ++this.#restarts <= MAX_RESTARTS;
  }
}

/** Asks one request and notes what came of it. */
async function examine(
  harness: Harness,
  label: string,
  request: Request,
  shrinking: Shrinking,
  findings: Findings,
): Promise<Found> {
  if (findings.broke || harness.gone !== null || shrinking.over) return "passed";
  try {
    const outcome = await harness.session.examine(request);
    const counts = shrinking.first === null;
    switch (outcome.kind) {
      case "undefined":
        return "not judged";
      case "unsupported":
        findings.unsupported.add([label, outcome.message].filter((s) => s !== "").join(": "));
        return "not judged";
      case "within":
        if (counts) findings.requests++;
        if (counts) findings.worst = Math.max(findings.worst, outcome.worst);
        return "passed";
      case "beyond":
        if (counts) findings.requests++;
        shrinking.note(outcome.evidence);
        findings.failure = outcome.failure;
        return "failed";
    }
  } catch (error) {
    if (!(error instanceof BrokenError)) throw error;
    if (shrinking.mayRestart) await harness.restart();
    else if (shrinking.first === null) {
      findings.broke = true;
      findings.failure = brokenFailure(request, error);
    }
    return "passed";
  }
}

/** Draws the requests of one cell; stops at the first failure, which is shrunk. */
async function runCell(
  fc: Fc,
  harness: Harness,
  op: string,
  cell: Cell,
  runs: number,
  seed: number,
  findings: Findings,
): Promise<void> {
  const shrinking = new Shrinking();
  const ask = async (request: Request): Promise<Found> => {
    const key = shrinking.first === null ? "" : JSON.stringify(request);
    const known = shrinking.seen.get(key);
    if (known !== undefined) return known;
    const found = await examine(harness, cell.label, request, shrinking, findings);
    if (shrinking.first !== null) shrinking.seen.set(key || JSON.stringify(request), found);
    return found;
  };
  let judged = 0, skipped = 0;
  const hopeless = op === "unet" ? HOPELESS_NETWORKS : HOPELESS;
  const property = fc.asyncProperty(cell.requests, async (request: Request) => {
    if (judged === 0 && skipped >= hopeless) return;
    const found = await ask(request);
    if (found === "failed") throw new Error("beyond its bound");
    if (found === "passed") judged++;
    else {
      skipped++;
      // Another request is drawn instead.
      fc.pre(false);
    }
  });
  await fc.check(property, { numRuns: runs, seed, maxSkipsPerRun: MAX_SKIPS });
  if (shrinking.smallest === null || shrinking.first === null || findings.failure === null) return;
  for (const smaller of reductions(shrinking.smallest.request)) {
    if (await ask(smaller) === "failed") break;
  }
  findings.failure = harness.session.explained(findings.failure, [
    shrinking.smallest,
    shrinking.first,
  ]);
}

async function runOp(
  fc: Fc,
  harness: Harness,
  op: string,
  runs: number,
  seed: number,
): Promise<OpReport> {
  const findings = nothingFound();
  const cells = DRAWS[op](new Parts(fc));
  const wanted = op === "unet" ? runs / NETWORKS_OF : runs;
  const perCell = Math.max(MIN_RUNS, Math.ceil(wanted / cells.length));
  for (const [k, cell] of cells.entries()) {
    await runCell(fc, harness, op, cell, perCell, seed + 7919 * k, findings);
    if (findings.failure !== null) break;
  }
  if (findings.broke) await harness.broke();
  return reportOf(op, findings);
}

/** Most of the options not covered that are listed. */
const MAX_LISTED = 16;

function reportOf(op: string, findings: Findings): OpReport {
  const { requests, worst, failure, broke, unsupported } = findings;
  const listed = [...unsupported].slice(0, MAX_LISTED);
  if (unsupported.size > MAX_LISTED) listed.push(`and ${unsupported.size - MAX_LISTED} more`);
  const verdict = broke
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

const FLOAT32_TABLES =
  "its tables are a float32 cumulative product (1 − ᾱ cancels near t = 1): steps were judged with " +
  "its own ᾱ";

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
  const all = Object.keys(OPS), chosen = options.ops ?? all;
  for (const op of chosen) if (!all.includes(op)) unexpected(`one of ${all.join(", ")}`, op);
  const fc = await fastCheck();
  const { files = null } = options;
  const harness = await Harness.open(source, precision, files);
  const { candidate } = harness.session;
  const reports: OpReport[] = [];
  for (const [k, op] of all.entries()) {
    if (!chosen.includes(op)) continue;
    if (!candidate.ops.includes(op)) reports.push(notCovered(op, "the candidate does not list it"));
    else if (op === "unet" && files === null) {
      reports.push(notCovered(op, "there is no folder for its weights"));
    } else if (harness.gone !== null) reports.push(notCovered(op, harness.gone));
    else {
      options.onOp?.(op);
      reports.push(await runOp(fc, harness, op, runs, seed + 104729 * k));
    }
  }
  return {
    candidate: candidate.name,
    precision,
    seed,
    runs,
    ops: reports,
    notes: harness.ownTables ? [FLOAT32_TABLES] : [],
    verdict: overall(reports),
  };
}

/**
 * Judges one request again.
 *
 * @param files where networks are handed over; without it weights have to be where the request says.
 * @throws {ArgumentError} for an operation that no requests are drawn for.
 * @throws {BrokenError} if the candidate breaks.
 */
export async function replay(
  candidate: Candidate,
  request: Readonly<Record<string, unknown>> & { readonly op: string },
  precision: Precision = "f32",
  files: Files | null = null,
): Promise<OpReport> {
  const { op } = request;
  if (!Object.hasOwn(DRAWS, op)) unexpected(`one of ${Object.keys(DRAWS).join(", ")}`, op);
  const session = new Session(candidate, precision, files), findings = nothingFound();
  const outcome = await session.examine(request);
  if (outcome.kind === "unsupported") findings.unsupported.add(outcome.message);
  if (outcome.kind === "within") {
    findings.requests++;
    findings.worst = outcome.worst;
  }
  if (outcome.kind === "beyond") {
    findings.requests++;
    findings.failure = session.explained(outcome.failure, [outcome.evidence]);
  }
  return reportOf(op, findings);
}
