import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { cli } from "./support.ts";
import { withModels } from "./sample_models.ts";

const PLAIN = ["--model", "plain.safetensors"], CLASSES = ["--model", "classes.safetensors"];

/** Flags that cannot work, and what the one line says. */
const CASES: readonly (readonly [flags: readonly string[], message: string])[] = [
  [
    [...PLAIN, "--class", "0"],
    "Expected --class only for a model with classes but plain.safetensors has none",
  ],
  [
    [...PLAIN, "--guidance", "2"],
    "Expected --guidance only for a model with classes but plain.safetensors has none",
  ],
  // The fourth row of the table is "no class".
  [[...CLASSES, "--class", "3"], "Expected --class in 0..2, which the model has, but got 3"],
  [[...CLASSES, "--class", "zero"], "Expected --class like 3, 0,1,7 or 0-4 but got zero"],
  [[...CLASSES, "--guidance", "-1"], "Expected --guidance to be a number in 0..100 but got -1"],
  [[...CLASSES, "--guidance-rescale", "0.5"], "Expected --guidance-rescale only with --guidance"],
  [[...CLASSES, "--guidance", "2", "--guidance-rescale", "2"], "in 0..1 but got 2"],
  [[...PLAIN, "--shard", "3/3"], "Expected --shard k/n with k in 0..n−1 and n of at most 4096 but"],
  [[...PLAIN, "--shard", "half"], "but got half"],
  [[...PLAIN, "--shard", "0/17"], "with n of at most 16, the samples, but got 17"],
  [
    [...PLAIN, "--interpolate", "1", "--sampler", "ddpm"],
    "where images depend on x_T alone, but got --sampler ddpm",
  ],
  [
    [...PLAIN, "--interpolate", "1", "--eta", "0.5"],
    "Expected --interpolate with --sampler ddim and --eta 0",
  ],
  [[...PLAIN, "--interpolate", "1", "--first", "3"], "Expected --first without --interpolate"],
  [[...PLAIN, "--interpolate", "1", "--columns", "3"], "Expected --columns without --interpolate"],
  [[...PLAIN, "--interpolate", "1", "--count", "1"], "Expected --count of at least 2, both ends"],
  [
    [...PLAIN, "--interpolate", "1", "--count", "1048576"],
    "Expected at most 1048576 samples but got 4194304",
  ],
  [[...PLAIN, "--rows", "2"], "Expected --rows only with --interpolate but got it alone"],
  [
    [...PLAIN, "--animate", "x.png", "--count", "1025"],
    "Expected at most 1024 samples with --animate but got 1025",
  ],
  [
    [...PLAIN, "--out", "x.png", "--animate-x0", "x.png"],
    "Expected --out and --animate-x0 to differ but got x.png for both",
  ],
  [
    [...PLAIN, "--checkpoint", "plain.safetensors"],
    "Expected --model or --checkpoint, which are the same, but got both",
  ],
  [["--merge", "parts", "--seed", "1"], "Expected --seed without --merge, which draws nothing"],
  [["--merge", "parts", "--animate", "x.png"], "Expected --animate without --merge"],
  [["--merge"], "Expected a value after --merge but got none"],
];

Deno.test("flags of sample that cannot work together end in one sentence and code 2", async () => {
  await withModels(async (folder) => {
    for (const [flags, message] of CASES) {
      const { code, stdout, stderr } = await cli(folder, "sample", "--device", "cpu", ...flags);
      const line = `${flags.join(" ")}\n${stderr}`;
      assertEquals([code, stdout], [2, ""], line);
      assertStringIncludes(stderr, message, line);
      assertMatch(stderr, /^error: [^\n]+\n$/, line);
    }
    assertEquals([...Deno.readDirSync(folder)].some(({ name }) => name === "runs"), false);
  });
});
