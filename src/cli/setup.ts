/**
 * `setup`: makes sure that WebGPU finds an adapter, or says how to get one.
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

const PACKAGES = ["mesa-vulkan-drivers", "libvulkan1"];
/** Debian releases whose backports hold a newer Mesa than the release itself. */
const WITH_BACKPORTS = ["bookworm"];
const SOURCES = "/etc/apt/sources.list.d/ddpm-backports.list";

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
    args: ["eval", "--no-lock", code],
    env,
    stderr: "null",
  }).output();
  return new TextDecoder().decode(stdout).trim();
}

/** The fields of /etc/os-release, or none where there is no such file. */
async function osRelease(): Promise<Map<string, string>> {
  try {
    const text = await Deno.readTextFile("/etc/os-release");
    return new Map(
      [...text.matchAll(/^(\w+)="?([^"\n]*)"?$/gm)].map(([, key, value]) => [key, value]),
    );
  } catch {
    return new Map();
  }
}

async function aptGet(...args: string[]): Promise<boolean> {
  const { success } = await new Deno.Command("apt-get", {
    args,
    env: { DEBIAN_FRONTEND: "noninteractive" },
    stdout: "null",
    stderr: "inherit",
  }).output();
  return success;
}

/** Installs Mesa's software Vulkan driver, from backports where that is newer. */
async function install(codename: string): Promise<boolean> {
  const backports = WITH_BACKPORTS.includes(codename);
  if (backports) {
    await Deno.writeTextFile(
      SOURCES,
      `deb http://deb.debian.org/debian ${codename}-backports main\n`,
    );
  }
  if (!await aptGet("update", "-q")) return false;
  const from = backports ? ["-t", `${codename}-backports`] : [];
  const arguments_ = ["install", "-q", "-y", "--no-install-recommends"];
  return await aptGet(...arguments_, ...from, ...PACKAGES) ||
    await aptGet(...arguments_, ...PACKAGES);
}

/** Runs `setup` with its arguments; returns the exit code. */
export async function setup(args: readonly string[]): Promise<number> {
  const { help } = parseFlags(SETUP, args);
  if (help) {
    say(helpText(SETUP));
    return EXIT.success;
  }
  const found = await findAdapter();
  if (found !== "") {
    say(`WebGPU adapter: ${found}`);
    return EXIT.success;
  }
  const release = await osRelease();
  const debian = ["debian", "ubuntu"].includes(release.get("ID") ?? "");
  const command = `apt-get install ${PACKAGES.join(" ")}`;
  if (!debian || Deno.uid() !== 0) {
    note(
      debian
        ? `No WebGPU adapter found. To get a software one: sudo ${command}`
        : "No WebGPU adapter found. Install your GPU's Vulkan driver, or Mesa's software one (lavapipe).",
    );
    return EXIT.success;
  }
  note(
    `No WebGPU adapter found: installing Mesa's software Vulkan driver (${PACKAGES.join(", ")})`,
  );
  if (!await install(release.get("VERSION_CODENAME") ?? "")) {
    throw new FailureError(`Expected apt-get to install ${PACKAGES.join(" and ")} but it failed`);
  }
  const now = await findAdapter();
  if (now === "") {
    throw new FailureError("Expected an adapter after installing Mesa but found none");
  }
  say(`WebGPU adapter: ${now}`);
  return EXIT.success;
}

if (import.meta.main) Deno.exit(await runCommand(setup, Deno.args));
