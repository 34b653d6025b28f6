import { cpus } from "node:os";

/** Where and from what a bench's figures come. */
export interface Provenance {
  readonly cpu: string;
  readonly cores: number;
  readonly runtime: string;
  /** Mesa's version where the system's package list has it; WebGPU itself does not tell. */
  readonly driver: string | null;
  readonly commit: string;
  readonly date: string;
}

/** The machine's name, the runtime's version, and the commit that is checked out ("+" if files differ). */
export async function provenance(): Promise<Provenance> {
  return {
    cpu: cpuName(),
    cores: navigator.hardwareConcurrency,
    runtime: `Deno ${Deno.version.deno}, V8 ${Deno.version.v8}`,
    driver: driver(),
    commit: await commit(),
    date: new Date().toISOString(),
  };
}

function cpuName(): string {
  return cpus()[0]?.model ?? `${Deno.build.arch} on ${Deno.build.os} (no name given)`;
}

function driver(): string | null {
  try {
    const list = Deno.readTextFileSync("/var/lib/dpkg/status");
    const entry = list.match(/^Package: mesa-vulkan-drivers$[\s\S]*?^Version: (.*)$/m);
    return entry === null ? null : `Mesa ${entry[1]}`;
  } catch {
    return null;
  }
}

async function commit(): Promise<string> {
  const git = async (...args: string[]): Promise<string> => {
    const { stdout } = await new Deno.Command("git", { args }).output();
    return new TextDecoder().decode(stdout).trim();
  };
  try {
    const changed = await git("status", "--porcelain", "--untracked-files=no");
    return await git("rev-parse", "--short", "HEAD") + (changed === "" ? "" : "+");
  } catch {
    return "unknown";
  }
}
