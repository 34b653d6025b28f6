/**
 * A candidate that is started again when it broke, for what is left to ask.
 *
 * @module
 */
import type { Candidate } from "./candidate.ts";
import type { Precision } from "./model.ts";
import type { Files } from "./networks.ts";
import { Session } from "./session.ts";

/** A candidate, or what starts one: then one that broke is started again. */
export type CandidateSource = Candidate | (() => Promise<Candidate>);

/** After so many operations on which it broke, a candidate is not started again: each may have hung. */
const MAX_BROKEN = 3;

/** A candidate that is started again when it broke. */
export class Harness {
  readonly #source: CandidateSource;
  readonly #precision: Precision;
  readonly #files: Files | null;
  #session: Session;
  #ownTables = false;
  #gone: string | null = null;
  #broken = 0;

  private constructor(
    source: CandidateSource,
    precision: Precision,
    files: Files | null,
    session: Session,
  ) {
    this.#files = files;
    this.#source = source;
    this.#precision = precision;
    this.#session = session;
  }

  /** Starts a candidate. @throws {BrokenError} if that fails. */
  static async open(
    source: CandidateSource,
    precision: Precision,
    files: Files | null,
  ): Promise<Harness> {
    const candidate = typeof source === "function" ? await source() : source;
    return new Harness(source, precision, files, new Session(candidate, precision, files));
  }

  /** The session with the candidate that runs now. */
  get session(): Session {
    return this.#session;
  }

  /** Why the candidate cannot be asked any more, or null. */
  get gone(): string | null {
    return this.#gone;
  }

  /** Whether its tables are a float32 cumulative product. */
  get ownTables(): boolean {
    return this.#ownTables || this.#session.ownTables;
  }

  /** Notes that the candidate broke on an operation, and starts it again unless it did so often. */
  async broke(): Promise<void> {
    if (++this.#broken >= MAX_BROKEN) {
      this.#gone = `the candidate broke on ${MAX_BROKEN} operations before`;
    } else await this.restart();
  }

  /** Starts the candidate again if that is possible. */
  async restart(): Promise<void> {
    this.#ownTables = this.ownTables;
    if (typeof this.#source !== "function") {
      this.#gone = "the candidate broke before";
      return;
    }
    try {
      this.#session = new Session(await this.#source(), this.#precision, this.#files);
    } catch (error) {
      this.#gone = `the candidate did not start again: ${String(error)}`;
    }
  }
}
