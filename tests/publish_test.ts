/**
 * The package as others get it: what `deno publish` would upload, copied elsewhere, must stand on its own.
 * That mod.ts loads no GPU code is in architecture_test.ts.
 */
import { assertEquals } from "@std/assert";

const root = new URL("..", import.meta.url);
const config: {
  name: string;
  version: string;
  exports: Record<string, string>;
  publish: { include: string[] };
} = JSON.parse(Deno.readTextFileSync(new URL("deno.json", root)));

/** What each entry of the library must offer, by the name that it is exported as. */
const OFFERS: Readonly<Record<string, string>> = {
  ".": "posteriorMean",
  "./math": "normalTensor",
  "./reference": "unet",
  "./oracle": "createOracle",
  "./webgpu": "requestGpu",
};
/** A program, not a library: it may load packages from npm. */
const PROGRAM = "./cli";

async function deno(
  cwd: string | URL,
  args: string[],
  env: Record<string, string> = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  const command = new Deno.Command(Deno.execPath(), { args, cwd, env: { NO_COLOR: "1", ...env } });
  const { code, stdout, stderr } = await command.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

/** Paths, from the project's root, of the files that would be uploaded. Types are the business of `deno task checks`. */
async function published(): Promise<string[]> {
  const { code, stderr } = await deno(root, [
    ...["publish", "--dry-run", "--allow-dirty", "--no-check"],
  ]);
  assertEquals(code, 0, stderr);
  return [...stderr.matchAll(/^ +(file:\S+) \(/gm)].map(([, url]) => url.slice(root.href.length));
}

Deno.test("the files that are published import elsewhere, with no link, no registry and no network", async () => {
  const files = await published();
  const found = new Set(files.map((path) => path.split("/")[0]));
  assertEquals([...found].sort(), config.publish.include.toSorted());

  const folder = await Deno.makeTempDir();
  try {
    for (const path of files) {
      await Deno.mkdir(`${folder}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
      await Deno.copyFile(new URL(path, root), `${folder}/${path}`);
    }
    // JSR keeps no more of the config: neither `imports` nor `links`.
    const { name, version, exports } = config;
    await Deno.writeTextFile(`${folder}/deno.json`, JSON.stringify({ name, version, exports }));
    const entries = Object.keys(exports).filter((entry) => entry !== PROGRAM);
    assertEquals(entries, Object.keys(OFFERS));
    const program = entries.map((entry) =>
      `const { ${OFFERS[entry]} } = await import("${entry.replace(".", name)}");
      console.log("${entry}", typeof ${OFFERS[entry]});`
    );
    await Deno.writeTextFile(`${folder}/import_all.ts`, `{${program.join("}\n{")}}`);
    const { stdout, stderr } = await deno(
      folder,
      ["run", "--no-prompt", "--no-remote", "--no-npm", "--cached-only", "import_all.ts"],
      { DENO_DIR: `${folder}/empty_cache` },
    );
    assertEquals(stdout, entries.map((entry) => `${entry} function\n`).join(""), stderr);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
