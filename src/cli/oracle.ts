/**
 * `deno task oracle`: the reference answers requests on standard input.
 *
 * @module
 */
import { parseArgs } from "@std/cli";
import metadata from "../../deno.json" with { type: "json" };
import { createOracle, serve } from "../oracle/mod.ts";
import type { Host } from "../oracle/mod.ts";

const HELP =
  `Answers questions about diffusion from the reference: one line of JSON in, one line of JSON out.

Usage
  deno task oracle [--help]

Requests are read from standard input and answered on standard output, in order, until the input
ends. A line that makes no sense gets an error answer, and the next line is read. docs/protocol.md
lists the operations; {"op": "hello"} tells which are served.

Examples
  # What is served?
  echo '{"id": 1, "op": "hello"}' | deno task oracle

  # The posterior of one pixel at t = 500 of the paper's schedule.
  echo '{"id": 2, "op": "q_posterior", "t": 500,
    "schedule": {"kind": "linear", "T": 1000, "betaStart": 1e-4, "betaEnd": 0.02},
    "x0": {"shape": [1, 1, 1, 1], "data": [0.5]},
    "xt": {"shape": [1, 1, 1, 1], "data": [-0.25]}}' | tr -d '\\n' | deno task oracle

  # Many requests from a file.
  deno task oracle < requests.jsonl > answers.jsonl
`;

function writeAll(text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let done = 0; done < bytes.length;) done += Deno.stdout.writeSync(bytes.subarray(done));
}

/** Reads a regular file: a pipe or a device might never end. */
function readFile(path: string): Uint8Array {
  if (!Deno.statSync(path).isFile) throw new Error("it is not a regular file");
  return Deno.readFileSync(path);
}

/** Writes a file so that whoever looks sees the old content or all of the new. */
function writeFile(path: string, content: Uint8Array): void {
  const partial = `${path}.partial`;
  try {
    Deno.writeFileSync(partial, content);
    Deno.renameSync(partial, path);
  } catch (error) {
    try {
      Deno.removeSync(partial);
    } catch {
      // It was never created; the first error is the one to tell.
    }
    throw error;
  }
}

/** Runs `oracle` with its arguments; returns the exit code. */
export async function oracle(args: readonly string[]): Promise<number> {
  const unknown: string[] = [];
  const flags = parseArgs([...args], {
    boolean: ["help"],
    alias: { help: "h" },
    unknown: (arg) => (unknown.push(arg), false),
  });
  if (flags.help) {
    writeAll(HELP);
    return 0;
  }
  if (unknown.length > 0) {
    const message = `Expected no arguments but --help, and got ${unknown.join(" ")}\n`;
    await Deno.stderr.write(new TextEncoder().encode(message));
    return 2;
  }
  const host: Host = { version: metadata.version, readFile, writeFile };
  try {
    await serve(createOracle(host), Deno.stdin.readable, writeAll);
  } catch (error) {
    // Whoever asked has gone: nobody is left to answer to.
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
  return 0;
}

if (import.meta.main) Deno.exit(await oracle(Deno.args));
