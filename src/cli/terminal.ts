/**
 * What commands say: results on standard output, progress and errors on standard error.
 *
 * @module
 */
import { ArgumentError } from "../math/errors.ts";
import { FormatError } from "../spec/format_error.ts";
import { WebGpuError } from "../webgpu/errors.ts";

/** A command line that cannot be carried out as it is written; ends the program with code 2. */
export class UsageError extends Error {
  /** Name of the class, for messages and serialisation. */
  override readonly name: string = "UsageError";
}

/** A command that could not be carried out, for a reason that it says; ends the program with code 1. */
export class FailureError extends Error {
  /** Name of the class, for messages and serialisation. */
  override readonly name: string = "FailureError";
}

/** Exit codes of every command. */
export const EXIT = { success: 0, failure: 1, usage: 2, interrupted: 130 } as const;

const encoder = new TextEncoder();

function writeAll(stream: { writeSync(bytes: Uint8Array): number }, text: string): void {
  const bytes = encoder.encode(text);
  for (let done = 0; done < bytes.length;) done += stream.writeSync(bytes.subarray(done));
}

/** Writes a result line. */
export function say(line: string): void {
  writeAll(Deno.stdout, `${line}\n`);
}

/** Writes a line about the run. */
export function note(line: string): void {
  writeAll(Deno.stderr, `${line}\n`);
}

/** Milliseconds between two progress lines where no one can see a line being rewritten. */
const QUIET_INTERVAL = 10_000;

/** A line on standard error that says how far a job is: rewritten in place on a terminal. */
export class ProgressLine {
  readonly #terminal = Deno.stderr.isTerminal();
  #shown = 0;
  #last = "";

  /** Shows a text, or leaves it out if one was shown a moment ago. */
  update(text: string): void {
    const now = performance.now();
    const interval = this.#terminal ? 100 : QUIET_INTERVAL;
    this.#last = text;
    if (this.#shown > 0 && now - this.#shown < interval) return;
    this.#shown = now;
    this.#show(text);
  }

  /** Shows the last text for good. */
  finish(): void {
    if (this.#last === "") return;
    this.#show(this.#last);
    if (this.#terminal) writeAll(Deno.stderr, "\n");
    this.#last = "";
    this.#shown = 0;
  }

  #show(text: string): void {
    // Back to the start of the line, and clear what is left of the one before.
    if (this.#terminal) writeAll(Deno.stderr, `\r${text}\x1b[K`);
    else note(text);
  }
}

/** Characters of a bar. */
const BAR = 24;

/** A share in 0..1 as a bar, with its per cent. */
export function bar(share: number): string {
  const full = Math.floor(BAR * share);
  const percent = String(Math.floor(100 * share)).padStart(3);
  return `[${"#".repeat(full)}${"-".repeat(BAR - full)}] ${percent} %`;
}

/** Seconds as "4 s", "3 min 05 s" or "2 h 10 min". */
export function duration(seconds: number): string {
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  const pad = (n: number) => String(n).padStart(2, "0");
  if (s < 3600) return `${Math.floor(s / 60)} min ${pad(s % 60)} s`;
  return `${Math.floor(s / 3600)} h ${pad(Math.floor(s / 60) % 60)} min`;
}

/** A command: its arguments in, its exit code out. */
export type Command = (args: readonly string[]) => Promise<number>;

/** Runs a command and turns whatever it throws into one line on standard error and an exit code. */
export async function runCommand(command: Command, args: readonly string[]): Promise<number> {
  try {
    return await command(args);
  } catch (error) {
    note(`error: ${oneLine(error)}`);
    return error instanceof UsageError ? EXIT.usage : EXIT.failure;
  }
}

/** The sentence of an error; of one that nobody foresaw, all there is to find it by. */
function oneLine(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const kinds = [
    UsageError,
    FailureError,
    ArgumentError,
    FormatError,
    WebGpuError,
    ...Object.values(Deno.errors),
  ];
  const expected = kinds.some((kind) => error instanceof kind);
  return expected ? error.message : error.stack ?? error.message;
}
