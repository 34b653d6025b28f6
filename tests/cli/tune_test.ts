import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { convLayers } from "../../src/webgpu/conv_layers.ts";
import { convCandidates, convKey } from "../../src/webgpu/variants.ts";
import { parseConvKey, variantTableFromJson } from "../../src/webgpu/variants_file.ts";
import { fastest } from "../../src/cli/tuning.ts";
import { gpuTest } from "../webgpu/gpu_test.ts";
import { cli, inFolder, MICRO } from "./support.ts";

const FLAGS = ["tune", "--config", "unet.json", "--batch", "1", "--rounds", "1", "--out", "t.json"];

async function table(folder: string) {
  return variantTableFromJson(JSON.parse(await Deno.readTextFile(`${folder}/t.json`)));
}

Deno.test("fastest takes the fastest candidate, or the choice so far where nothing is clearly faster", () => {
  const times = (a: number, b: number, c: number) => new Map([["a", a], ["b", b], ["c", c]]);
  assertEquals(fastest(times(3, 1, 2), "a"), "b");
  assertEquals(fastest(times(3, 1, 2), "b"), "b");
  assertEquals(fastest(times(1, 0.98, 2), "a"), "a");
  assertEquals(fastest(times(1, 0.96, 2), "a"), "b");
  assertEquals(fastest(times(3, 2, 1), "unknown"), "c");
});

gpuTest(
  "tune writes a table with every convolution of the network, which a plan then follows",
  async () => {
    await inFolder(async (folder) => {
      const { code, stdout, stderr } = await cli(folder, ...FLAGS);
      assertEquals(code, 0, stderr);
      const tuned = await table(folder);
      const { convolutions } = tuned.variants;
      const keys = convLayers(MICRO, 8, 8).map(({ layer }) => convKey(layer));
      assertEquals(Object.keys(convolutions).sort(), [...new Set(keys)].sort());
      for (const key of keys) {
        const line = stdout.split("\n").find((line) => line.startsWith(`${key} `)) ?? "";
        const measured = line.match(/\d+\.\d\d( \*)?/g) ?? [];
        assertEquals(measured.length, convCandidates(parseConvKey(key)).length, line);
        assertEquals(measured.filter((time) => time.endsWith("*")).length, 1, line);
      }
      assertStringIncludes(stdout, tuned.adapter);

      const changed = Object.fromEntries(keys.map((key) => [key, "im2col"]));
      const json = JSON.parse(await Deno.readTextFile(`${folder}/t.json`));
      json.convolutions = changed;
      await Deno.writeTextFile(`${folder}/changed.json`, JSON.stringify(json));
      const plan = await cli(
        folder,
        ...["info", "--plan", "--config", "unet.json", "--variants", "changed.json"],
      );
      assertEquals(plan.code, 0, plan.stderr);
      assertMatch(plan.stdout, /im2col/);
      assert(!plan.stdout.includes("winograd"), "the table is followed");
    });
  },
);

gpuTest("tune keeps a table's other convolutions, unless it is of another adapter", async () => {
  await inFolder(async (folder) => {
    await cli(folder, ...FLAGS);
    const json = JSON.parse(await Deno.readTextFile(`${folder}/t.json`));
    const foreign = "conv3x3/1 999->999 @4x4";
    const write = (changes: Record<string, unknown>) =>
      Deno.writeTextFile(
        `${folder}/t.json`,
        JSON.stringify({ ...json, convolutions: { [foreign]: "winograd2" }, ...changes }),
      );
    await write({});
    assertEquals((await cli(folder, ...FLAGS)).code, 0);
    assertEquals((await table(folder)).variants.convolutions[foreign], "winograd2");
    await write({ adapter: "another" });
    const { code, stderr } = await cli(folder, ...FLAGS);
    assertEquals(code, 0);
    assertStringIncludes(stderr, "t.json was of another: written anew");
    assertEquals(foreign in (await table(folder)).variants.convolutions, false);
  });
});

/** Command lines that cannot work, the exit code, and what the one line on stderr says. */
const CASES: readonly (readonly [args: string[], code: 1 | 2, message: string])[] = [
  [["--rounds", "0"], 2, "Expected --rounds to be an integer in 1..1000 but got 0"],
  [["--config", "none.json"], 1, "Expected a U-Net config in none.json"],
  [["--preset", "mnist-tiny", "--out", "unet.json"], 1, "Expected a variant table in unet.json"],
];

Deno.test("a tune that cannot work ends in one sentence and the right exit code", async () => {
  await inFolder(async (folder) => {
    for (const [args, code, message] of CASES) {
      const found = await cli(folder, "tune", ...args);
      assertEquals([found.code, found.stdout], [code, ""], args.join(" "));
      assertStringIncludes(found.stderr, message);
      assertMatch(found.stderr, /^error: [^\n]+\n$/);
    }
  });
});
