/** The command, and the examples of docs/vectors.md. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { cli, type Outcome } from "../cli/support.ts";

const docs = Deno.readTextFileSync(new URL("../../docs/vectors.md", import.meta.url));

async function inEmptyFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Runs a Python program in a folder. */
async function python(folder: string, program: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("python3", {
    args: ["-I", "-c", program],
    cwd: folder,
  }).output();
  assert(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

/** The examples of the document in Python. */
const [answering, reading] = [...docs.matchAll(/```python\n(.*?)```/gs)].map(([, code]) => code);

Deno.test("vectors writes a folder, checks it, and says in a line what is wrong with it", async () => {
  await inEmptyFolder(async (folder) => {
    const written = await cli(folder, "vectors", "--ops", "ema_step,schedule", "--out", "a/b");
    assertEquals([written.code, written.stderr], [0, ""]);
    assertStringIncludes(written.stdout, "4 files");
    const names = [...Deno.readDirSync(`${folder}/a/b`)].map(({ name }) => name).sort();
    assertEquals(names, ["ema_step.json", "manifest.json", "schedule.json", "tensors.safetensors"]);
    const fine = await cli(folder, "vectors", "--check", "a/b");
    assertEquals([fine.code, fine.stderr], [0, ""]);
    assertStringIncludes(fine.stdout, "verdict: conforms");

    await Deno.remove(`${folder}/a/b/schedule.json`);
    await Deno.writeTextFile(`${folder}/a/b/tensors.safetensors`, "short");
    const damaged = await cli(folder, "vectors", "--check", "a/b");
    assertEquals(damaged.code, 2);
    assertEquals(
      damaged.stderr.replaceAll(/[0-9a-f]{64}/g, "…"),
      "error: a/b: Expected schedule.json but there is none\n" +
        "error: a/b: Expected tensors.safetensors of SHA-256 … but got …\n",
    );
    await Deno.writeTextFile(`${folder}/a/b/manifest.json`, "{");
    const broken = await cli(folder, "vectors", "--check", "a/b");
    assertEquals(broken.code, 2);
    assertEquals(broken.stderr.split("\n").length, 2, broken.stderr);
    assertStringIncludes(broken.stderr, "error: a/b: Expected manifest.json to be JSON but got");
  });
});

Deno.test("the Python of the document answers vectors, reads the tensors, and a mistake in it is found", async () => {
  assertEquals(answering.trimEnd().split("\n").length, 10);
  await inEmptyFolder(async (folder) => {
    await cli(folder, "vectors", "--ops", "ema_step,q_step,schedule");
    await python(folder, answering);
    const right = await cli(folder, "vectors", "--check", "vectors");
    assertEquals([right.code, right.stderr], [0, ""]);
    assert(/^ema_step +60 +conforms/m.test(right.stdout), right.stdout);
    assert(
      /^q_step +- +not covered +- +no answers\/q_step.jsonl/m.test(right.stdout),
      right.stdout,
    );
    await python(folder, answering.replace("d * e + (1 - d) * p", "d * p + (1 - d) * e"));
    const wrong = await cli(folder, "vectors", "--check", "vectors");
    assertEquals([wrong.code, wrong.stderr], [1, ""]);
    assert(/^ema_step: .*of 60 deviate\)/m.test(wrong.stdout), wrong.stdout);

    // ᾱ_1 = 1 − 1e-4 and ᾱ_1000 = 4.0358e-5 of the paper's schedule.
    const printed = await python(
      folder,
      `${reading}\nprint(len(alpha_bar), alpha_bar[0], alpha_bar[-1])`,
    );
    const [length, first, last] = printed.split(" ").map(Number);
    assertEquals([length, Math.fround(first)], [1000, Math.fround(0.9999)]);
    assertEquals(last.toExponential(3), "4.036e-5");
  });
});

Deno.test("wrong command lines are refused with code 2 in a line", async () => {
  await inEmptyFolder(async (folder) => {
    const cases: [string[], string][] = [
      [["--ops", "q_smaple"], "q_smaple"],
      [["--ops", ","], "operations after --ops"],
      [["--check", "nowhere"], "--check to be a folder but got nowhere"],
      [["--check", ".", "--seed", "3"], "--check or --seed"],
      [["--precision", "f16"], "--check with --precision"],
      [["--check", "."], "Expected a manifest.json but there is none"],
    ];
    for (const [args, says] of cases) {
      const { code, stdout: out, stderr: err }: Outcome = await cli(folder, "vectors", ...args);
      assertEquals([code, out], [2, ""], err);
      assertStringIncludes(err, says);
      assertEquals(err.split("\n").length, 2, err);
    }
    assertEquals([...Deno.readDirSync(folder)], []);
  });
});
