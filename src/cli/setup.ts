/**
 * `setup`: makes sure that WebGPU finds an adapter, or says how to get one; where the environment has
 * DDPM_REQUIRE_BROWSER=1, as in CI, the same for a browser.
 *
 * @module
 */
import { type CommandSpec, type Flag, helpText, parseFlags } from "./flags.ts";
import { EXIT, FailureError, note, runCommand, say } from "./terminal.ts";

const SETUP = {
  name: "setup",
  summary: "finds a WebGPU adapter; as root on Debian or Ubuntu, installs a software one if none.",
  flags: {},
  examples: [["deno task setup", "Does nothing where there is an adapter"]],
} as const satisfies CommandSpec<Record<string, Flag>>;

/** What setup needs to know of the machine. */
export interface Machine {
  /** The file that names the operating system. */
  readonly osRelease: string;
  /** The folder of apt's lists of sources. */
  readonly aptSources: string;
  /** The user, 0 for root; null where users have no numbers. */
  readonly uid: number | null;
}

/** Something that must be on the machine. */
interface Need {
  readonly name: string;
  /** What a look at the machine finds, or "". */
  readonly find: () => Promise<string>;
  /** Packages of Debian and Ubuntu that bring it. */
  readonly packages: readonly string[];
  /** Debian releases whose backports hold a newer version that is worth having. */
  readonly backports: readonly string[];
  /** What to do on other systems. */
  readonly elsewhere: string;
}

const ADAPTER: Need = {
  name: "WebGPU adapter",
  find: findAdapter,
  packages: ["mesa-vulkan-drivers", "libvulkan1"],
  backports: ["bookworm"],
  elsewhere: "Install your GPU's Vulkan driver, or Mesa's software one (lavapipe).",
};

const BROWSER: Need = {
  name: "browser",
  find: findBrowser,
  packages: ["chromium"],
  backports: [],
  elsewhere: "Install Chromium.",
};

/**
 * What a fresh process finds: a new one, because an adapter that was just installed is invisible to
 * one that has already asked, and with Vulkan alone on Linux, where an OpenGL adapter of a software
 * renderer would be found but computes too slowly.
 */
async function findAdapter(): Promise<string> {
  const code = "const a = await navigator.gpu?.requestAdapter();" +
    "console.log(a ? a.info.description || a.info.vendor : '');";
  const env = Deno.build.os === "linux" ? { DENO_WEBGPU_BACKEND: "vulkan" } : undefined;
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-config", code],
    env,
    stderr: "null",
  }).output();
  return new TextDecoder().decode(stdout).trim();
}

/** Names of the browsers that the tests can drive. */
const BROWSERS = ["chromium", "chromium-browser", "google-chrome"];

/** The first browser that runs, by its name in PATH; "" if there is none. */
export async function findBrowser(): Promise<string> {
  for (const name of BROWSERS) {
    try {
      const { success } = await new Deno.Command(name, {
        args: ["--version"],
        stdout: "null",
        stderr: "null",
      }).output();
      if (success) return name;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return "";
}

/** The fields of an os-release file, or none where there is no such file. */
async function fieldsOf(osRelease: string): Promise<Map<string, string>> {
  try {
    const text = await Deno.readTextFile(osRelease);
    return new Map(
      [...text.matchAll(/^(\w+)="?([^"\n]*)"?$/gm)].map(([, key, value]) => [key, value]),
    );
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return new Map();
    throw error;
  }
}

async function aptGet(...args: readonly string[]): Promise<boolean> {
  const { success } = await new Deno.Command("apt-get", {
    args: [...args],
    env: { DEBIAN_FRONTEND: "noninteractive" },
    stdout: "null",
    stderr: "inherit",
  }).output();
  return success;
}

/** Installs packages: from the backports of a release, if it is given and they can be had from there. */
async function install(
  packages: readonly string[],
  backportsOf: string | null,
  aptSources: string,
): Promise<boolean> {
  const update = ["update", "-q"], add = ["install", "-q", "-y", "--no-install-recommends"];
  if (backportsOf !== null) {
    const list = `${aptSources}/ddpm-backports.list`, suite = `${backportsOf}-backports`;
    await Deno.writeTextFile(list, `deb http://deb.debian.org/debian ${suite} main\n`);
    if (await aptGet(...update) && await aptGet(...add, "-t", suite, ...packages)) return true;
    await Deno.remove(list);
  }
  return await aptGet(...update) && await aptGet(...add, ...packages);
}

/** Says what there is of a need; if it is missing, installs it or says how to. */
async function provide(need: Need, machine: Machine): Promise<void> {
  const { name, packages } = need;
  const found = await need.find();
  if (found !== "") return say(`${name}: ${found}`);
  const release = await fieldsOf(machine.osRelease);
  const id = release.get("ID") ?? "", codename = release.get("VERSION_CODENAME") ?? "";
  if (!["debian", "ubuntu"].includes(id)) return note(`No ${name} found. ${need.elsewhere}`);
  if (machine.uid !== 0) {
    return note(`No ${name} found. To get one: sudo apt-get install ${packages.join(" ")}`);
  }
  note(`No ${name} found: installing ${packages.join(" and ")}`);
  const backportsOf = id === "debian" && need.backports.includes(codename) ? codename : null;
  if (!await install(packages, backportsOf, machine.aptSources)) {
    throw new FailureError(`Expected apt-get to install ${packages.join(" and ")} but it failed`);
  }
  const now = await need.find();
  if (now === "") {
    throw new FailureError(`Expected a ${name} after installing ${packages[0]} but found none`);
  }
  say(`${name}: ${now}`);
}

/** Runs `setup` with its arguments; returns the exit code. */
export async function setup(
  args: readonly string[],
  machine: Machine = {
    osRelease: "/etc/os-release",
    aptSources: "/etc/apt/sources.list.d",
    uid: Deno.uid(),
  },
): Promise<number> {
  const { help } = parseFlags(SETUP, args);
  if (help) {
    say(helpText(SETUP));
    return EXIT.success;
  }
  await provide(ADAPTER, machine);
  if (Deno.env.get("DDPM_REQUIRE_BROWSER") === "1") await provide(BROWSER, machine);
  return EXIT.success;
}

if (import.meta.main) Deno.exit(await runCommand(setup, Deno.args));
