/**
 * All the ways in which an implementation deviates, not only the first of each operation: options with
 * which a deviation was found are left out and the rest is verified again, until nothing is found.
 *
 * @module
 */
import { createOracle } from "../oracle/mod.ts";
import {
  type Candidate,
  type Failure,
  type OpReport,
  verify,
  type VerifyOptions,
} from "../oracle/verify/mod.ts";
import type { CandidateProcess } from "./candidate_process.ts";

type Request = Readonly<Record<string, unknown>>;

/** Options of requests by which deviations are told apart; other fields are numbers and tensors. */
const OPTIONS = [
  "spacing",
  "from",
  "to",
  "prediction",
  "variance",
  "rederiveEpsilon",
  "order",
  "shift",
  "cdf",
  "weighting",
  "layer",
] as const;

/** The options of a request. */
export function optionsOf(request: Request): Readonly<Record<string, string>> {
  const options: Record<string, string> = {};
  for (const name of OPTIONS) {
    if (request[name] !== undefined) options[name] = String(request[name]);
  }
  const schedule = request.schedule as Request | undefined;
  if (schedule === undefined) return options;
  if (request.op === "schedule") options["schedule.kind"] = String(schedule.kind);
  options.process = Array.isArray(schedule.keep) ? "respaced" : "whole";
  const betas = schedule.betas;
  const ends = schedule.zeroTerminalSnr === true || schedule.kind === "inverse" ||
    (Array.isArray(betas) && betas[betas.length - 1] === 1);
  if (ends) options["ᾱ_T"] = "0";
  return options;
}

/** One way in which an operation deviates. */
export interface Deviation {
  /** The smallest failing request and what is wrong with its answer. */
  readonly failure: Failure;
  /** The options that it was found with. */
  readonly options: readonly Readonly<Record<string, string>>[];
}

/** What was found of one operation. */
export interface OpFindings {
  /** The report of the last round, in which nothing was found any more. */
  readonly rest: OpReport;
  /** The deviations, in the order in which they were found. */
  readonly deviations: readonly Deviation[];
}

/** Most rounds of one operation. */
const MAX_ROUNDS = 40;

/** An answer is masked where a table is known to deviate, so that other entries are judged. */
interface Mask {
  readonly field: string;
  readonly index: number;
}

function matches(request: Request, options: Readonly<Record<string, string>>): boolean {
  const own = optionsOf(request);
  return JSON.stringify(own) === JSON.stringify(options);
}

/** Ways of deviating that are one: the same known cause, or the same kind of fault in one field. */
function kindOf({ cause, field, got, message }: Failure): string {
  if (cause !== null) return cause;
  if (field === null) return message.replaceAll(/\d+/g, "N");
  return `${field} ${got !== null && Number.isFinite(got) ? "is off" : "is not finite"}`;
}

function noFile(): never {
  throw new Error("drawn requests have no files");
}

/** A candidate that leaves out what is known already. */
class Remaining {
  readonly excluded: Readonly<Record<string, string>>[] = [];
  readonly masks: Mask[] = [];
  readonly #op: string;
  readonly #oracle = createOracle({ version: "0", readFile: noFile, writeFile: noFile });

  constructor(op: string) {
    this.#op = op;
  }

  of(candidate: Candidate): Candidate {
    return {
      ...candidate,
      ask: async (request) => {
        if (request.op === this.#op && this.excluded.some((known) => matches(request, known))) {
          return { ok: false, code: "unsupported", message: "deviates" };
        }
        const answer = await candidate.ask(request);
        if (!answer.ok || request.op !== this.#op || this.masks.length === 0) return answer;
        const { result } = JSON.parse(this.#oracle.answer(JSON.stringify(request)));
        const masked = { ...(answer.result as Record<string, unknown>) };
        for (const { field, index } of this.masks) {
          const values = masked[field];
          if (!Array.isArray(values)) continue;
          masked[field] = values.map((value, i) => i === index ? result[field][i] : value);
        }
        return { ok: true, result: masked };
      },
    };
  }
}

/**
 * Finds how an operation deviates.
 *
 * @param start the candidate that runs, or, where `again` is true, a new one after it broke.
 */
export async function deviationsOf(
  start: (again: boolean) => Promise<CandidateProcess>,
  op: string,
  options: VerifyOptions,
): Promise<OpFindings> {
  const remaining = new Remaining(op);
  const found = new Map<string, { failure: Failure; options: Record<string, string>[] }>();
  for (let round = 0;; round++) {
    let calls = 0;
    const source = async () => remaining.of((await start(calls++ > 0)).candidate);
    const { ops: [rest] } = await verify(source, { ...options, ops: [op] });
    const { failure } = rest;
    if (failure === null || round >= MAX_ROUNDS) {
      return { rest, deviations: [...found.values()] };
    }
    const own = optionsOf(failure.request), kind = kindOf(failure);
    const known = found.get(kind);
    if (known === undefined) found.set(kind, { failure, options: [own] });
    else known.options.push(own);
    const { field, index } = failure;
    if (op === "schedule" && field !== null && index === 0) remaining.masks.push({ field, index });
    else remaining.excluded.push(own);
  }
}
