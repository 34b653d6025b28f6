/**
 * A candidate in a process of its own.
 *
 * @module
 */
import { BrokenError, type Candidate, openCandidate } from "../oracle/verify/mod.ts";

/** Bytes of standard error that are kept to say why a candidate ended. */
const TAIL = 2000;
/** Milliseconds that a candidate gets to end by itself once its input has ended. */
const GRACE = 500;

/** A candidate's process, killed for good by `close`. */
export interface CandidateProcess {
  /** The candidate. */
  readonly candidate: Candidate;
  /** Ends it. */
  readonly close: () => Promise<void>;
}

/** Keeps the end of a stream. */
class Tail {
  #text = "";
  readonly done: Promise<void>;

  constructor(stream: ReadableStream<Uint8Array>) {
    this.done = this.#read(stream);
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      this.#text = (this.#text + decoder.decode(chunk, { stream: true })).slice(-TAIL);
    }
  }

  get text(): string {
    return this.#text.trim();
  }
}

function spawn(command: readonly string[]): Deno.ChildProcess {
  try {
    return new Deno.Command(command[0], {
      args: command.slice(1),
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new BrokenError(`Expected to start ${command[0]} but got: ${reason}`);
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

function kill(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGKILL");
  } catch {
    // It has ended already.
  }
}

/**
 * Starts a candidate and greets it.
 *
 * @param seconds the longest that it may take for one answer.
 * @throws {BrokenError} if it does not start or greet back.
 */
export async function startCandidate(
  command: readonly string[],
  seconds: number,
): Promise<CandidateProcess> {
  const child = spawn(command);
  const tail = new Tail(child.stderr);
  const writer = child.stdin.getWriter();
  const said = () => tail.text === "" ? "" : `; its standard error ends:\n${tail.text}`;
  const close = async () => {
    // Refused where a write is under way, or the candidate has gone.
    const closed = writer.close().catch(() => {});
    await Promise.race([closed.then(() => child.status), pause(GRACE)]);
    kill(child);
    await child.status;
  };
  const pipe = {
    write: (bytes: Uint8Array) => writer.write(bytes),
    output: child.stdout,
    ending: async () => {
      const status = await Promise.race([child.status, pause(GRACE)]);
      await Promise.race([tail.done, pause(GRACE)]);
      const how = status === undefined
        ? "it closed its output"
        : status.signal === null
        ? `exit code ${status.code}`
        : `killed by ${status.signal}`;
      return how + said();
    },
  };
  try {
    return { candidate: await openCandidate(pipe, seconds), close };
  } catch (error) {
    await close();
    throw error;
  }
}
