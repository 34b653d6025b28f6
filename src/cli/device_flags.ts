/**
 * The flags that say where to compute, and the backend that they lead to.
 *
 * @module
 */
import { NoAdapterError } from "../webgpu/errors.ts";
import type { Backend } from "./backend.ts";
import type { Flag, FlagValues } from "./flags.ts";
import { REFERENCE } from "./reference_backend.ts";
import { note, UsageError } from "./terminal.ts";

/** Flags of every command that trains or samples. */
export const DEVICE_FLAGS = {
  device: {
    kind: "choice",
    values: ["auto", "webgpu", "cpu"],
    default: "auto",
    help: "What computes: WebGPU if there is an adapter, else the reference.",
  },
  adapter: {
    kind: "text",
    placeholder: "TEXT",
    help: "Take only a WebGPU adapter whose description contains this.",
  },
  power: {
    kind: "choice",
    values: ["low-power", "high-performance"],
    help: "Which kind of WebGPU adapter to prefer.",
  },
  variants: {
    kind: "text",
    placeholder: "FILE",
    help: "A variant table that `tune` wrote (default: the adapter's class's).",
  },
} as const satisfies Record<string, Flag>;

type Recorded = Readonly<Record<string, unknown>>;

/** Values of the device flags. */
export type DeviceFlags = FlagValues<typeof DEVICE_FLAGS>;

/** What matters in the choice besides the flags. */
export interface Circumstances {
  /** Something that was asked for and WebGPU has not. */
  readonly lacking?: string;
  /** Options of the run that goes on. */
  readonly recorded?: Recorded;
}

/** Checks flags that only a WebGPU device takes. @throws {UsageError} if the device is another. */
export function checkDeviceFlags(flags: DeviceFlags): void {
  if (flags.device !== "cpu") return;
  for (const name of ["adapter", "power", "variants"] as const) {
    if (flags[name] !== undefined) {
      throw new UsageError(`Expected --${name} only with --device webgpu or auto but got cpu`);
    }
  }
}

/**
 * The backend that flags ask for. Under `auto` a run that goes on stays where it was made, so that its
 * bytes do; a new one takes WebGPU if there is an adapter. Whatever else it comes to is said in a line.
 *
 * @throws {UsageError} if WebGPU was asked for and lacks what is needed.
 * @throws {NoAdapterError} if WebGPU, or an adapter by name, was asked for and there is none.
 */
export async function openBackend(
  flags: DeviceFlags,
  { lacking, recorded }: Circumstances = {},
): Promise<Backend> {
  const backend = await chosenBackend(flags, lacking, recorded);
  const change = recorded === undefined ? null : changeOf(recorded, backend.record);
  if (change !== null) note(`${change}: the same bytes as without the change are not promised`);
  return backend;
}

async function chosenBackend(
  flags: DeviceFlags,
  lacking: string | undefined,
  recorded: Recorded | undefined,
): Promise<Backend> {
  const { device, adapter, power, variants } = flags;
  if (device === "cpu") return REFERENCE;
  if (lacking !== undefined) {
    if (device === "webgpu") {
      throw new UsageError(`Expected --device cpu or auto for ${lacking} but got webgpu`);
    }
    note(`WebGPU has no ${lacking}: computing with the reference`);
    return REFERENCE;
  }
  const named = adapter !== undefined || power !== undefined || variants !== undefined;
  if (device === "auto" && !named && recorded !== undefined && recorded.device === undefined) {
    note("going on with the reference, as the run began; --device webgpu goes on with WebGPU");
    return REFERENCE;
  }
  try {
    const { openWebGpu } = await import("./webgpu_backend.ts");
    return await openWebGpu({
      adapter,
      powerPreference: power,
      variants,
      recorded: recorded ?? {},
    });
  } catch (error) {
    const wanted = device === "webgpu" || adapter !== undefined;
    if (wanted || !(error instanceof NoAdapterError)) throw error;
    note(
      "no WebGPU adapter: computing with the reference; `deno task setup` tells how to get one",
    );
    return REFERENCE;
  }
}

/** What of a run's options says where it was made. */
export const PLACE_OPTIONS = ["device", "adapter", "variants"] as const;

/** What is no longer as it was for the steps so far; null if nothing. */
function changeOf(before: Recorded, now: Recorded): string | null {
  if (PLACE_OPTIONS.every((name) => before[name] === now[name])) return null;
  const [from, to] = [before, now].map(placeOf);
  return from === to
    ? "trained so far with another variant table"
    : `trained so far ${from}, now ${to}`;
}

function placeOf({ device, adapter }: Recorded): string {
  return device === undefined ? "by the reference" : `on WebGPU (${adapter})`;
}
