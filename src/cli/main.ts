/**
 * The program of the package: `deno run jsr:@ddpm/ddpm/cli COMMAND`. Each command is a module of its
 * own and only loaded when asked for.
 *
 * @module
 */
import { type Command, EXIT, runCommand, say, UsageError } from "./terminal.ts";

const COMMANDS: Readonly<Record<string, { summary: string; load: () => Promise<Command> }>> = {
  train: {
    summary: "train a U-Net on MNIST and draw a grid of samples",
    load: async () => (await import("./train.ts")).train,
  },
  sample: {
    summary: "draw images from a trained model into a PNG grid",
    load: async () => (await import("./sample.ts")).sample,
  },
  evaluate: {
    summary: "measure how good a model's samples are, and its bits per dimension",
    load: async () => (await import("./evaluate.ts")).evaluate,
  },
  convert: {
    summary: "turn checkpoints of diffusers and of the DDPM code into this package's, and back",
    load: async () => (await import("./convert.ts")).convert,
  },
  info: {
    summary: "say what the WebGPU adapter is, or list the plan of a network",
    load: async () => (await import("./info.ts")).info,
  },
  tune: {
    summary: "measure which kernels the adapter is fastest with and write a variant table",
    load: async () => (await import("./tune.ts")).tune,
  },
  oracle: {
    summary: "answer requests on standard input from the reference, for checking other programs",
    load: async () => (await import("./oracle.ts")).oracle,
  },
  verify: {
    summary: "ask an implementation what the reference knows, and judge its answers",
    load: async () => (await import("./verify.ts")).verifyCommand,
  },
  vectors: {
    summary: "write golden vectors of every operation, or judge answers to them",
    load: async () => (await import("./vectors.ts")).vectors,
  },
};

function help(): string {
  return [
    "Denoising diffusion: the truth, and the tools on top of it.",
    "",
    "Commands:",
    ...Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(10)}${summary}`),
    "",
    "COMMAND --help lists a command's flags and examples.",
  ].join("\n");
}

/** Runs the command that the first argument names; returns the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === "--help" || name === "-h") {
    say(help());
    return EXIT.success;
  }
  if (name === undefined || !Object.hasOwn(COMMANDS, name)) {
    throw new UsageError(
      `Expected a command (${Object.keys(COMMANDS).join(", ")}) but got ` +
        `${name ?? "none"}: see --help`,
    );
  }
  const command = await COMMANDS[name].load();
  return await command(rest);
}

if (import.meta.main) Deno.exit(await runCommand(main, Deno.args));
