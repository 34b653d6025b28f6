import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { networkTimes } from "../../src/cli/trainer.ts";
import { loadMnist } from "../../src/data/mnist.ts";
import {
  boundInBits,
  decodeSamples,
  judge,
  qualityOf,
  realImages,
  samplesOfDataset,
  someOf,
} from "../../src/evaluate/mod.ts";
import { tensor } from "../../src/math/tensor.ts";
import { createSchedule } from "../../src/reference/schedule.ts";
import { unet } from "../../src/reference/unet.ts";
import { type Checkpoint, encodeCheckpoint } from "../../src/spec/checkpoint.ts";
import { unetConfig } from "../../src/spec/unet_config.ts";
import { initialParameters } from "../../src/spec/unet_parameters.ts";
import { SHIPPED, shippedClassifier } from "../evaluate/digits.ts";
import { normals } from "../support/layers.ts";
import { cli, idxFile, MICRO, type Outcome } from "./support.ts";

/** A model of 28×28 images in ten classes that was never trained, with no weight at 0. */
function untrained(sampleSize = 28, numClassEmbeds: number | null = 11): Checkpoint {
  const config = unetConfig({ ...MICRO, sampleSize, numClassEmbeds, dropout: 0 });
  const ema = new Map(
    [...initialParameters(config, 0)].map(([name, { shape, data }], k) => {
      const more = normals(1, k, shape).data;
      return [name, tensor(shape, data.map((v, i) => v + 0.1 * more[i]))];
    }),
  );
  const schedule = { kind: "linear", T: 20, betaStart: 1e-3, betaEnd: 0.4 } as const;
  return { unet: config, schedule, step: 3, seed: 0, train: {}, ema };
}

