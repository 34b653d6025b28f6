/**
 * `deno task test [PATHS]`: runs the tests, all but tests/slow, and closes with what counts: how many passed and failed, and
 * how many GPU tests did not run for want of an adapter.
 *
 * @module
 */
const PERMISSIONS = [
  "--allow-read",
  "--allow-write",
  "--allow-env",
  "--allow-run",
  "--allow-sys",
  "--allow-net=127.0.0.1",
];

const given = Deno.args.some((arg) => !arg.startsWith("-"));
const child = new Deno.Command(Deno.execPath(), {
  args: ["test", ...PERMISSIONS, ...Deno.args, ...(given ? [] : ["--ignore=tests/slow", "tests"])],
  stdout: "piped",
}).spawn();

// Deno closes with a line like: ok | 672 passed (45 steps) | 0 failed | 12 ignored (7m12s)
let tail = "";
const decoder = new TextDecoder();
for await (const chunk of child.stdout) {
  await Deno.stdout.write(chunk);
  tail = (tail + decoder.decode(chunk, { stream: true })).slice(-10_000);
}
const { code } = await child.status;
const count = (what: string): number =>
  Number(
    [...tail.matchAll(new RegExp(`\\| *(?:\\x1b\\[\\d+m)?(\\d+) ${what}`, "g"))].at(-1)?.[1] ?? 0,
  );

const line = (text: string): void => {
  Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
};
if (Deno.build.os === "linux") Deno.env.set("DENO_WEBGPU_BACKEND", "vulkan");
const ignored = count("ignored");
if (ignored > 0 && await navigator.gpu?.requestAdapter() == null) {
  line(`${ignored} GPU tests did not run: there is no WebGPU adapter (see deno task setup)`);
} else if (ignored > 0) {
  line(`${ignored} tests did not run: what they need is not installed, as lines above say`);
}
const passed = count("passed"), failed = count("failed");
line(`${passed} passed, ${failed === 0 && code !== 0 ? 1 : failed} failed`);
Deno.exit(code);
