/**
 * Asking a candidate and judging what it says: with tables in double, or, where those do not fit,
 * with the candidate's own tables if they are what float32 makes of the schedule.
 *
 * @module
 */
import { BrokenError, type Candidate, type CandidateAnswer } from "./candidate.ts";
import { causeOf, type Evidence } from "./causes/mod.ts";
import type { Request } from "./draw/parts.ts";
import { BOUNDS } from "./bounds/mod.ts";
import { compare, type Comparison, hasSchedule, Judge, type JudgedSchedule } from "./judge.ts";
import type { Precision } from "./model.ts";
import { type Files, placed, withWritten } from "./networks.ts";
import type { Failure } from "./report.ts";

/** What one answer was worth. */
export type Outcome =
  /** The reference has no answer itself, so the candidate was not asked. */
  | { readonly kind: "undefined" }
  | { readonly kind: "unsupported"; readonly message: string }
  | { readonly kind: "within"; readonly worst: number }
  | { readonly kind: "beyond"; readonly failure: Failure; readonly evidence: Evidence };

/** The tables that have to be float32's for a candidate to be judged with its own. */
const OWN_TABLES: readonly string[] = ["beta", "alphaBar", "sqrtAlphaBar", "sqrtOneMinusAlphaBar"];
/** How many of the candidate's own tables are remembered. */
const MAX_TABLES = 64;

/** A candidate and what is known of it. */
export class Session {
  /** The candidate. */
  readonly candidate: Candidate;
  readonly judge: Judge;
  readonly #precision: Precision;
  readonly #files: Files | null;
  readonly #tables = new Map<string, JudgedSchedule | undefined>();
  #ownTables = false;

  /** @param files what networks are handed over with; without it requests are sent as they are. */
  constructor(candidate: Candidate, precision: Precision, files: Files | null = null) {
    this.candidate = candidate;
    this.#precision = precision;
    this.#files = files;
    this.judge = new Judge(precision, files?.readFile);
  }

  /** Whether its tables are a float32 cumulative product. */
  get ownTables(): boolean {
    return this.#ownTables;
  }

  /** Asks one request and judges the answer. @throws {BrokenError} if there is none to judge. */
  async examine(request: Request): Promise<Outcome> {
    try {
      this.judge.reference(request);
    } catch {
      return { kind: "undefined" };
    }
    const files = request.op === "unet" ? this.#files : null;
    const sent = files === null ? request : placed(request, files);
    const answer = await this.candidate.ask(sent);
    if (!answer.ok) {
      return this.#mayRefuse(request, answer.code)
        ? { kind: "undefined" }
        : refusal(request, answer);
    }
    const result = files === null ? answer.result : withWritten(answer.result, sent, files);
    return await this.#judged(request, result);
  }

  /** At ᾱ = 0 ε and score are convertible into each other, but not on the way through x_0. */
  #mayRefuse(request: Request, code: string): boolean {
    return code === "invalid_argument" && request.op === "convert" &&
      (request.from === "epsilon" || request.from === "score") &&
      this.judge.scheduleOf(request).alphaBar.at(-1) === 0;
  }

  async #judged(request: Request, result: unknown): Promise<Outcome> {
    const strict = compare(result, this.judge.expectation(request, "double"));
    if (strict.difference === null) return { kind: "within", worst: strict.worst };
    const own = await this.#tablesOf(request);
    const loose = this.#precision === "f64"
      ? strict
      : compare(result, this.judge.expectation(request, "own", own));
    if (loose.difference === null) {
      if (request.op === "schedule") this.#ownTables = true;
      return { kind: "within", worst: loose.worst };
    }
    const evidence = { request, result };
    const shown = this.#ownTables ? loose : strict;
    return { kind: "beyond", failure: failureOf(request, shown), evidence };
  }

  /** The candidate's own tables for the schedule of a request, if float32 explains them. */
  async #tablesOf(request: Request): Promise<JudgedSchedule | undefined> {
    if (!hasSchedule(request) || request.op === "schedule") return undefined;
    if (!this.candidate.ops.includes("schedule") || this.#precision === "f64") return undefined;
    const key = JSON.stringify(request.schedule);
    if (this.#tables.has(key)) return this.#tables.get(key);
    if (this.#tables.size >= MAX_TABLES) this.#tables.clear();
    const tables = await this.#askTables(request);
    this.#tables.set(key, tables);
    return tables;
  }

  async #askTables(request: Request): Promise<JudgedSchedule | undefined> {
    const ask: Request = { op: "schedule", schedule: request.schedule };
    const answer = await this.candidate.ask(ask);
    if (!answer.ok) return undefined;
    const { leaves, boundOf } = this.judge.expectation(ask, "own");
    const relevant = leaves.filter(({ path }) => OWN_TABLES.includes(path));
    if (compare(answer.result, { leaves: relevant, boundOf }).difference !== null) return undefined;
    const { alphaBar } = answer.result as { readonly alphaBar: readonly number[] };
    const strict = { ...this.judge.expectation(ask, "double"), leaves: relevant };
    if (compare(answer.result, strict).difference !== null) this.#ownTables = true;
    return this.judge.ownSchedule(request, alphaBar);
  }

  /** A failure with its likely cause, given a wrong answer or several. */
  explained(failure: Failure, evidence: readonly Evidence[]): Failure {
    return { ...failure, cause: causeOf(this.judge, this.#precision, evidence) };
  }
}

function refusal(request: Request, answer: CandidateAnswer & { readonly ok: false }): Outcome {
  const { code, message } = answer;
  if (code === "unsupported") return { kind: "unsupported", message };
  const failure = {
    ...noDifference(request),
    message: `refuses a request that it should answer: ${code}: ${message}`,
  };
  return { kind: "beyond", failure, evidence: { request, result: undefined } };
}

function noDifference(request: Request): Failure {
  return {
    request,
    field: null,
    index: null,
    expected: null,
    got: null,
    bound: null,
    form: null,
    formula: BOUNDS[request.op].formula,
    message: "",
    cause: null,
  };
}

function failureOf(request: Request, { worst, difference }: Comparison): Failure {
  const base = noDifference(request);
  if (difference === null) return base;
  if (!("index" in difference)) {
    const { field, expected, got } = difference;
    const message = `${field}: expected ${expected} but got ${got}`;
    return { ...base, form: difference, message };
  }
  const { field, got, bound } = difference;
  const message = !Number.isFinite(got)
    ? `${field} is ${got}`
    : bound === 0 || !Number.isFinite(worst)
    ? `${field} is not exact`
    : `${field} is off by ${worst.toPrecision(3)} times its bound`;
  return { ...base, ...difference, message };
}

/** The failure of a candidate that broke on a request. */
export function brokenFailure(request: Request, error: BrokenError): Failure {
  return { ...noDifference(request), message: error.message };
}
