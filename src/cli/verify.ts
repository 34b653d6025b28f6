/**
 * `verify`: an implementation is asked what the reference knows, and judged.
 *
 * @module
 */
import { ArgumentError } from "../math/errors.ts";
import { writeAtomic } from "../data/write_atomic.ts";
import {
  BrokenError,
  failureText,
  type Files,
  junitOf,
  type OpReport,
  type Precision,
  replay,
  type Report,
  tableOf,
  verify,
} from "../oracle/verify/mod.ts";
import { startCandidate } from "./candidate_process.ts";
import type { CandidateProcess } from "./candidate_process.ts";
import { RUNS_FLAG, SEED_FLAG } from "./draw_flags.ts";
import { type CommandSpec, helpText, parseFlags } from "./flags.ts";
import { EXIT, note, ProgressLine, runCommand, say, UsageError } from "./terminal.ts";

const FLAGS = {
  ops: {
    kind: "text",
    placeholder: "a,b",
    help: "Operations to check; without it all that the candidate lists.",
  },
  runs: RUNS_FLAG,
  seed: SEED_FLAG,
  precision: {
    kind: "choice",
    values: ["f16", "f32", "f64"],
    default: "f32",
    help: "Number format whose rounding is allowed.",
  },
  timeout: {
    kind: "number",
    min: 0.01,
    max: 86_400,
    default: 30,
    help: "Seconds that one answer may take.",
  },
  json: { kind: "switch", help: "The report as JSON." },
  junit: { kind: "text", placeholder: "FILE", help: "Also writes the report as JUnit's XML." },
  replay: {
    kind: "text",
    placeholder: "FILE|REQUEST",
    help: "Asks these requests only: JSON, one a line, or a file of them.",
  },
} as const;

const VERIFY: CommandSpec<typeof FLAGS> = {
  name: "verify",
  summary:
    "starts an implementation, asks it what the reference knows, and judges its answers under" +
    "\nthe rounding errors of its number format. It speaks docs/protocol.md on standard input and" +
    "\noutput. Exit code 0: conforms, 1: deviates, 2: broke.",
  flags: FLAGS,
  examples: [
    ["deno task verify -- python3 adapter.py", "every operation that adapter.py lists"],
    [
      "deno task verify --ops schedule,q_sample,ddpm_step --runs 1000 -- ./adapter",
      "a few operations, more thoroughly",
    ],
    ["deno task verify --junit verify.xml -- node adapter.js", "for a CI system"],
    ["deno task verify -- deno task --quiet oracle", "the reference against itself"],
  ],
};

/** Exit code of a candidate that broke. */
const BROKE = 2;
const CODES = {
  conforms: EXIT.success,
  deviates: EXIT.failure,
  broke: BROKE,
  "not covered": BROKE,
} as const;

