/**
 * `deno task bench`: the plain reference next to TensorFlow.js' CPU backend, or with --gpu or --peers
 * the GPU path, alone or next to other libraries on the same adapter.
 *
 * @module
 */
import { runCommand, say } from "../src/cli/terminal.ts";

const HELP = `Times the package next to others, everything that is compared in turns in one run.

Usage
  deno task bench [--batch N] [--runs N] [--json FILE]
      forward, and forward + backward, of a U-Net of a million parameters on the plain reference,
      next to TensorFlow.js' CPU backend (about two minutes)
  deno task bench --gpu [flags]      the GPU path: roofs, convolution, full-size network, training, …
  deno task bench --peers [flags]    the same next to jax-js and TensorFlow.js on the same adapter

Flags of the GPU bench
  --quick            a small network, to see that everything works; no claims
  --only A,B         sections: roofs, conv, forward, training, sampling, batches, memory, start, layers
  --rounds N         rounds that the medians are taken over (default 3, at least 3)
  --json FILE        write the report
  --markdown FILE    write the tables

Examples
  # The claims of the README
  deno task bench --peers --json bench/results/webgpu.json
  # Only the convolution
  deno task bench --gpu --only roofs,conv
`;

/** Runs the bench that the flags ask for; returns the exit code. */
async function bench(args: readonly string[]): Promise<number> {
  if (args.includes("--help") || args.includes("-h")) {
    say(HELP);
    return 0;
  }
  const gpu = args.some((arg) => /^--(gpu|peers|quick|only|rounds|markdown)(=|$)/.test(arg));
  if (!gpu) return (await import("./reference_unet.ts")).main([...args]);
  return (await import("./webgpu.ts")).main(args.filter((arg) => arg !== "--gpu"));
}

// Peers keep timers of their own: the exit ends them.
Deno.exit(await runCommand(bench, Deno.args));
