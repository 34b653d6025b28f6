import {
  assertEquals,
  assertLessOrEqual,
  assertNotEquals,
  assertStringIncludes,
} from "@std/assert";
import { decode } from "fast-png";
import { cli, inFolder, MICRO_FLAGS } from "./support.ts";

/** A run of the micro network in `folder`/run, and a function that samples from it. */
async function withModel(
  test: (sample: (...flags: string[]) => Promise<number[][]>, folder: string) => Promise<void>,
): Promise<void> {
  await inFolder(async (folder) => {
    const trained = await cli(
      folder,
      ...[...MICRO_FLAGS, "--steps", "20", "--lr", "0.01", "--ema", "0.5", "--out", "run"],
    );
    assertEquals(trained.code, 0, trained.stderr);
    await test(async (...flags) => {
      const { code, stdout, stderr } = await cli(
        folder,
        ...["sample", "--checkpoint", "run", "--out", "out.png", "--zoom", "1", "--steps", "4"],
        ...["--columns", "1", "--device", "cpu", ...flags],
      );
      assertEquals(code, 0, stderr);
      assertEquals(stdout, "out.png\n");
      const { data, width, height } = decode(await Deno.readFile(`${folder}/out.png`));
      // One column of 8×8 images with lines of 2 around them.
      return Array.from(
        { length: (height - 2) / 10 },
        (_, n) =>
          Array.from(
            { length: 64 },
            (_, i) => data[(2 + 10 * n + Math.floor(i / 8)) * width + 2 + i % 8],
          ),
      );
    }, folder);
  });
}

Deno.test("sample 2 is the same alone, among four, and from another sampler's batch", async () => {
  await withModel(async (sample) => {
    for (const flags of [["--sampler", "ddim", "--eta", "0.5"], ["--sampler", "ddpm"]]) {
      const four = await sample(...flags, "--count", "4");
      const alone = await sample(...flags, "--first", "2", "--count", "1");
      assertEquals(alone, [four[2]]);
      assertNotEquals(four[1], four[2]);
      // More than one batch of the network: number 17 is in the second.
      const many = await sample(...flags, "--count", "18");
      assertEquals(many.slice(0, 4), four);
      assertEquals(await sample(...flags, "--first", "17", "--count", "1"), [many[17]]);
    }
  });
});

Deno.test("the same command gives the same bytes, and every option another image", async () => {
  await withModel(async (sample) => {
    const flags = ["--count", "1"];
    const usual = await sample(...flags);
    assertEquals(await sample(...flags), usual);
    assertEquals(await sample(...flags, "--sampler", "ddim", "--eta", "0"), usual);
    const ddpm = await sample(...flags, "--sampler", "ddpm");
    assertEquals(await sample(...flags, "--sampler", "ddpm", "--variance", "betaTilde"), ddpm);
    assertNotEquals(await sample(...flags, "--sampler", "ddpm", "--variance", "beta"), ddpm);
    for (
      const other of [
        ["--seed", "1"],
        ["--sampler", "ddpm"],
        ["--eta", "0.5"],
        ["--weights", "raw"],
        ["--steps", "5"],
        ["--spacing", "leading"],
        ["--clip", "none"],
      ]
    ) {
      assertNotEquals(await sample(...flags, ...other), usual, other.join(" "));
    }
  });
});

Deno.test("DDIM with eta 1 draws what DDPM with betaTilde draws", async () => {
  await withModel(async (sample) => {
    const flags = ["--count", "3"];
    const ddpm = (await sample(...flags, "--sampler", "ddpm")).flat();
    const ddim = (await sample(...flags, "--eta", "1")).flat();
    // The same numbers along two ways of rounding, some 1e-7 apart: at most the next byte.
    assertLessOrEqual(Math.max(...ddim.map((byte, i) => Math.abs(byte - ddpm[i]))), 1);
  });
});

Deno.test("a model without raw weights says so, and a checkpoint by its file name works", async () => {
  await withModel(async (sample, folder) => {
    const file = `${folder}/run/model.safetensors`;
    assertEquals(await sample("--checkpoint", file, "--count", "1"), await sample("--count", "1"));
    const { code, stderr } = await cli(folder, "sample", "--checkpoint", file, "--weights", "raw");
    assertEquals(code, 1);
    assertStringIncludes(stderr, "only holds averaged ones: use --weights ema");
  });
});
