/**
 * `interop`: the package against diffusers and improved-diffusion as they are published, in a Python
 * environment of their own.
 *
 * @module
 */
import { writeAtomic } from "../data/write_atomic.ts";
import { BrokenError, type VerifyOptions } from "../oracle/verify/mod.ts";
import { type CandidateProcess, startCandidate } from "./candidate_process.ts";
import { deviationsOf, type OpFindings } from "./deviations.ts";
import { RUNS_FLAG, SEED_FLAG } from "./draw_flags.ts";
import { type CommandSpec, type Flag, helpText, parseFlags } from "./flags.ts";
import { pythonEnvironment } from "./python_environment.ts";
import { EXIT, FailureError, note, ProgressLine, runCommand, say, UsageError } from "./terminal.ts";
import { type Subject, type SubjectFindings, SUBJECTS, verdictsText } from "./verdicts.ts";

const VERDICTS = "docs/verdicts.md";
/** Checks that stand by themselves; each gets the environment's Python. */
const CHECKS = ["tests/interop/check_unets.ts", "tests/interop/check_continuing.ts"];
/** What takes minutes, and a WebGPU adapter. */
const FULL_CHECK = "tests/interop/check_full_size.ts";
/** Seconds that an answer may take: the first one waits for torch. */
const TIMEOUT = 300;

const INTEROP = {
  name: "interop",
  summary: "installs diffusers and improved-diffusion with PyTorch into an environment of their " +
    "own, checks that\nmodels go there and back, and verifies what they compute. Their deviations are " +
    "listed; exit code 1\nmeans that this package's own files or models do not fit them.",
  flags: {
    venv: {
      kind: "text",
      placeholder: "DIR",
      default: ".venv-interop",
      help: "The Python environment; made if it is not there.",
    },
    python: {
      kind: "text",
      placeholder: "PROGRAM",
      default: "python3",
      help: "The Python that makes it.",
    },
    runs: RUNS_FLAG,
    seed: SEED_FLAG,
    full: {
      kind: "switch",
      help: "Checks the CIFAR-10 model of 35.7 million parameters too, on WebGPU as well, and\n" +
        "writes bench/results/interop.md. Takes some 3 minutes more.",
    },
    verdicts: { kind: "switch", help: `Verifies only, and writes ${VERDICTS}.` },
  },
  examples: [
    ["deno task interop", "Installs on its first run, some 6 GB, then checks everything"],
    ["deno task interop --full", "The full-size model as well"],
    ["deno task interop --verdicts", `The verdicts, into ${VERDICTS}`],
  ],
} as const satisfies CommandSpec<Record<string, Flag>>;

/** Runs a program to its end. @throws {FailureError} if it is not there or fails. */
async function run(program: string, args: readonly string[], what: string): Promise<void> {
  note(what);
  let status;
  try {
    const child = new Deno.Command(program, { args: [...args], stdin: "null" }).spawn();
    status = await child.status;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new FailureError(`Expected to start ${program} but got: ${reason}`);
  }
  if (!status.success) {
    throw new FailureError(
      `${what}: expected ${program} to succeed but got exit code ${status.code}, see above`,
    );
  }
}

/** The folder of an environment's packages. */
async function packagesOf(python: string): Promise<string> {
  const code = "import sysconfig; print(sysconfig.get_path('purelib'))";
  const { stdout } = await new Deno.Command(python, { args: ["-c", code] }).output();
  return new TextDecoder().decode(stdout).trim();
}

/** Verifies one subject, operation by operation. */
async function examined(
  subject: Subject,
  python: string,
  options: VerifyOptions,
  progress: ProgressLine,
): Promise<SubjectFindings> {
  const packages = await packagesOf(python);
  const variables = Object.entries(subject.env)
    .map(([name, value]) => `${name}=${Deno.env.get(name) ?? `${packages}/${value}`}`);
  const command = [...(variables.length > 0 ? ["env", ...variables] : []), python];
  let running: CandidateProcess | null = null;
  const start = async (again: boolean) => {
    if (again || running === null) {
      await running?.close();
      running = await startCandidate([...command, ...subject.adapter], TIMEOUT);
    }
    return running;
  };
  try {
    const { candidate } = await start(false);
    const ops: OpFindings[] = [];
    for (const op of subject.ops ?? candidate.ops) {
      progress.update(`${subject.title}: ${op}`);
      ops.push(await deviationsOf(start, op, options));
    }
    return { subject, candidate: candidate.name, ops };
  } catch (error) {
    if (!(error instanceof BrokenError)) throw error;
    throw new FailureError(`${subject.title}: ${error.message}`);
  } finally {
    await (running as CandidateProcess | null)?.close();
  }
}

function sayFindings({ subject, ops }: SubjectFindings): void {
  for (const { rest, deviations } of ops) {
    const verdict = deviations.length === 0
      ? rest.verdict
      : `deviates in ${deviations.length} way${deviations.length === 1 ? "" : "s"}`;
    say(`${subject.title}: ${rest.op} ${verdict}`);
  }
}

/** Runs `interop` with its arguments; returns the exit code. */
export async function interop(args: readonly string[]): Promise<number> {
  const { help, values } = parseFlags(INTEROP, args);
  if (help) {
    say(helpText(INTEROP));
    return EXIT.success;
  }
  if (values.full && values.verdicts) {
    throw new UsageError("Expected --full or --verdicts but got both: --verdicts verifies only");
  }
  const python = await pythonEnvironment(values.venv, values.python);
  if (!values.verdicts) {
    for (const check of [...CHECKS, ...(values.full ? [FULL_CHECK] : [])]) {
      const rights = [
        "--no-prompt",
        "--allow-read",
        "--allow-write",
        "--allow-run",
        "--allow-env",
        "--allow-sys",
      ];
      await run(Deno.execPath(), ["run", ...rights, check, python], `Running ${check}`);
    }
  }
  const progress = new ProgressLine(), findings: SubjectFindings[] = [];
  const { runs, seed } = values;
  for (const subject of SUBJECTS) {
    findings.push(await examined(subject, python, { runs, seed }, progress));
    progress.finish();
    sayFindings(findings[findings.length - 1]);
  }
  if (values.verdicts) {
    await writeAtomic(VERDICTS, verdictsText(findings, INTEROP.flags.venv.default, runs, seed));
    await run(Deno.execPath(), ["fmt", "--quiet", VERDICTS], `Writing ${VERDICTS}`);
  }
  return EXIT.success;
}

if (import.meta.main) Deno.exit(await runCommand(interop, Deno.args));
