import { assertEquals, assertNotEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { parseShard, shardName, shardRange } from "../../src/cli/shard.ts";
import { UsageError } from "../../src/cli/terminal.ts";
import { encodeNpz } from "../../src/data/npz.ts";
import { encodeCheckpoint } from "../../src/spec/checkpoint.ts";
import { liveParameters } from "../webgpu/networks.ts";
import { cli } from "./support.ts";
import {
  arraysOf,
  imagesByNumber,
  liveCheckpoint,
  MICRO_CLASSES,
  sampled,
  withModels,
} from "./sample_models.ts";

Deno.test("a part is k of n, and nothing else", () => {
  assertEquals(parseShard("0/1"), { index: 0, of: 1 });
  assertEquals(parseShard("11/12"), { index: 11, of: 12 });
  for (const text of ["3/3", "1/0", "0/5000", "-1/3", "1", "1/2/3", "1.0/2", "a/b", "", " 0/3"]) {
    assertThrows(() => parseShard(text), UsageError, `but got ${text}`);
  }
});

Deno.test("parts are ranges that follow each other, differ by one at most and cover the run", () => {
  for (const [first, count, of] of [[0, 10, 3], [5, 7, 7], [2, 64, 5], [0, 1, 1]]) {
    const parts = Array.from(
      { length: of },
      (_, index) => shardRange({ index, of }, { first, count }),
    );
    const numbers = parts.flatMap((part) =>
      Array.from({ length: part.count }, (_, n) => part.first + n)
    );
    assertEquals(numbers, Array.from({ length: count }, (_, n) => first + n));
    const counts = parts.map((part) => part.count);
    assertEquals(Math.max(...counts) - Math.min(...counts) <= 1, true);
  }
  assertThrows(
    () => shardRange({ index: 0, of: 5 }, { first: 0, count: 4 }),
    UsageError,
    "Expected --shard k/n with n of at most 4, the samples, but got 5",
  );
});

Deno.test("the name of a part's file says which it is, before its extension", () => {
  const shard = { index: 2, of: 13 };
  assertEquals(shardName("runs/a.b/grid.png", shard), "runs/a.b/grid.2-of-13.png");
  assertEquals(shardName("runs/a.b/grid", shard), "runs/a.b/grid.2-of-13");
  assertEquals(shardName("x.tar.npz", shard), "x.tar.2-of-13.npz");
});

for (const model of ["plain", "classes"] as const) {
  Deno.test(`three parts put together are the run, byte for byte: ${model}`, async () => {
    await withModels(async (folder) => {
      // Ten samples from number 5 on do not split evenly, and no part begins with the first class.
      const run = ["--count", "10", "--first", "5", "--eta", "0.5", "--seed", "3"];
      const files = (
        at: string,
      ) => ["--out", `${at}/grid.png`, "--npz", `${at}/all.npz`, "--singles", `${at}/one`];
      await sampled(folder, model, ...run, ...files("whole"));
      for (const [k, batch] of [["2", "4"], ["0", "1"], ["1", "16"]]) {
        const part = ["--shard", `${k}/3`, "--batch", batch];
        await sampled(folder, model, ...run, ...files("parts"), ...part);
      }
      const merged = await cli(folder, "sample", "--merge", "parts", ...files("merged"));
      assertEquals(merged.code, 0, merged.stderr);
      assertEquals(merged.stdout, "merged/grid.png\nmerged/all.npz\nmerged/one\n");
      const names = [...Deno.readDirSync(`${folder}/whole/one`)].map(({ name }) => `one/${name}`);
      assertEquals(names.length, 10);
      const read = (path: string) => Deno.readFile(`${folder}/${path}`);
      for (const name of ["grid.png", "all.npz", ...names]) {
        const whole = await read(`whole/${name}`);
        assertEquals(await read(`merged/${name}`), whole, name);
        if (name.startsWith("one/")) assertEquals(await read(`parts/${name}`), whole, name);
      }
      const images = await imagesByNumber(`${folder}/whole/all.npz`);
      assertNotEquals(images.get(5), images.get(8));
      // By name, in any order.
      const part = (k: number) => `parts/all.${k}-of-3.npz`;
      const list = [part(1), part(2), part(0)].join(",");
      const again = await cli(folder, "sample", "--merge", list, "--out", "again.png");
      assertEquals(again.code, 0, again.stderr);
      assertEquals(await read("again.png"), await read("whole/grid.png"));
    });
  });
}

Deno.test("parts that are no run are told apart from one", async () => {
  await withModels(async (folder) => {
    const npz = async (file: string, model: "plain" | "classes", ...flags: string[]) => {
      await sampled(folder, model, "--count", "6", "--out", "x.png", "--npz", file, ...flags);
    };
    for (const k of [0, 1, 2]) await npz("a.npz", "classes", "--shard", `${k}/3`);
    await npz("seed.npz", "classes", "--shard", "1/3", "--seed", "1");
    await npz("class.npz", "classes", "--shard", "1/3", "--class", "0");
    await npz("plain.npz", "plain", "--shard", "1/3");
    const other = liveCheckpoint(MICRO_CLASSES, { ema: liveParameters(MICRO_CLASSES, 2) });
    await Deno.writeFile(`${folder}/classes.safetensors`, encodeCheckpoint(other));
    await npz("weights.npz", "classes", "--shard", "1/3");
    const arrays = [...await arraysOf(`${folder}/a.1-of-3.npz`)].map(([name, array]) => ({
      name,
      array,
    }));
    const without = (name: string) => encodeNpz(arrays.filter((one) => one.name !== name));
    for (const name of ["arr_0", "numbers", "settings"]) {
      await Deno.writeFile(`${folder}/no-${name}.npz`, without(name));
    }
    const rewritten = async (file: string, settings: string) => {
      const data = new TextEncoder().encode(settings);
      const array = { shape: [data.length], data };
      const rest = arrays.filter(({ name }) => name !== "settings");
      await Deno.writeFile(`${folder}/${file}`, encodeNpz([...rest, { name: "settings", array }]));
    };
    await rewritten("huge.npz", '{"first": 0, "count": 9e15, "classes": null}');
    await rewritten("text.npz", "classes=0");
    await rewritten("list.npz", '{"first": 0, "count": 6, "classes": [0.5]}');
    await Deno.writeTextFile(`${folder}/text.txt`, "no archive");
    await Deno.mkdir(`${folder}/empty`);
    const [p0, p1, p2] = [0, 1, 2].map((k) => `a.${k}-of-3.npz`);
    for (
      const [parts, message] of [
        [`${p0},${p2}`, "Expected samples 0..5 but found no sample 2: is a part missing?"],
        [`${p0},${p1}`, "Expected samples 0..5 but found no sample 4: is a part missing?"],
        [`${p1},${p2}`, "Expected samples 0..5 but found no sample 0: is a part missing?"],
        [`${p0},${p1},${p1},${p2}`, `Expected sample 2 once but found it in ${p1} and ${p1}`],
        [`${p0},seed.1-of-3.npz`, `the settings of seed.1-of-3.npz are not those of ${p0}`],
        [`${p0},class.1-of-3.npz`, `the settings of class.1-of-3.npz are not those of ${p0}`],
        [`${p0},weights.1-of-3.npz`, `the settings of weights.1-of-3.npz are not those of ${p0}`],
        [`${p0},plain.1-of-3.npz`, `the settings of plain.1-of-3.npz are not those of ${p0}`],
        ["no-arr_0.npz", "as arr_0 in no-arr_0.npz but got none"],
        ["no-numbers.npz", "Expected the int64 numbers of 2 samples in no-numbers.npz"],
        ["no-settings.npz", "Expected the settings of a run in no-settings.npz but got none"],
        ["huge.npz", "Expected samples 0..8999999999999999 but found no sample 0"],
        ["text.npz", 'Expected JSON in the settings of text.npz but got "classes=0"'],
        ["list.npz", "Expected classes in the settings of list.npz but got 0.5"],
        ["text.txt", "Expected a zip archive in text.txt but found no end"],
        ["none.npz", "Expected .npz files after --merge but found nothing at none.npz"],
        ["empty", "Expected .npz files of `sample --shard` in empty but found none"],
      ]
    ) {
      const { code, stdout, stderr } = await cli(folder, "sample", "--merge", parts);
      assertEquals([code, stdout], [1, ""], stderr);
      assertStringIncludes(stderr, message, parts);
      assertEquals(stderr.trimEnd().split("\n").length, 1, stderr);
    }
  });
});
