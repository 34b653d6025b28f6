/**
 * A plan as text and as plain data: every launch, and what all of them come to.
 *
 * @module
 */
import type { Access } from "../webgpu/kernel.ts";
import { type BufferName, liveMaximum, type Plan, type PlannedLaunch } from "../webgpu/plan.ts";

/** Bytes per element of a plan. */
const BYTES = 4;

/** A launch as data. */
export interface ListedLaunch {
  readonly index: number;
  readonly phase: string;
  readonly layer: string;
  readonly kernel: string;
  readonly workgroups: readonly number[];
  readonly flops: number;
  readonly bytes: number;
  /** Sizes, strides and numbers by the names that the shader has for them. */
  readonly params: Readonly<Record<string, number>>;
  readonly operands: readonly {
    readonly access: Access;
    readonly tensor: string;
    readonly buffer: string;
    /** In bytes from the start of the buffer. */
    readonly offset: number;
    readonly bytes: number;
  }[];
}

/** Sums over launches. */
export interface PlanTotals {
  readonly launches: number;
  readonly flops: number;
  readonly bytes: number;
}

/** A plan as data. */
export interface PlanListing {
  readonly launches: readonly ListedLaunch[];
  readonly phases: Readonly<Record<string, PlanTotals>>;
  /** Different shaders among them: what has to be compiled. */
  readonly shaders: number;
  /** Bytes of every buffer that is needed. */
  readonly buffers: Readonly<Partial<Record<BufferName, number>>>;
  /** Bytes of all buffers. */
  readonly allBuffers: number;
  /** The most bytes of the arena that are live at once: no arena can be smaller. */
  readonly liveMaximum: number;
}

const word = new DataView(new ArrayBuffer(4));

/** The words of a launch's `Params` by name, floats as floats. */
function namedParams({ wgsl, params }: PlannedLaunch): Record<string, number> {
  const [, members = ""] = /struct Params \{([^}]*)\}/.exec(wgsl) ?? [];
  const declared = [...members.matchAll(/(\w+): (u32|f32)/g)];
  if (declared.length !== params.length) {
    throw new RangeError(`Expected ${declared.length} params but got ${params.length}`);
  }
  return Object.fromEntries(declared.map(([, name, type], i) => {
    word.setUint32(0, params[i]);
    return [name, type === "f32" ? word.getFloat32(0) : params[i]];
  }));
}

/** A plan as data. */
export function listPlan(plan: Plan): PlanListing {
  const phases: Record<string, PlanTotals> = {};
  for (const { phase, flops, bytes } of plan.launches) {
    const sum = phases[phase] ?? { launches: 0, flops: 0, bytes: 0 };
    phases[phase] = {
      launches: sum.launches + 1,
      flops: sum.flops + flops,
      bytes: sum.bytes + bytes,
    };
  }
  const buffers = Object.entries(plan.sizes).filter(([, size]) => size > 0)
    .map(([name, size]) => [name, size * BYTES]);
  return {
    launches: plan.launches.map((launch, index) => ({
      index,
      phase: launch.phase,
      layer: launch.layer,
      kernel: launch.kernel,
      workgroups: launch.workgroups,
      flops: launch.flops,
      bytes: launch.bytes,
      params: namedParams(launch),
      operands: launch.operands.map(({ tensor, access }) => ({
        access,
        tensor: tensor.label,
        buffer: tensor.buffer,
        offset: tensor.offset * BYTES,
        bytes: tensor.size * BYTES,
      })),
    })),
    phases,
    shaders: new Set(plan.launches.map(({ wgsl }) => wgsl)).size,
    buffers: Object.fromEntries(buffers),
    allBuffers: Object.values(plan.sizes).reduce((sum, size) => sum + size, 0) * BYTES,
    liveMaximum: liveMaximum(plan) * BYTES,
  };
}

/** Bytes as "1.5 MB". */
export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(bytes < 1e5 ? 3 : 1)} MB`;
}

function gigaflops(flops: number): string {
  return `${(flops / 1e9).toFixed(3)} GFLOP`;
}

/** A launch as a line with what it does, one with those of its params that are not 0, and one per tensor. */
function launchText(launch: ListedLaunch): string {
  const { index, phase, layer, kernel, workgroups, flops, bytes, params, operands } = launch;
  const words = Object.entries(params).filter(([, value]) => value !== 0)
    .map(([name, value]) => `${name}=${value}`);
  return [
    `#${index} ${phase}  ${layer}  ${kernel}  ${workgroups.join("×")} workgroups  ` +
    `${gigaflops(flops)}  ${megabytes(bytes)}`,
    `    ${words.join(" ")}`,
    ...operands.map(({ access, tensor, buffer, offset, bytes }) =>
      `    ${access.padEnd(6)} ${buffer} ${offset}..${offset + bytes}  ${tensor}`
    ),
  ].join("\n");
}

/** A listing as text: launches, then totals. */
export function listingText(listing: PlanListing): string {
  const { launches, phases, shaders, buffers, allBuffers } = listing;
  const { arena = 0 } = buffers;
  const live = listing.liveMaximum;
  return [
    ...launches.map(launchText),
    "",
    ...Object.entries(phases).map(([phase, sum]) =>
      `${phase.padEnd(8)} ${String(sum.launches).padStart(5)} launches  ` +
      `${gigaflops(sum.flops)}  ${megabytes(sum.bytes)} read and written`
    ),
    `${shaders} different shaders`,
    "",
    ...Object.entries(buffers).map(([name, bytes]) => `${name.padEnd(11)}${megabytes(bytes)}`),
    `${"together".padEnd(11)}${megabytes(allBuffers)}`,
    `the arena is ${(live === 0 ? 1 : arena / live).toFixed(2)} times what is live at once, ` +
    megabytes(live),
  ].join("\n");
}
