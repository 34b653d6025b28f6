/**
 * `oracle`: the reference answers requests on standard input.
 *
 * @module
 */
import metadata from "../../deno.json" with { type: "json" };
import { createOracle, type Host, serve } from "../oracle/mod.ts";
import { type CommandSpec, helpText, parseFlags } from "./flags.ts";
import { EXIT, runCommand, say } from "./terminal.ts";

const ORACLE: CommandSpec<Record<string, never>> = {
  name: "oracle",
  summary: "answers requests from the reference, one line of JSON in, one line of JSON out, in " +
    "order,\nuntil the input ends. docs/protocol.md lists the operations.",
  flags: {},
  examples: [
    [
      `echo '{"id": 1, "op": "hello"}' | deno task oracle`,
      "which operations are served",
    ],
    [
      `echo '{"op": "timesteps", "T": 1000, "spacing": "trailing", "steps": 50}' | deno task oracle`,
      "the times that a sampler of 50 steps visits",
    ],
    [
      `echo '{"op": "loss_weight", "schedule": {"kind": "cosine", "T": 1000}, "t": [1, 500, 1000],` +
      ` "variance": "beta"}' | deno task oracle`,
      "the weights of the variational bound at three times of the cosine schedule",
    ],
    ["deno task oracle < requests.jsonl > answers.jsonl", "many requests from a file"],
  ],
};

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
  const { help } = parseFlags(ORACLE, args);
  if (help) {
    say(helpText(ORACLE));
    return EXIT.success;
  }
  const host: Host = { version: metadata.version, readFile, writeFile };
  try {
    await serve(createOracle(host), Deno.stdin.readable, say);
  } catch (error) {
    // Whoever asked has gone: nobody is left to answer to.
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
  return EXIT.success;
}

if (import.meta.main) Deno.exit(await runCommand(oracle, Deno.args));
