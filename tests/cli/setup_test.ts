/**
 * `setup` on machines made up of a folder: its PATH, its Vulkan drivers, its apt-get, which writes down
 * what it is told and "installs" by putting a file in place.
 */
import { assertEquals, assertMatch } from "@std/assert";

const SETUP = new URL("../../src/cli/setup.ts", import.meta.url).href;
const TERMINAL = new URL("../../src/cli/terminal.ts", import.meta.url).href;
const ROOT = new URL("../..", import.meta.url);

/** The description of Mesa's software driver, by which the Vulkan loader finds it; null without one. */
function softwareDriver(): string | null {
  const folder = "/usr/share/vulkan/icd.d";
  try {
    const found = [...Deno.readDirSync(folder)].find(({ name }) => name.startsWith("lvp_icd"));
    return found === undefined ? null : `${folder}/${found.name}`;
  } catch {
    return null;
  }
}
const lavapipe = softwareDriver();

const BOOKWORM = 'PRETTY_NAME="Debian 12"\nID=debian\nVERSION_CODENAME=bookworm\n';
const UBUNTU = "ID=ubuntu\nVERSION_CODENAME=noble\n";
const FEDORA = 'ID="fedora"\n';

const UPDATE = "update -q", INSTALL = "install -q -y --no-install-recommends";
const MESA = "mesa-vulkan-drivers libvulkan1";

/** A made-up machine. */
class FakeMachine {
  constructor(readonly folder: string) {}

  get #driver(): string {
    return `${this.folder}/driver.json`;
  }

  async addDriver(): Promise<void> {
    await Deno.copyFile(lavapipe as string, this.#driver);
  }

  async program(name: string, script: string): Promise<void> {
    const path = `${this.folder}/bin/${name}`;
    await Deno.writeTextFile(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  }

  /** An apt-get that fails for arguments that match `refused`. */
  async apt(refused = "nothing"): Promise<void> {
    await this.program(
      "apt-get",
      `echo "$*" >> ${this.folder}/calls
case "$*" in
  ${refused}) exit 100 ;;
  *mesa*) /bin/cp ${lavapipe} ${this.#driver} ;;
  *chromium*) /bin/ln -s /bin/true ${this.folder}/bin/chromium ;;
esac`,
    );
  }

  /** The arguments of all calls of apt-get so far. */
  async calls(): Promise<string[]> {
    const lines = await Deno.readTextFile(`${this.folder}/calls`).catch(() => "");
    return lines.trimEnd().split("\n").filter((line) => line !== "");
  }

  /** Contents of the folder of apt's lists. */
  async lists(): Promise<string[]> {
    const folder = `${this.folder}/sources`;
    const names = [...Deno.readDirSync(folder)].map(({ name }) => name);
    return await Promise.all(names.map((name) => Deno.readTextFile(`${folder}/${name}`)));
  }

  async deno(args: readonly string[], env: Record<string, string> = {}) {
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [...args],
      cwd: ROOT,
      env: {
        ...{ PATH: `${this.folder}/bin`, VK_DRIVER_FILES: this.#driver, NO_COLOR: "1" },
        ...{ DDPM_REQUIRE_BROWSER: "", ...env },
      },
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { code, stdout: text(stdout), stderr: text(stderr) };
  }

  /** Runs setup as a user on an operating system. */
  async setup(osRelease: string, uid: number, env: Record<string, string> = {}) {
    await Deno.writeTextFile(`${this.folder}/os-release`, osRelease);
    const machine = {
      osRelease: `${this.folder}/os-release`,
      aptSources: `${this.folder}/sources`,
      uid,
    };
    const program = `import { setup } from "${SETUP}"; import { runCommand } from "${TERMINAL}";
      Deno.exit(await runCommand((args) => setup(args, ${JSON.stringify(machine)}), []));`;
    return await this.deno(["eval", program], env);
  }
}

function machineTest(name: string, test: (machine: FakeMachine) => Promise<void>): void {
  Deno.test({
    name,
    ignore: Deno.build.os !== "linux" || lavapipe === null,
    fn: async () => {
      const folder = await Deno.makeTempDir();
      try {
        await Deno.mkdir(`${folder}/bin`);
        await Deno.mkdir(`${folder}/sources`);
        await test(new FakeMachine(folder));
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    },
  });
}

machineTest(
  "setup says what it finds and changes nothing, with the task's permissions",
  async (machine) => {
    await machine.apt();
    await machine.addDriver();
    await machine.program("chromium", "");
    const { tasks } = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT)));
    const [program, ...args]: string[] = tasks.setup.command.split(" ");
    assertEquals(program, "deno");
    const { code, stdout, stderr } = await machine.deno(args, { DDPM_REQUIRE_BROWSER: "1" });
    assertEquals([code, stderr], [0, ""]);
    assertMatch(stdout, /^WebGPU adapter: llvmpipe.*\nbrowser: chromium\n$/);
    assertEquals(await machine.calls(), []);
  },
);

