/**
 * Checking vectors: the files of a folder against its manifest, and the answers in it against the
 * reference, under the bounds of `verify`.
 *
 * @module
 */
import { FormatError } from "../../spec/format_error.ts";
import { rawId } from "../raw_id.ts";
import { BrokenError, type Candidate, readAnswer } from "../verify/candidate.ts";
import type { Request } from "../verify/draw/parts.ts";
import type { Precision } from "../verify/model.ts";
import type { Files } from "../verify/networks.ts";
import type { Failure, OpReport, Report } from "../verify/report.ts";
import { overall } from "../verify/report.ts";
import { brokenFailure, Session } from "../verify/session.ts";
import { MANIFEST, readManifest, sha256, TENSORS } from "./manifest.ts";
import { type Pair, readPairs } from "./pairs.ts";

/** The content of a file of the folder by its relative path, or null if there is none. */
export type ReadFile = (path: string) => Promise<Uint8Array<ArrayBuffer> | null>;

/** How answers are checked. */
export interface CheckOptions {
  /** Number format whose rounding is allowed. Default `f32`. */
  readonly precision?: Precision;
  /** Whether the folder has answers of somebody else; without them its own are checked. */
  readonly answers: boolean;
}

/** What was found. */
export interface Checked {
  /** Files that are missing, or not what the manifest says: one sentence each. */
  readonly faults: readonly string[];
  /** What the answers are worth; only what was read is in it. */
  readonly report: Report;
}

/** Where the answers to an operation's requests are. */
function answersPath(op: string): string {
  return `answers/${op}.jsonl`;
}

/** Answers by the id of their request. @throws {BrokenError} for a line that answers none of them. */
function readAnswers(text: string, pairs: readonly Pair[]): ReadonlyMap<number, string> {
  const answers = new Map<number, string>();
  text.split("\n").forEach((line, i) => {
    if (line.trim() === "") return;
    const id = Number(rawId(line) ?? NaN);
    if (!(Number.isInteger(id) && id >= 1 && id <= pairs.length)) {
      throw new BrokenError(`Expected an id in 1..${pairs.length} in line ${i + 1} but got none`);
    }
    if (answers.has(id)) {
      throw new BrokenError(`Expected one answer to request ${id} but line ${i + 1} is another`);
    }
    answers.set(id, line);
  });
  return answers;
}

/** A request as the key that its answer is found by. */
function keyOf(request: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(Object.entries(request).sort(([a], [b]) => a < b ? -1 : 1));
}

/** Answers on file, as the harness asks for them. */
class Recorded implements Candidate {
  readonly name: string;
  readonly #answers = new Map<string, { readonly id: number; readonly line: string | undefined }>();
  readonly #ops = new Set<string>();

  constructor(name: string) {
    this.name = name;
  }

