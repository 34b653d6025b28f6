/** What `interop` says where it cannot get its Python environment. Programs that pretend to be Python play the machine. */
import { assertEquals, assertStringIncludes } from "@std/assert";

/** A Python 3.MINOR whose venv module lacks ensurepip or whose pip finds no network, as Debian's and PyPI's do. */
function pretended(minor: number, ensurepip: boolean): string {
  return `#!/bin/sh
case "$*" in
  "-c import sys"*) echo "3 ${minor}" ;;
  "-m venv "*)
    mkdir -p "$3/bin"; touch "$3/pyvenv.cfg"
    ${
    ensurepip
      ? ""
      : `echo "The virtual environment was not created successfully because ensurepip is not"
    echo "available.  On Debian/Ubuntu systems, you need to install the python3-venv"; echo
    echo "Failing command: $3/bin/python"; exit 1`
  }
    cp "$0" "$3/bin/python" ;;
  "-m pip --version") ;;
  "-m pip install "*)
    echo "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(0)'" >&2
    echo "ERROR: Could not find a version that satisfies the requirement torch (from versions: none)" >&2
    echo "ERROR: No matching distribution found for torch" >&2
    exit 1 ;;
  *) exit 1 ;;
esac
`;
}

async function interop(folder: string, python: string): Promise<{ code: number; lines: string[] }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--no-prompt", "--allow-run", "--allow-read", "--allow-write"],
      ...["src/cli/interop.ts", "--venv", `${folder}/venv`, "--python", python],
    ],
    env: { NO_COLOR: "1" },
  }).output();
  assertEquals(new TextDecoder().decode(stdout), "");
  return { code, lines: new TextDecoder().decode(stderr).trimEnd().split("\n") };
}

Deno.test({
  name: "interop: without Python, its version, ensurepip or a network, one line says so",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    const folder = await Deno.makeTempDir();
    try {
      const python = async (name: string, text: string): Promise<string> => {
        await Deno.writeTextFile(`${folder}/${name}`, text, { mode: 0o755 });
        return `${folder}/${name}`;
      };
      const none = await interop(folder, `${folder}/none`);
      assertEquals([none.code, none.lines.length], [1, 1]);
      assertStringIncludes(none.lines[0], `error: Expected to start ${folder}/none but got: `);
      assertStringIncludes(none.lines[0], "install Python 3.11 to 3.13, or name one with --python");

      const old = await python("old", pretended(9, true));
      assertEquals(await interop(folder, old), {
        code: 1,
        lines: [
          `error: Expected ${old} to be Python 3.11 to 3.13 but got 3.9: name another with --python`,
        ],
      });

      const bare = await python("bare", pretended(12, false));
      assertEquals(await interop(folder, bare), {
        code: 1,
        lines: [
          `Making ${folder}/venv`,
          `error: Expected ${bare} to make ${folder}/venv but got "ensurepip is not available": it ` +
          "lacks a part, which Debian and Ubuntu have as the package python3-venv",
        ],
      });

      // What that one left is no environment, though it looks like one.
      const offline = await interop(folder, await python("offline", pretended(12, true)));
      assertEquals(offline.code, 1);
      assertEquals(offline.lines[0], `Making ${folder}/venv`);
      assertEquals(
        offline.lines.at(-1),
        'error: Expected pip to install adapters/requirements.txt but got "Could not find a version ' +
          'that satisfies the requirement torch (from versions: none)"; the package index could not ' +
          "be reached, and installing needs a network",
      );
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});
