/**
 * `info`: what the adapter is and can do, and what a network's plan consists of.
 *
 * @module
 */
import { unetParameterCount } from "../spec/unet_parameters.ts";
import { type AdapterClass, type DeviceOptions, type Gpu, requestGpu } from "../webgpu/device.ts";
import { NoAdapterError } from "../webgpu/errors.ts";
import { trainingPlan, unetPlan } from "../webgpu/unet_plan.ts";
import { defaultVariants, type Variants } from "../webgpu/variants.ts";
import { DEVICE_FLAGS } from "./device_flags.ts";
import {
  type CommandSpec,
  type Flag,
  type FlagValues,
  helpText,
  type Parsed,
  parseFlags,
} from "./flags.ts";
import { chosenNetwork, NETWORK_FLAGS, readVariants } from "./networks.ts";
import { listingText, listPlan } from "./plan_listing.ts";
import { EXIT, note, runCommand, say, UsageError } from "./terminal.ts";

/** Limits that decide which models and kernels fit. */
const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxUniformBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupsPerDimension",
  "minStorageBufferOffsetAlignment",
] as const;

const INFO = {
  name: "info",
  summary: "says what the WebGPU adapter is, or lists the plan of a network.",
  flags: {
    plan: { kind: "switch", help: "List every launch of a network's plan, and its memory." },
    ...NETWORK_FLAGS,
    class: {
      kind: "choice",
      values: ["software", "integrated", "discrete"],
      help: "Class of adapter to plan for (default: the adapter's, or software without one).",
    },
    variants: {
      kind: "text",
      placeholder: "FILE",
      help: "A table that `tune` wrote, to plan with.",
    },
    adapter: DEVICE_FLAGS.adapter,
    power: DEVICE_FLAGS.power,
    json: { kind: "switch", help: "The same as JSON." },
  },
  examples: [
    ["deno task info", "The adapter, its limits and features"],
    ["deno task info --plan --training --batch 8", "Every launch of the CIFAR-10 training step"],
    [
      "deno task info --plan --preset mnist --class discrete --json",
      "A plan for a discrete GPU, which need not be there",
    ],
  ],
} as const satisfies CommandSpec<Record<string, Flag>>;

type InfoValues = FlagValues<typeof INFO.flags>;

/** Runs `info` with its arguments; returns the exit code. */
export async function info(args: readonly string[]): Promise<number> {
  const parsed = parseFlags(INFO, args);
  if (parsed.help) {
    say(helpText(INFO));
    return EXIT.success;
  }
  const { values } = parsed;
  checkPlanFlags(parsed);
  say(values.plan ? await planText(values) : await adapterText(values));
  return EXIT.success;
}

function checkPlanFlags({ values, given }: Parsed<typeof INFO.flags>): void {
  if (values.plan) return;
  const always = ["json", "adapter", "power"];
  const lone = [...given].find((name) => !always.includes(name));
  if (lone !== undefined) throw new UsageError(`Expected --${lone} only with --plan`);
}

async function adapterText(values: InfoValues): Promise<string> {
  const { device, adapter, adapterClass } = await requestGpu(deviceOptions(values));
  const raw = await navigator.gpu.requestAdapter({ powerPreference: values.power });
  const offered = raw?.limits ?? device.limits;
  const features = [...raw?.features ?? []].sort();
  const limits = LIMITS.map((name) => ({
    name,
    adapter: offered[name],
    requested: device.limits[name],
  }));
  const used = features.filter((f) => device.features.has(f));
  device.destroy();
  if (values.json) {
    return JSON.stringify({ adapter, adapterClass, limits, features, used }, null, 2);
  }
  const number = (value: number): string => value.toLocaleString("en").padStart(15);
  return [
    `adapter   ${adapter}`,
    `class     ${adapterClass}`,
    `features  ${features.join(", ")}`,
    `in use    ${used.join(", ") || "none of them"}`,
    "",
    `${"limit".padEnd(34)}${"adapter".padStart(15)}${"requested".padStart(15)}`,
    ...limits.map((limit) =>
      limit.name.padEnd(34) + number(limit.adapter) + number(limit.requested)
    ),
  ].join("\n");
}

function deviceOptions({ adapter, power }: InfoValues): DeviceOptions {
  return { adapter, powerPreference: power };
}

async function planText(values: InfoValues): Promise<string> {
  const { name, config, height, width } = await chosenNetwork(values);
  const { batch, training, json } = values;
  const { adapterClass, variants } = await plannedVariants(values);
  const request = { config, batch, height, width, variants };
  const { plan } = training ? trainingPlan(request) : unetPlan({ ...request, streamed: true });
  const listing = listPlan(plan);
  const parameters = unetParameterCount(config);
  if (json) {
    const head = { network: name, parameters, batch, height, width, training, adapterClass };
    return JSON.stringify({ ...head, variants, ...listing }, null, 1);
  }
  return [
    `${name}: ${parameters.toLocaleString("en")} parameters, ` +
    `${training ? "training step" : "forward pass"} at batch ${batch}, ${height}×${width}, ` +
    `planned for a ${adapterClass} adapter`,
    "",
    listingText(listing),
  ].join("\n");
}

async function plannedVariants(
  values: InfoValues,
): Promise<{ adapterClass: AdapterClass; variants: Variants }> {
  if (values.variants !== undefined) {
    if (values.class !== undefined) {
      throw new UsageError("Expected --class or --variants, which has a class, but got both");
    }
    return await readVariants(values.variants);
  }
  const adapterClass = values.class ?? await presentClass(deviceOptions(values));
  return { adapterClass, variants: defaultVariants(adapterClass) };
}

/** The class of the adapter that is there; a plan needs none. */
async function presentClass(options: DeviceOptions): Promise<AdapterClass> {
  let gpu: Gpu;
  try {
    gpu = await requestGpu(options);
  } catch (error) {
    if (!(error instanceof NoAdapterError) || options.adapter !== undefined) throw error;
    note("no WebGPU adapter: planned for a software one; choose another by --class");
    return "software";
  }
  gpu.device.destroy();
  return gpu.adapterClass;
}

if (import.meta.main) Deno.exit(await runCommand(info, Deno.args));
