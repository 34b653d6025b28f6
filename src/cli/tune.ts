/**
 * `tune`: measures which kernels the present adapter is fastest with and writes them as a table.
 *
 * @module
 */
import { writeAtomic } from "../data/write_atomic.ts";
import { requestGpu } from "../webgpu/device.ts";
import {
  defaultVariants,
  gemmCandidates,
  gemmName,
  otherCandidates,
  type Variants,
} from "../webgpu/variants.ts";
import { type VariantTable, variantTableToJson } from "../webgpu/variants_file.ts";
import { DEVICE_FLAGS } from "./device_flags.ts";
import { type CommandSpec, type Flag, helpText, parseFlags } from "./flags.ts";
import { chosenNetwork, NETWORK_FLAGS, readVariants } from "./networks.ts";
import { exists } from "./run_folder.ts";
import { EXIT, note, ProgressLine, runCommand, say } from "./terminal.ts";
import {
  type ConvRace,
  fastest,
  raceConvolutions,
  raceNetworks,
  type Times,
  type TuneRequest,
} from "./tuning.ts";

const TUNE = {
  name: "tune",
  summary: "measures which kernels the adapter is fastest with and writes a variant table.",
  flags: {
    ...NETWORK_FLAGS,
    batch: {
      kind: "integer",
      min: 1,
      max: 1024,
      default: 4,
      help: "Images per pass while measuring; the table holds for every batch.",
    },
    training: { kind: "switch", help: "Measure convolutions with their gradients." },
    rounds: {
      kind: "integer",
      min: 1,
      max: 1000,
      default: 5,
      help: "Measurements per candidate; the least time of each launch counts.",
    },
    adapter: DEVICE_FLAGS.adapter,
    power: DEVICE_FLAGS.power,
    out: {
      kind: "text",
      placeholder: "FILE",
      default: "variants.json",
      help: "The table. One that is there keeps its other convolutions, if it is of this adapter.",
    },
  },
  examples: [
    ["deno task tune", "The CIFAR-10 U-Net's forward pass, into variants.json"],
    [
      "deno task tune --preset mnist --training --batch 8 --out mnist.json",
      "A small U-Net, for training",
    ],
    ["deno task train --variants mnist.json", "Train with what was found"],
  ],
} as const satisfies CommandSpec<Record<string, Flag>>;

/** Runs `tune` with its arguments; returns the exit code. */
export async function tune(args: readonly string[]): Promise<number> {
  const { help, values } = parseFlags(TUNE, args);
  if (help) {
    say(helpText(TUNE));
    return EXIT.success;
  }
  const network = await chosenNetwork(values);
  const present = await exists(values.out) ? await readVariants(values.out) : null;
  const gpu = await requestGpu({ adapter: values.adapter, powerPreference: values.power });
  const { adapter, adapterClass } = gpu;
  const progress = new ProgressLine();
  const onProgress = (text: string): void => progress.update(`measuring: ${text}`);
  const request: TuneRequest = { gpu, ...values, ...network, onProgress };
  say(`${adapter} (${adapterClass}), ${network.name} at batch ${values.batch}`);
  const start = defaultVariants(adapterClass);
  const { variants, races } = await measured(request, start);
  progress.finish();
  gpu.device.destroy();
  for (const line of convTable(races)) say(line);
  const kept = present?.adapter === adapter ? present.variants.convolutions : {};
  if (present !== null && present.adapter !== adapter) {
    note(`${values.out} was of ${present.adapter}: written anew`);
  }
  const convolutions = { ...kept, ...variants.convolutions };
  const table: VariantTable = { adapter, adapterClass, variants: { ...variants, convolutions } };
  await writeAtomic(values.out, JSON.stringify(variantTableToJson(table), null, 2) + "\n");
  say(values.out);
  return EXIT.success;
}

/** Products first, then everything else, then the convolutions, each with what was found before. */
async function measured(
  request: TuneRequest,
  start: Variants,
): Promise<{ readonly variants: Variants; readonly races: readonly ConvRace[] }> {
  const { gpu: { adapterClass, device }, onProgress } = request;
  onProgress("matrix products");
  const gemms = new Map(gemmCandidates(adapterClass).map((gemm) => [gemmName(gemm), gemm]));
  const isGemm = (kernel: string): boolean => kernel.startsWith("gemm.");
  const products = await raceNetworks(request, each(gemms, (gemm) => ({ ...start, gemm })), isGemm);
  const gemm = gemms.get(fastest(products, gemmName(start.gemm))) ?? start.gemm;
  say(raceLine("matrix products", products, gemmName(gemm)));
  onProgress("everything else");
  const candidates = otherCandidates(device.features);
  const others = new Map(candidates.map((other) => [other, other]));
  const rest = await raceNetworks(
    request,
    each(others, (other) => ({ ...start, gemm, other })),
    (kernel) => !isGemm(kernel),
  );
  const other = candidates.find((name) => name === fastest(rest, start.other)) ?? start.other;
  say(raceLine("everything else", rest, other));
  const found = { ...start, gemm, other };
  const races = await raceConvolutions(request, found);
  const convolutions = Object.fromEntries(races.map(({ key, chosen }) => [key, chosen]));
  return { variants: { ...found, convolutions }, races };
}

function each<K, A, B>(map: ReadonlyMap<K, A>, f: (value: A) => B): Map<K, B> {
  return new Map([...map].map(([key, value]) => [key, f(value)]));
}

function raceLine(what: string, times: Times, chosen: string): string {
  const all = [...times].map(([name, ms]) =>
    `${name} ${ms.toFixed(1)} ms${name === chosen ? " *" : ""}`
  );
  return `${what}: ${all.join(", ")}`;
}

/** Times of all candidates, the chosen one with a star, "!" where it is not the default. */
function convTable(races: readonly ConvRace[]): string[] {
  const names = [...new Set(races.flatMap(({ times }) => [...times.keys()]))];
  const rows = races.map(({ key, count, times, soFar, chosen }) => [
    key,
    `${count}x`,
    ...names.map((name) => {
      const ms = times.get(name);
      return ms === undefined ? "" : `${ms.toFixed(2)} ${name === chosen ? "*" : " "}`;
    }),
    chosen === soFar ? "" : "!",
  ]);
  const all = [["convolution", "", ...names.map((name) => `${name}, ms  `), ""], ...rows];
  const widths = all[0].map((_, i) => Math.max(...all.map((row) => row[i].length)));
  return all.map((row) =>
    row.map((cell, i) => i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])).join("  ")
      .trimEnd()
  );
}

if (import.meta.main) Deno.exit(await runCommand(tune, Deno.args));
