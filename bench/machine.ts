/** Where and from what a bench's figures come. */
export interface Provenance {
  readonly cpu: string;
  readonly cores: number;
  readonly runtime: string;
  readonly commit: string;
  readonly date: string;
}

/** The machine's name, the runtime's version, and the commit that is checked out ("+" if files differ). */
export async function provenance(): Promise<Provenance> {
  return {
    cpu: cpuName(),
    cores: navigator.hardwareConcurrency,
    runtime: `Deno ${Deno.version.deno}, V8 ${Deno.version.v8}`,
    commit: await commit(),
    date: new Date().toISOString(),
  };
}

function cpuName(): string {
  try {
    const names = Deno.readTextFileSync("/proc/cpuinfo").match(/^model name\s*: (.*)$/m);
    return names?.[1] ?? `${Deno.build.arch} (no name given)`;
  } catch {
    return `${Deno.build.arch} on ${Deno.build.os}`;
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
