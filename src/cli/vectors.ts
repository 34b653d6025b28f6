/**
 * `vectors`: golden vectors of every operation as files, and the judgement of somebody's answers to them.
 *
 * @module
 */
import metadata from "../../deno.json" with { type: "json" };
import { writeAtomic } from "../data/write_atomic.ts";
import { ArgumentError } from "../math/errors.ts";
import { checkVectors, makeVectors } from "../oracle/vectors/mod.ts";
import { failureText, type Report, tableOf } from "../oracle/verify/mod.ts";
import { FormatError } from "../spec/format_error.ts";
import { SEED_FLAG } from "./draw_flags.ts";
import { type CommandSpec, type FlagValues, helpText, parseFlags } from "./flags.ts";
import { EXIT, note, runCommand, say, UsageError } from "./terminal.ts";

const FLAGS = {
  out: {
    kind: "text",
    placeholder: "DIR",
    default: "vectors",
    help: "Folder that the files are written to.",
  },
  seed: SEED_FLAG,
  ops: {
    kind: "text",
    placeholder: "a,b",
    help: "Operations to write; without it all of the protocol.",
  },
  check: {
    kind: "text",
    placeholder: "DIR",
    help: "Judges DIR/answers/OP.jsonl instead, or without answers the folder itself.",
  },
  precision: {
    kind: "choice",
    values: ["f16", "f32", "f64"],
    default: "f32",
    help: "With --check, number format whose rounding is allowed.",
  },
} as const;

const VECTORS: CommandSpec<typeof FLAGS> = {
  name: "vectors",
  summary: "writes requests of every operation with the reference's answers, or judges answers to" +
    "\nthem. docs/vectors.md describes the files. Exit code of --check 0: conforms, 1: deviates,\n" +
    "2: a file is missing or broken, or nothing could be judged.",
  flags: FLAGS,
  examples: [
    ["deno task vectors --out vectors", "all operations"],
    ["deno task vectors --ops schedule,ddim_step --seed 7", "two of them, other draws"],
    ["deno task vectors --check vectors", "the answers in vectors/answers"],
  ],
};

/** Exit code where there was nothing sound to judge. */
const BROKE = 2;
const CODES = {
  conforms: EXIT.success,
  deviates: EXIT.failure,
  broke: BROKE,
  "not covered": BROKE,
} as const;

async function write(values: FlagValues<typeof FLAGS>): Promise<number> {
  const { out, seed } = values;
  const ops = values.ops?.split(",").map((op) => op.trim()).filter((op) => op !== "");
  if (ops?.length === 0) throw new UsageError("Expected operations after --ops but got none");
  const runtime = `deno ${Deno.version.deno}, V8 ${Deno.version.v8}`;
  const provenance = { version: metadata.version, runtime };
  const files = await makeVectors({ ops, seed, provenance });
  await Deno.mkdir(out, { recursive: true });
  let bytes = 0;
  // The manifest comes last, so that a folder that was not finished fails its check.
  for (const [path, content] of files) {
    await writeAtomic(`${out}/${path}`, content);
    bytes += content.length;
  }
  say(`${files.size} files, ${(bytes / 1e6).toFixed(1)} MB, seed ${seed}: ${out}`);
  return EXIT.success;
}

function sayReport(report: Report): void {
  say(`${report.candidate} against the reference, ${report.precision}, seed ${report.seed}`);
  say("");
  say(tableOf(report));
  for (const line of report.notes) say(`\nnote: ${line}`);
  for (const { op, failure } of report.ops) {
    if (failure !== null) say(`\n${failureText(op, failure, null)}`);
  }
  say("");
  say(`verdict: ${report.verdict}`);
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** A regular file's content, null if there is none: a pipe or a device might never end. */
async function readIfThere(path: string): Promise<Uint8Array<ArrayBuffer> | null> {
  try {
    if (!(await Deno.stat(path)).isFile) {
      throw new FormatError(`Expected a regular file but got another at ${path}`);
    }
    return await Deno.readFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

async function check(folder: string, values: FlagValues<typeof FLAGS>): Promise<number> {
  if (!await isFolder(folder)) {
    throw new UsageError(`Expected --check to be a folder but got ${folder}`);
  }
  const answers = await isFolder(`${folder}/answers`);
  const { faults, report } = await checkVectors((path) => readIfThere(`${folder}/${path}`), {
    answers,
    precision: values.precision,
  });
  sayReport(report);
  for (const fault of faults) note(`error: ${folder}: ${fault}`);
  return faults.length > 0 ? BROKE : CODES[report.verdict];
}

/** `vectors`. */
export async function vectors(args: readonly string[]): Promise<number> {
  const { help, values, given } = parseFlags(VECTORS, args);
  if (help) {
    say(helpText(VECTORS));
    return EXIT.success;
  }
  try {
    if (values.check === undefined) {
      if (given.has("precision")) {
        throw new UsageError("Expected --check with --precision but got none");
      }
      return await write(values);
    }
    const other = ["out", "seed", "ops"].find((name) => given.has(name));
    if (other !== undefined) {
      throw new UsageError(`Expected --check or --${other} but got both`);
    }
    return await check(values.check, values);
  } catch (error) {
    if (error instanceof ArgumentError) throw new UsageError(error.message);
    if (!(error instanceof FormatError) || values.check === undefined) throw error;
    // Code 1 would say that the answers deviate.
    note(`error: ${values.check}: ${error.message}`);
    return BROKE;
  }
}

if (import.meta.main) Deno.exit(await runCommand(vectors, Deno.args));