/** The first images of both halves of MNIST as IDX files, and a model, in a folder that is removed after `test`. */
async function inFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${folder}/data`);
    for (const [split, name, count] of [["train", "train", 90], ["test", "t10k", 60]] as const) {
      const { pixels, labels } = await loadMnist(split);
      const write = (what: string, shape: number[], data: Uint8Array) =>
        Deno.writeFile(`${folder}/data/${name}-${what}-ubyte`, idxFile(shape, data));
      await write("images-idx3", [count, 28, 28], pixels.subarray(0, 784 * count));
      await write("labels-idx1", [count], labels.subarray(0, count));
    }
    for (
      const [name, model] of [["m", untrained()], ["small", untrained(8)], [
        "free",
        untrained(28, null),
      ]] as const
    ) {
      await Deno.writeFile(`${folder}/${name}.safetensors`, encodeCheckpoint(model));
    }
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const CLASSIFIER = new URL("classifier.safetensors", SHIPPED).pathname;
const BASE = ["evaluate", "--data", "data", "--classifier", CLASSIFIER, "--device", "cpu"];

function jsonOf({ code, stdout, stderr }: Outcome) {
  assertEquals(code, 0, stderr);
  assertEquals(stdout.split("\n").length, 2, "one line");
  return JSON.parse(stdout);
}

Deno.test("evaluate draws, judges and keeps samples, and finds the same in the file that it kept", async () => {
  await inFolder(async (folder) => {
    const run = (...flags: string[]) =>
      cli(folder, ...BASE, "--checkpoint", "m.safetensors", "--steps", "2", "--json", ...flags);
    const drawn = jsonOf(
      await run("--count", "25", "--batch", "10", "--save", "s.npz", "--out", "r.json"),
    );
    assertEquals(JSON.parse(await Deno.readTextFile(`${folder}/r.json`)), drawn);
    assertEquals([drawn.model, drawn.device, drawn.bits], [
      { file: "m.safetensors", step: 3 },
      "cpu",
      null,
    ]);
    const { source, ...figures } = drawn.samples;
    assertEquals([source.sampler, source.steps, source.seed, source.eta], ["ddim", 2, 0, 0]);

    const samples = decodeSamples(await Deno.readFile(`${folder}/s.npz`), "s.npz");
    assertEquals([...samples.labels!], Array.from({ length: 25 }, (_, i) => i % 10));
    const classifier = await shippedClassifier();
    const test = await loadMnist("test", `${folder}/data`);
    const train = samplesOfDataset(await loadMnist("train", `${folder}/data`));
    const onTest = await judge(classifier, samplesOfDataset(test));
    const real = realImages(onTest), floor = someOf(train, 25);
    assertEquals(figures, {
      count: 25,
      classifier: {
        file: CLASSIFIER,
        testAccuracy: onTest.predicted.filter((k, i) => k === test.labels[i]).length / 60,
      },
      figures: qualityOf(real, await judge(classifier, samples), samples.labels),
      training: qualityOf(real, await judge(classifier, floor), floor.labels),
    });

    const again = jsonOf(await cli(folder, ...BASE, "--json", "--samples", "s.npz"));
    assertEquals(again, {
      ...{ model: null, device: null, adapter: null, bits: null },
      samples: { source: { file: "s.npz" }, ...figures },
    });
    // Samples depend on seed and sampler, and not on how many are drawn at once.
    const first = samples.pixels.subarray(0, 4 * 784);
    for (
      const [flags, same] of [
        [["--batch", "3"], true],
        [["--seed", "1"], false],
        [["--sampler", "ddpm"], false],
        [["--steps", "3"], false],
        [["--eta", "1"], false],
        [["--guidance", "3"], false],
      ] as const
    ) {
      jsonOf(await run("--count", "4", "--save", "four.npz", ...flags));
      const { pixels } = decodeSamples(await Deno.readFile(`${folder}/four.npz`), "four.npz");
      assertEquals(pixels.every((byte, i) => byte === first[i]), same, flags.join(" "));
    }
  });
});

Deno.test("evaluate counts the bits of the averaged weights, told the classes", async () => {
  await inFolder(async (folder) => {
    const bits = ["--count", "0", "--bits", "3", "--bits-every", "5", "--batch", "2"];
    const { unet: config, schedule, ema } = untrained();
    const expected = (variance: "beta" | "betaTilde") =>
      loadMnist("test", `${folder}/data`).then((test) =>
        boundInBits(
          (xt, times, classLabels) => unet(config, ema, xt, networkTimes(times), { classLabels }),
          createSchedule(schedule),
          test,
          { images: 3, every: 5, batch: 3, variance },
        )
      );
    for (const variance of ["betaTilde", "beta"] as const) {
      const flags = variance === "beta" ? ["--variance", "beta"] : [];
      const report = jsonOf(
        await cli(folder, ...BASE, "--checkpoint", "m.safetensors", ...bits, ...flags, "--json"),
      );
      assertEquals(report.samples, null);
      assertEquals(report.bits, {
        ...await expected(variance),
        ...{ images: 3, every: 5, variance, conditional: true },
      });
    }
    const { stdout, code } = await cli(
      folder,
      ...BASE,
      "--checkpoint",
      "free.safetensors",
      ...bits,
    );
    assertEquals(code, 0);
    assertStringIncludes(stdout, "L_1 … L_(T−1)");
    // 19 times after the first make four runs.
    assertStringIncludes(
      stdout,
      "over 3 test images, an estimate from 5 terms per image, one time out of every 5; variance betaTilde\n",
    );
  });
});

Deno.test("evaluate says what it measured, without classes too", async () => {
  await inFolder(async (folder) => {
    const { code, stdout, stderr } = await cli(
      folder,
      ...[...BASE, "--checkpoint", "free.safetensors", "--count", "4", "--steps", "1"],
    );
    assertEquals(code, 0, stderr);
    const lines = stdout.split("\n");
    assertEquals(lines.slice(0, 4).map((line) => line.slice(0, 18).trim()), [
      "4 images",
      "Fréchet distance",
      "precision",
      "recall",
    ]);
    assertStringIncludes(stdout, "% of the test images");
    assert(!stdout.includes("class accuracy"));
  });
});

Deno.test("evaluate trains a classifier that it can then judge by", async () => {
  await inFolder(async (folder) => {
    const trained = await cli(
      folder,
      ...["evaluate", "--train-classifier", "--data", "data", "--classifier", "c.safetensors"],
      ...["--epochs", "2", "--seed", "5"],
    );
    assertEquals([trained.code, trained.stdout], [0, "c.safetensors\n"], trained.stderr);
    assertStringIncludes(trained.stderr, "epoch 2: ");
    const judged = await cli(
      folder,
      ...["evaluate", "--data", "data", "--classifier", "c.safetensors", "--device", "cpu"],
      ...["--checkpoint", "m.safetensors", "--count", "4", "--steps", "1", "--json"],
    );
    assertEquals(jsonOf(judged).samples.classifier.file, "c.safetensors");
  });
});

Deno.test("evaluate tells in a line what cannot be", async () => {
  await inFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/text.npz`, "no archive");
    const model = ["--checkpoint", "m.safetensors"];
    const cases: [flags: string[], code: 1 | 2, message: string][] = [
      [["--eta", "1", "--sampler", "ddpm"], 2, "Expected --eta only with --sampler ddim"],
      [["--variance", "beta"], 2, "Expected --variance only with --sampler ddpm or --bits"],
      [["--bits-every", "3"], 2, "Expected --bits-every only with --bits"],
      [["--guidance-rescale", "0.5"], 2, "Expected --guidance-rescale only with --guidance"],
      [["--epochs", "3"], 2, "Expected --epochs only with --train-classifier"],
      [["--samples", "s.npz", "--count", "9"], 2, "Expected --count only without --samples"],
      [["--samples", "s.npz", "--save", "t.npz"], 2, "Expected --save only without --samples"],
      [["--count", "3"], 2, "Expected --count to be 0 or at least 4 but got 3"],
      [["--count", "0"], 2, "Expected something to measure but got --count 0 without --bits"],
      [["--samples", "none.npz"], 1, "Expected samples in none.npz but there is no such file"],
      [["--samples", "text.npz"], 1, "text.npz"],
      [[...model, "--classifier", "none"], 1, "Expected a classifier in none but there is no such"],
      [
        [...model, "--classifier", "m.safetensors"],
        1,
        "Expected a classifier with metadata format",
      ],
      [
        ["--checkpoint", "small.safetensors", "--steps", "2"],
        1,
        "Expected a model of images [1, 28, 28] but got [1, 8, 8]",
      ],
      [["--checkpoint", "none"], 1, "Expected a checkpoint, or a folder with one, at none"],
      [
        ["--checkpoint", "free.safetensors", "--guidance", "2"],
        2,
        "Expected --guidance only with a model that takes classes",
      ],
    ];
    for (const [flags, code, message] of cases) {
      const result = await cli(folder, ...BASE, ...flags);
      assertEquals([result.code, result.stdout], [code, ""], flags.join(" "));
      assertEquals(result.stderr.trimEnd().split("\n").length, 1, result.stderr);
      assertStringIncludes(result.stderr, message);
    }
  });
});