/** An argument as a shell reads it back. */
function quoted(argument: string): string {
  return /^[\w@%+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", "'\\''")}'`;
}

function replayCommand(
  request: unknown,
  precision: Precision,
  command: readonly string[],
): string {
  const format = precision === "f32" ? "" : `--precision ${precision} `;
  return `deno task verify ${format}--replay ${quoted(JSON.stringify(request))} -- ${
    command.map(quoted).join(" ")
  }`;
}

/** The flags' values and the candidate's command, which follows `--`. */
function split(args: readonly string[]): { flags: readonly string[]; command: readonly string[] } {
  const at = args.indexOf("--");
  return at < 0
    ? { flags: args, command: [] }
    : { flags: args.slice(0, at), command: args.slice(at + 1) };
}

function requestsOf(text: string): { op: string }[] {
  const lines = text.trimStart().startsWith("{") ? text : readText(text);
  return lines.split("\n").filter((line) => line.trim() !== "").map((line) => {
    try {
      const request: unknown = JSON.parse(line);
      if (typeof request === "object" && request !== null && "op" in request) {
        const { op } = request;
        if (typeof op === "string") return { ...request, op };
      }
    } catch {
      // The sentence below says what was expected.
    }
    throw new UsageError(`Expected --replay to be requests, one a line, but got ${line}`);
  });
}

function readText(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new UsageError(`Expected --replay to be a request or a file but got: ${reason}`);
  }
}

function opsOf(text: string | undefined): string[] | undefined {
  return text?.split(",").map((op) => op.trim()).filter((op) => op !== "");
}

/** The JSON of a report, where what is not finite is a string as in the protocol. */
function jsonOf(report: unknown): string {
  return JSON.stringify(
    report,
    (_, value) => typeof value === "number" && !Number.isFinite(value) ? String(value) : value,
  );
}

function sayReport(report: Report, command: readonly string[]): void {
  say(`${report.candidate} against the reference, ${report.precision}, seed ${report.seed}`);
  say("");
  say(tableOf(report));
  for (const line of report.notes) say(`\nnote: ${line}`);
  for (const { op, failure } of report.ops) {
    if (failure === null) continue;
    say("");
    say(failureText(op, failure, replayCommand(failure.request, report.precision, command)));
  }
  say("");
  say(`verdict: ${report.verdict}`);
}

function sayReplay(report: OpReport, command: readonly string[], precision: Precision): void {
  const { op, verdict, worst, failure, notCovered } = report;
  if (failure === null) {
    say(`${op}: ${verdict}, worst error ${worst.toPrecision(2)} of its bound ${notCovered}`.trim());
  } else say(failureText(op, failure, replayCommand(failure.request, precision, command)));
}

/** A new folder where networks are handed over. */
function temporaryFiles(): Files {
  return {
    folder: Deno.makeTempDirSync({ prefix: "ddpm-verify-" }),
    readFile: Deno.readFileSync,
    writeFile: Deno.writeFileSync,
  };
}

/** The worst exit code of several. */
function worstCode(reports: readonly { readonly verdict: keyof typeof CODES }[]): number {
  return Math.max(EXIT.success, ...reports.map(({ verdict }) => CODES[verdict]));
}

/** `verify`. */
export async function verifyCommand(args: readonly string[]): Promise<number> {
  const { flags, command } = split(args);
  const { help, values } = parseFlags(VERIFY, flags);
  if (help) {
    say(helpText(VERIFY));
    return EXIT.success;
  }
  if (command.length === 0) {
    throw new UsageError("Expected a command after -- but got none: see `verify --help`");
  }
  let running: CandidateProcess | null = null;
  const open = async () => {
    await running?.close();
    running = null;
    running = await startCandidate(command, values.timeout);
    return running.candidate;
  };
  const close = async () => await running?.close();
  const files = temporaryFiles();
  const progress = new ProgressLine();
  try {
    if (values.replay !== undefined) {
      const reports: OpReport[] = [];
      for (const request of requestsOf(values.replay)) {
        reports.push(await replay(await open(), request, values.precision, files));
      }
      if (values.json) say(jsonOf(reports));
      else for (const report of reports) sayReplay(report, command, values.precision);
      return worstCode(reports);
    }
    const report = await verify(open, {
      ops: opsOf(values.ops),
      runs: values.runs,
      seed: values.seed,
      precision: values.precision,
      files,
      onOp: (op) => progress.update(op),
    });
    progress.finish();
    if (values.junit !== undefined) await writeAtomic(values.junit, junitOf(report));
    if (values.json) say(jsonOf(report));
    else sayReport(report, command);
    return CODES[report.verdict];
  } catch (error) {
    if (error instanceof UsageError) throw error;
    if (error instanceof ArgumentError) throw new UsageError(error.message);
    // Code 1 would say that the candidate deviates.
    note(`error: ${error instanceof BrokenError ? error.message : String(error)}`);
    return BROKE;
  } finally {
    await close();
    await Deno.remove(files.folder, { recursive: true });
  }
}

if (import.meta.main) Deno.exit(await runCommand(verifyCommand, Deno.args));
