import { assertEquals, assertLessOrEqual, assertMatch, assertNotEquals } from "@std/assert";
import { decodeApng } from "fast-png";
import {
  arraysOf,
  imageAt,
  imagesByNumber,
  pngOf,
  sampled,
  valuesOf,
  withModels,
} from "./sample_models.ts";

Deno.test("grid, single files and .npz hold the same pixels, and --json says where they are", async () => {
  await withModels(async (folder) => {
    const flags = ["--class", "0-1", "--count", "4", "--first", "9", "--zoom", "2", "--seed", "5"];
    const files = ["--out", "a/grid.png", "--npz", "b/all.npz", "--singles", "c/d"];
    const { stdout } = await sampled(folder, "classes", ...flags, ...files, "--json");
    const { seconds, ...line } = JSON.parse(stdout);
    assertEquals(seconds > 0, true);
    assertEquals(line, {
      ...{ file: "a/grid.png", files: ["a/grid.png", "b/all.npz", "c/d"] },
      ...{ checkpoint: "classes.safetensors", step: 7, device: "cpu", adapter: null },
      ...{ seed: 5, first: 9, count: 4, sampler: "ddim", timesteps: [1000, 667, 333] },
      ...{ classes: [0, 1], guidance: { scale: 1.4, rescale: 0 }, interpolate: null, shard: null },
    });
    const arrays = await arraysOf(`${folder}/b/all.npz`);
    assertEquals([...arrays.keys()], ["arr_0", "arr_1", "numbers", "settings"]);
    assertEquals(arrays.get("arr_0")?.shape, [4, 8, 8, 1]);
    assertEquals(valuesOf(arrays.get("arr_1")), [1, 0, 1, 0]);
    assertEquals(valuesOf(arrays.get("numbers")), [9, 10, 11, 12]);
    const images = await imagesByNumber(`${folder}/b/all.npz`);
    assertEquals(new Set(images.values()).size, 4);
    const grid = await pngOf(`${folder}/a/grid.png`);
    for (const [i, image] of images) {
      const single = await pngOf(`${folder}/c/d/${String(i).padStart(6, "0")}.png`);
      assertEquals([single.width, single.height], [8, 8]);
      assertEquals(imageAt(single, 0, 0), image);
      // Every pixel twice in either direction, lines of 2: what lies at even offsets is the image.
      const left = 2 + 18 * (Math.floor(i / 2) - 4), top = 2 + 18 * (i % 2);
      const shrunk = Array.from(
        { length: 64 },
        (_, k) => grid.data[(top + 2 * Math.floor(k / 8)) * grid.width + left + 2 * (k % 8)],
      );
      assertEquals(shrunk.join(" "), image);
    }
    await sampled(folder, "plain", "--count", "1", "--out", "x.png", "--npz", "x.npz");
    assertEquals([...(await arraysOf(`${folder}/x.npz`)).keys()], ["arr_0", "numbers", "settings"]);
  });
});

Deno.test("an animation shows every step, the last one longest and as the grid", async () => {
  await withModels(async (folder) => {
    const flags = ["--count", "5", "--zoom", "1", "--out", "x.png", "--eta", "1"];
    const files = ["--animate", "x.apng", "--animate-x0", "x0.apng"];
    const framesOf = async (file: string) =>
      decodeApng(await Deno.readFile(`${folder}/${file}`)).frames.map(({ data }) =>
        Array.from(data, Number)
      );
    await sampled(folder, "plain", ...flags, ...files, "--batch", "2");
    const grid = Array.from((await pngOf(`${folder}/x.png`)).data, Number);
    const [x, x0] = [await framesOf("x.apng"), await framesOf("x0.apng")];
    for (const frames of [x, x0]) {
      // Three steps, and the last of them for about a second.
      assertEquals(frames.length, 3 + 11);
      for (const frame of frames.slice(2)) assertEquals(frame, grid);
      assertNotEquals(frames[0], frames[1]);
      assertNotEquals(frames[1], frames[2]);
    }
    assertNotEquals(x[0], x0[0]);
    assertNotEquals(x[1], x0[1]);
    // Batches leave no trace, and what is long is shortened.
    await sampled(folder, "plain", ...flags, ...files);
    assertEquals([await framesOf("x.apng"), await framesOf("x0.apng")], [x, x0]);
    await sampled(folder, "plain", ...flags, ...files, "--steps", "65");
    const frames = await framesOf("x.apng");
    assertLessOrEqual(frames.length, 30 + 11);
    assertEquals(frames.at(-1), Array.from((await pngOf(`${folder}/x.png`)).data, Number));
  });
});

Deno.test("an interpolation goes from a sample of one seed to that of the other, row by row", async () => {
  await withModels(async (folder) => {
    const draw = async (...flags: string[]) => {
      await sampled(folder, "classes", "--npz", "x.npz", "--out", "x.png", "--zoom", "1", ...flags);
      return await imagesByNumber(`${folder}/x.npz`);
    };
    const ends = await Promise.all(["7", "8"].map(async (seed) => {
      const file = `${seed}.npz`;
      await sampled(
        folder,
        "classes",
        "--seed",
        seed,
        "--count",
        "3",
        "--npz",
        file,
        "--out",
        file + ".png",
      );
      return await imagesByNumber(`${folder}/${file}`);
    }));
    const rows = await draw("--seed", "7", "--interpolate", "8", "--count", "4", "--batch", "5");
    assertEquals(rows.size, 3 * 4);
    assertEquals(
      valuesOf((await arraysOf(`${folder}/x.npz`)).get("arr_1")),
      [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2],
    );
    const grid = await pngOf(`${folder}/x.png`);
    for (const row of [0, 1, 2]) {
      assertEquals(rows.get(4 * row), ends[0].get(row));
      assertEquals(rows.get(4 * row + 3), ends[1].get(row));
      const images = [0, 1, 2, 3].map((column) => rows.get(4 * row + column));
      assertEquals(new Set(images).size, 4);
      const shown = [0, 1, 2, 3].map((c) => imageAt(grid, 2 + 10 * c, 2 + 10 * row));
      assertEquals(shown, images);
    }
    // Backwards it is the same way.
    const back = await draw("--seed", "8", "--interpolate", "7", "--count", "4");
    assertEquals(back.get(0), rows.get(3));
    assertEquals(back.get(3), rows.get(0));
    const { stdout } = await sampled(
      folder,
      "plain",
      ...["--interpolate", "8", "--rows", "2", "--count", "2", "--json", "--out", "x.png"],
    );
    const { count, interpolate } = JSON.parse(stdout);
    assertEquals([count, interpolate], [4, { seed: 8, columns: 2 }]);
  });
});

Deno.test("a grid has room for 4096 samples, and says so where there are more", async () => {
  await withModels(async (folder) => {
    const { stderr } = await sampled(
      folder,
      "plain",
      ...["--count", "4100", "--steps", "1", "--batch", "1024", "--zoom", "1", "--out", "x.png"],
    );
    assertMatch(stderr, /^the grid shows the first 4096 samples$/m);
    const { width, height } = await pngOf(`${folder}/x.png`);
    assertEquals([width, height], [2 + 64 * 10, 2 + 64 * 10]);
  });
});
