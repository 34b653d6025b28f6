import {
  assertEquals,
  assertNotEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { parseClasses } from "../../src/cli/class_list.ts";
import { REFERENCE } from "../../src/cli/reference_backend.ts";
import type { SamplingOptions } from "../../src/cli/sampling.ts";
import { ArgumentError } from "../../src/math/errors.ts";
import { UsageError } from "../../src/cli/terminal.ts";
import { DDPM_SCHEDULE } from "../../src/spec/schedule_config.ts";
import { liveParameters } from "../webgpu/networks.ts";
import { cliWith, MICRO } from "./support.ts";
import {
  arraysOf,
  imageAt,
  imagesByNumber,
  MICRO_CLASSES,
  pngOf,
  sampled,
  valuesOf,
  withModels,
} from "./sample_models.ts";

Deno.test("a list of classes is read in its order, and anything else is refused", () => {
  assertEquals(parseClasses("3", 10), [3]);
  assertEquals(parseClasses("7,0, 1", 10), [7, 0, 1]);
  assertEquals(parseClasses("0-2,9,4-4", 10), [0, 1, 2, 9, 4]);
  for (
    const [text, message] of [
      ["", "Expected --class like 3, 0,1,7 or 0-4 but got "],
      ["three", "but got three"],
      ["1,,2", "but got 1,,2"],
      ["-1", "but got -1"],
      ["1.5", "but got 1.5"],
      ["4-2", "with the lower end of 4-2 first"],
      ["10", "Expected --class in 0..9, which the model has, but got 10"],
      ["0-10", "but got 10"],
      ["0-999999999", "but got 999999999"],
      [new Array(500).fill("0-9").join(","), "Expected at most 4096 classes after --class but got"],
    ] as const
  ) {
    assertThrows(() => parseClasses(text, 10), UsageError, message);
  }
});

Deno.test("sample i is of class i mod the list's length, whatever is drawn with it", async () => {
  await withModels(async (folder) => {
    const draw = async (...flags: string[]) => {
      await sampled(folder, "classes", "--npz", "x.npz", "--out", "x.png", ...flags);
      return {
        images: await imagesByNumber(`${folder}/x.npz`),
        labels: valuesOf((await arraysOf(`${folder}/x.npz`)).get("arr_1")),
      };
    };
    const seven = await draw("--class", "2,0", "--count", "7");
    assertEquals(seven.labels, [2, 0, 2, 0, 2, 0, 2]);
    // In other batches, and from the middle of the list on.
    const later = await draw("--class", "2,0", "--first", "3", "--count", "3", "--batch", "2");
    assertEquals(later.labels, [0, 2, 0]);
    for (const i of [3, 4, 5]) {
      assertEquals(later.images.get(i), seven.images.get(i), `sample ${i}`);
    }
    // The same number and noise as another class is another image, and as the same class the same.
    const all = await draw("--count", "4");
    assertEquals(all.labels, [0, 1, 2, 0]);
    assertNotEquals(all.images.get(1), seven.images.get(1));
    assertEquals(all.images.get(3), seven.images.get(3));
  });
});

Deno.test("with several classes sample i is in row i mod their number of the grid", async () => {
  await withModels(async (folder) => {
    const flags = ["--count", "5", "--first", "4", "--zoom", "1", "--out", "x.png"];
    await sampled(folder, "classes", ...flags, "--npz", "x.npz");
    const images = await imagesByNumber(`${folder}/x.npz`);
    const grid = await pngOf(`${folder}/x.png`);
    // Samples 4..8 of three rows: columns 1 and 2, of which sample 3's place stays empty.
    assertEquals([grid.width, grid.height], [2 + 2 * 10, 2 + 3 * 10]);
    for (const i of [4, 5, 6, 7, 8]) {
      const [row, column] = [i % 3, Math.floor(i / 3) - 1];
      assertEquals(imageAt(grid, 2 + 10 * column, 2 + 10 * row), images.get(i), `sample ${i}`);
    }
    assertEquals(imageAt(grid, 2, 2), new Array(64).fill(64).join(" "));
    // Told how many columns there are, and with fewer samples than rows, it goes from left to right.
    for (
      const other of [["--columns", "3"], ["--count", "2", "--columns", "2"], ["--count", "2"]]
    ) {
      await sampled(folder, "classes", ...flags, ...other);
      assertEquals(imageAt(await pngOf(`${folder}/x.png`), 12, 2), images.get(5), other.join(" "));
    }
  });
});

Deno.test("with the reference there are fewer samples with classes unless told otherwise, and that is said", async () => {
  await withModels(async (folder) => {
    const flags = ["sample", "--steps", "1", "--out", "x.png", "--json"];
    const run = (...more: string[]) =>
      cliWith({ DENO_WEBGPU_BACKEND: "none" }, folder, ...flags, ...more);
    const classes = await run("--model", "classes.safetensors");
    assertEquals(JSON.parse(classes.stdout).count, 8);
    assertStringIncludes(classes.stderr, "8 samples, for the reference is slow: --count 64 draws");
    const plain = await run("--model", "plain.safetensors");
    assertEquals(JSON.parse(plain.stdout).count, 16);
    const asked = await run("--model", "classes.safetensors", "--count", "9");
    assertEquals(JSON.parse(asked.stdout).count, 9);
    assertEquals(asked.stderr.includes("slow"), false);
    // The parts of a run agree on how many there are, wherever they are drawn.
    const part = await run("--model", "classes.safetensors", "--shard", "0/4");
    assertEquals(JSON.parse(part.stdout).count, 16);
  });
});

const OPTIONS: SamplingOptions = {
  ...{ sampler: "ddim", steps: 3, spacing: "trailing", eta: 0, variance: "betaTilde" },
  ...{ clip: "static", seed: 0, first: 0, count: 4, batch: 3, classes: [0, 1, 2], guidance: null },
};

/** Images of the class-conditional micro network, in this process. */
async function drawn(options: Partial<SamplingOptions>): Promise<Float32Array> {
  const parameters = liveParameters(MICRO_CLASSES, 1);
  const all = { ...OPTIONS, ...options };
  return (await REFERENCE.sampleImages(MICRO_CLASSES, parameters, DDPM_SCHEDULE, all)).data;
}

Deno.test("classes and guidance that do not fit the network are errors of the library too", async () => {
  const none = [MICRO, liveParameters(MICRO, 1), DDPM_SCHEDULE] as const;
  const fails = (options: Partial<SamplingOptions>, message: string) =>
    assertRejects(() => drawn(options), ArgumentError, message);
  await fails({ classes: null }, "Expected classes for a network with classes but got null");
  await fails({ classes: [] }, "Expected classes for a network with classes but got []");
  await fails({ classes: [0, 4] }, "Expected class in 0..3 but got 4");
  await assertRejects(
    () => REFERENCE.sampleImages(...none, OPTIONS),
    ArgumentError,
    "Expected no classes for a network without classes but got [0, 1, 2]",
  );
  await assertRejects(
    () =>
      REFERENCE.sampleImages(...none, {
        ...OPTIONS,
        classes: null,
        guidance: { scale: 2, rescale: 0 },
      }),
    ArgumentError,
    "Expected no guidance for a network without classes but got",
  );
});
