/**
 * The examples in the package's entry points: each type-checks and runs as it stands, and what it asserts
 * is so.
 */
import { assertEquals, assertStringIncludes } from "@std/assert";

const root = new URL("..", import.meta.url);

Deno.test("the example of every entry point holds", async () => {
  const { exports }: { exports: Record<string, string> } = JSON.parse(
    await Deno.readTextFile(new URL("deno.json", root)),
  );
  const files = Object.values(exports).filter((path) => path.endsWith("mod.ts"));
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["test", "--doc", "--no-prompt", ...files],
    cwd: root,
    env: { NO_COLOR: "1", ...(Deno.build.os === "linux" ? { DENO_WEBGPU_BACKEND: "vulkan" } : {}) },
  }).output();
  const said = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  assertEquals(code, 0, said);
  assertEquals(said.includes("Assertion failed"), false, said);
  for (const file of files) assertStringIncludes(said, `1 test from ${file}#`);
});
