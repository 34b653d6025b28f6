/**
 * The GPU path against the adapter's roofs, against itself and, with --peers, against other libraries:
 * medians after a round of warming up, everything that is compared measured in turns on the same adapter.
 *
 * deno task bench --gpu|--peers [--quick] [--only conv,forward,…] [--rounds 3] [--json FILE] [--markdown FILE]
 *
 * @module
 */
import { parseArgs } from "@std/cli";
import { UsageError } from "../src/cli/terminal.ts";
import { CIFAR10, MNIST } from "../src/spec/unet_presets.ts";
import { requestGpu } from "../src/webgpu/device.ts";
import { defaultVariants } from "../src/webgpu/variants.ts";
import { type Provenance, provenance } from "./machine.ts";
import { batches } from "./sections/batches.ts";
import { convolution } from "./sections/convolution.ts";
import { forward } from "./sections/forward.ts";
import { layers } from "./sections/layers.ts";
import { memory } from "./sections/memory.ts";
import { measureRoofs, roofs } from "./sections/roofs.ts";
import { sampling } from "./sections/sampling.ts";
import { start } from "./sections/start.ts";
import { training } from "./sections/training.ts";
import type { Bench } from "./support/bench.ts";
import { GpuTimer } from "./support/gpu_timing.ts";
import { drawnParameters } from "./support/inputs.ts";
import { wholeNumber } from "./support/flags.ts";
import { claimTable, type SectionReport } from "./support/report.ts";

/** Sections by the names that --only takes, in their order. */
const SECTIONS: Readonly<Record<string, (bench: Bench) => Promise<SectionReport>>> = {
  roofs,
  conv: convolution,
  forward,
  training,
  sampling,
  batches,
  memory,
  start,
  layers,
};

interface Report extends Provenance {
  readonly adapter: string;
  readonly adapterClass: string;
  readonly rounds: number;
  readonly quick: boolean;
  readonly sections: readonly SectionReport[];
}

interface Options {
  readonly peers: boolean;
  readonly quick: boolean;
  readonly rounds: number;
  readonly only: readonly string[];
}

async function bench(options: Options, print: (text: string) => Promise<void>): Promise<Report> {
  const { quick, rounds } = options;
  const gpu = await requestGpu();
  const variants = defaultVariants(gpu.adapterClass);
  const timer = new GpuTimer(gpu);
  const config = quick ? MNIST : CIFAR10;
  const run: Bench = {
    ...{ gpu, timer, config, variants, rounds, quick },
    peers: options.peers,
    parameters: drawnParameters(config),
    roofs: await measureRoofs({ timer, variants, rounds }),
    progress: (text) => Deno.stderr.writeSync(new TextEncoder().encode(`  ${text}\n`)),
  };
  const head = { ...await provenance(), adapter: gpu.adapter, adapterClass: gpu.adapterClass };
  await print(headText({ ...head, rounds, quick }));
  const sections: SectionReport[] = [];
  for (const name of options.only) {
    const section = await SECTIONS[name](run);
    sections.push(section);
    await print(`\n${section.title}\n${section.lines.map((line) => `  ${line}`).join("\n")}\n`);
  }
  await print(`\n${closing(sections, quick)}\n`);
  return { ...head, rounds, quick, sections };
}

function headText(report: Omit<Report, "sections">): string {
  const { cpu, cores, runtime, commit, driver, adapter, adapterClass, rounds, quick } = report;
  return [
    `${adapter} (${adapterClass})${driver === null ? "" : `, ${driver}`}`,
    `${cpu}, ${cores} cores; ${runtime}; commit ${commit}`,
    `medians of ${rounds}${quick ? "; --quick: the small network, no claims" : ""}`,
  ].join("\n") + "\n";
}

function closing(sections: readonly SectionReport[], quick: boolean): string {
  const claims = sections.flatMap((section) => section.claims);
  if (claims.length === 0) return "";
  // The claims are about the full-size network.
  const title = quick ? "What would be claimed" : "Claims";
  return `${title}\n${claimTable(claims).map((line) => `  ${line}`).join("\n")}`;
}

function readOptions(args: Readonly<Record<string, unknown>>): Options {
  const quick = args.quick === true;
  const names = Object.keys(SECTIONS);
  const only = typeof args.only === "string" ? args.only.split(",") : names;
  const unknown = only.find((name) => !names.includes(name));
  if (unknown !== undefined) {
    throw new UsageError(`Expected --only of ${names.join(",")} but got ${unknown}`);
  }
  const rounds = Math.max(3, wholeNumber("rounds", args.rounds, 3));
  return { peers: args.peers === true, quick, rounds, only };
}

/** Runs the bench with its flags; returns the exit code. */
export async function main(given: string[]): Promise<number> {
  const args = parseArgs(given, {
    boolean: ["peers", "quick"],
    string: ["json", "markdown", "only", "rounds"],
    unknown: (arg) => {
      throw new UsageError(`Expected a flag of \`deno task bench --help\` but got ${arg}`);
    },
  });
  let text = "";
  const report = await bench(readOptions(args), async (part) => {
    text += part;
    await Deno.stdout.write(new TextEncoder().encode(part));
  });
  if (typeof args.json === "string") {
    await Deno.writeTextFile(args.json, JSON.stringify(report, null, 1) + "\n");
  }
  if (typeof args.markdown === "string") {
    await Deno.writeTextFile(args.markdown, `# The GPU bench\n\n\`\`\`text\n${text}\`\`\`\n`);
  }
  return 0;
}