  get ops(): readonly string[] {
    return [...this.#ops];
  }

  /** Adds an operation's answers. */
  add(op: string, pairs: readonly Pair[], answers: ReadonlyMap<number, string>): void {
    this.#ops.add(op);
    for (const { id, request } of pairs) {
      this.#answers.set(keyOf(request), { id, line: answers.get(id) });
    }
  }

  readonly ask: Candidate["ask"] = (request) => {
    const found = this.#answers.get(keyOf(request));
    // Tables of a process that nobody was asked for.
    if (found === undefined) {
      return Promise.resolve({ ok: false, code: "unsupported", message: "not among the requests" });
    }
    const { id, line } = found;
    if (line === undefined) {
      return Promise.reject(new BrokenError(`Expected an answer to request ${id} but got none`));
    }
    try {
      const answer = readAnswer(line, id);
      // An operation that it does not have counts as little against it as an option.
      return Promise.resolve(
        !answer.ok && answer.code === "unknown_op" ? { ...answer, code: "unsupported" } : answer,
      );
    } catch (error) {
      return Promise.reject(error);
    }
  };
}

function notCovered(op: string, why: string): OpReport {
  return { op, verdict: "not covered", requests: 0, worst: 0, notCovered: [why], failure: null };
}

function broke(request: Request, error: BrokenError): OpReport {
  const failure = brokenFailure(request, error);
  return { op: request.op, verdict: "broke", requests: 0, worst: 0, notCovered: [], failure };
}

/** Judges all of an operation's answers; the first deviation is told, with how many there are. */
async function judged(session: Session, op: string, pairs: readonly Pair[]): Promise<OpReport> {
  const unsupported = new Set<string>();
  let requests = 0, worst = 0, deviations = 0;
  let failure: Failure | null = null;
  for (const { request } of pairs) {
    try {
      const outcome = await session.examine(request);
      if (outcome.kind === "unsupported") unsupported.add(outcome.message);
      if (outcome.kind === "within") worst = Math.max(worst, outcome.worst);
      if (outcome.kind === "within" || outcome.kind === "beyond") requests++;
      if (outcome.kind !== "beyond") continue;
      deviations++;
      failure ??= session.explained(outcome.failure, [outcome.evidence]);
    } catch (error) {
      if (error instanceof BrokenError) return { ...broke(request, error), requests, worst };
      throw error;
    }
  }
  if (failure !== null) {
    failure = { ...failure, message: `${failure.message} (${deviations} of ${requests} deviate)` };
  }
  const verdict = failure !== null ? "deviates" : requests > 0 ? "conforms" : "not covered";
  return { op, verdict, requests, worst, notCovered: [...unsupported], failure };
}

/** The file of tensors as the only one that there is; answers on file write none. */
function filesOf(tensors: Uint8Array): Files {
  return { folder: "", readFile: () => tensors, writeFile: () => {} };
}

/** An operation's file, once it is known to be what the manifest says. */
interface OpFile {
  readonly op: string;
  readonly pairs: readonly Pair[];
}

/** Reads what the manifest lists. */
async function readFolder(read: ReadFile): Promise<
  { readonly seed: number; readonly files: OpFile[]; readonly faults: string[] }
> {
  const bytes = await read(MANIFEST);
  if (bytes === null) throw new FormatError(`Expected a ${MANIFEST} but there is none`);
  const manifest = readManifest(bytes);
  const files: OpFile[] = [], faults: string[] = [];
  for (const { path, op, sha256: expected, count } of manifest.files) {
    const content = await read(path);
    if (content === null) {
      faults.push(`Expected ${path} but there is none`);
      continue;
    }
    const found = await sha256(content);
    if (found !== expected) {
      faults.push(`Expected ${path} of SHA-256 ${expected} but got ${found}`);
      continue;
    }
    if (op === undefined) continue;
    const pairs = readPairs(path, op, content);
    if (pairs.length !== count) {
      throw new FormatError(`Expected ${count} pairs in ${path} but got ${pairs.length}`);
    }
    files.push({ op, pairs });
  }
  return { seed: manifest.seed, files, faults };
}

/** The answers to an operation's requests, or what to report instead. */
async function answersTo(
  read: ReadFile,
  { op, pairs }: OpFile,
  others: boolean,
): Promise<ReadonlyMap<number, string> | OpReport> {
  if (!others) return new Map(pairs.map(({ id, response }) => [id, response]));
  const bytes = await read(answersPath(op));
  if (bytes === null) return notCovered(op, `no ${answersPath(op)}`);
  try {
    return readAnswers(new TextDecoder("utf-8", { fatal: true }).decode(bytes), pairs);
  } catch (error) {
    const wrong = error instanceof BrokenError
      ? error.message
      : "Expected UTF-8 but got other bytes";
    return broke(pairs[0].request, new BrokenError(`${answersPath(op)}: ${wrong}`));
  }
}

/**
 * Checks a folder of vectors: its checksums, and its answers under the bounds of `verify`.
 *
 * @throws {FormatError} if the manifest is missing, or it or a file has another form.
 */
export async function checkVectors(read: ReadFile, options: CheckOptions): Promise<Checked> {
  const { precision = "f32" } = options;
  const { seed, files, faults } = await readFolder(read);
  const tensors = files.some(({ op }) => op === "unet") ? await read(TENSORS) : null;
  const name = options.answers ? "answers" : "the vectors' own answers";
  const recorded = new Recorded(name), instead = new Map<string, OpReport>();
  for (const file of files) {
    const answers = await answersTo(read, file, options.answers);
    if (answers instanceof Map) recorded.add(file.op, file.pairs, answers);
    else instead.set(file.op, answers as OpReport);
  }
  const session = new Session(recorded, precision, tensors === null ? null : filesOf(tensors));
  const reports: OpReport[] = [];
  for (const { op, pairs } of files) {
    reports.push(instead.get(op) ?? await judged(session, op, pairs));
  }
  const runs = files.reduce((sum, { pairs }) => sum + pairs.length, 0);
  const notes = session.ownTables
    ? ["its tables are a float32 cumulative product: steps were judged with its own ᾱ"]
    : [];
  const verdict = overall(reports);
  return {
    faults,
    report: { candidate: name, precision, seed, runs, ops: reports, notes, verdict },
  };
}