machineTest("setup installs Mesa from backports as root on bookworm, once", async (machine) => {
  await machine.apt();
  const { code, stdout, stderr } = await machine.setup(BOOKWORM, 0);
  assertEquals(
    [code, stderr],
    [0, "No WebGPU adapter found: installing mesa-vulkan-drivers and libvulkan1\n"],
  );
  assertMatch(stdout, /^WebGPU adapter: llvmpipe.*\n$/);
  const calls = [UPDATE, `${INSTALL} -t bookworm-backports ${MESA}`];
  assertEquals(await machine.calls(), calls);
  const list = "deb http://deb.debian.org/debian bookworm-backports main\n";
  assertEquals(await machine.lists(), [list]);

  assertEquals((await machine.setup(BOOKWORM, 0)).stdout, stdout);
  assertEquals(await machine.calls(), calls);
});

machineTest("setup takes the release's own Mesa where backports cannot be had", async (machine) => {
  await machine.apt("*-backports*");
  const { code } = await machine.setup(BOOKWORM, 0);
  assertEquals(code, 0);
  assertEquals(await machine.calls(), [
    ...[UPDATE, `${INSTALL} -t bookworm-backports ${MESA}`],
    ...[UPDATE, `${INSTALL} ${MESA}`],
  ]);
  assertEquals(await machine.lists(), []);
});

machineTest("setup installs from the release itself on Ubuntu", async (machine) => {
  await machine.apt();
  assertEquals((await machine.setup(UBUNTU, 0)).code, 0);
  assertEquals(await machine.calls(), [UPDATE, `${INSTALL} ${MESA}`]);
  assertEquals(await machine.lists(), []);
});

machineTest("setup prints the one command to a user who is not root", async (machine) => {
  await machine.apt();
  const message = `No WebGPU adapter found. To get one: sudo apt-get install ${MESA}\n`;
  assertEquals(await machine.setup(BOOKWORM, 1000), { code: 0, stdout: "", stderr: message });
  assertEquals(await machine.calls(), []);
});

machineTest("setup says what to look for on other systems", async (machine) => {
  const { code, stdout, stderr } = await machine.setup(FEDORA, 0);
  assertEquals([code, stdout], [0, ""]);
  assertMatch(stderr, /^No WebGPU adapter found\. Install your GPU's Vulkan driver/);
});

machineTest("setup fails in one sentence where apt-get does", async (machine) => {
  await machine.apt("install*");
  const { code, stdout, stderr } = await machine.setup(UBUNTU, 0);
  assertEquals([code, stdout], [1, ""]);
  const expected = "error: Expected apt-get to install mesa-vulkan-drivers and libvulkan1";
  assertEquals(stderr.split("\n").slice(1), [`${expected} but it failed`, ""]);
});

machineTest(
  "setup installs Chromium where a browser is required, from the release itself",
  async (machine) => {
    await machine.apt();
    await machine.addDriver();
    assertEquals((await machine.setup(BOOKWORM, 0)).code, 0);
    assertEquals(await machine.calls(), []);
    const { code, stdout } = await machine.setup(BOOKWORM, 0, { DDPM_REQUIRE_BROWSER: "1" });
    assertEquals(code, 0);
    assertMatch(stdout, /\nbrowser: chromium\n$/);
    assertEquals(await machine.calls(), [UPDATE, `${INSTALL} chromium`]);
    assertEquals(await machine.lists(), []);
  },
);
