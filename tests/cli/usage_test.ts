import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { unetConfigToDiffusers } from "../../src/spec/unet_config.ts";
import { MNIST_TINY } from "../../src/spec/unet_presets.ts";
import { cli, idxFile, inFolder, MICRO_FLAGS } from "./support.ts";

type Case = readonly [args: readonly string[], code: 1 | 2, message: string];

/** Command lines that cannot work, the exit code, and what the one line on stderr says. */
const CASES: readonly Case[] = [
  [[], 2, "Expected a command (train, sample, "],
  [
    ["tarin"],
    2,
    ") but got tarin: see --help",
  ],
  [["train", "--stpes", "5"], 2, "Expected flags of train but got --stpes: see `train --help`"],
  [["train", "runs/x"], 2, "Expected flags of train but got runs/x"],
  [["train", "-n", "5"], 2, "Expected flags of train but got -n"],
  [["train", "--no-resume"], 2, "Expected flags of train but got --no-resume"],
  [["train", "--", "runs/x"], 2, "Expected flags of train but got --"],
  [["train", "--constructor", "x"], 2, "Expected flags of train but got --constructor"],
  [["train", "--resume=false", "--resume", "yes"], 2, "Expected flags of train but got yes"],
  [["train", "--steps"], 2, "Expected a value after --steps but got none"],
  [["train", "--out", "--resume"], 2, "Expected a value after --out but got none"],
  [["train", "--lr", "-.5"], 2, "Expected --lr to be a number in 1e-9..1 but got -.5"],
  [["train", "--steps", "0"], 2, "Expected --steps to be an integer in 1..268435456 but got 0"],
  [["train", "--steps", "1.5"], 2, "Expected --steps to be an integer in"],
  [["train", "--steps", "many"], 2, "but got many"],
  [["train", "--steps=0x10"], 2, "but got 0x10"],
  [["train", "--seed=-1"], 2, "Expected --seed to be an integer of at least 0 but got -1"],
  [["train", "--seed", "9007199254740992"], 2, "Expected --seed to be an integer"],
  [["train", "--lr", "NaN"], 2, "Expected --lr to be a number in 1e-9..1 but got NaN"],
  [["train", "--ema", "1.01"], 2, "Expected --ema to be a number in 0..1 but got 1.01"],
  [["train", "--preset", "huge"], 2, "Expected --preset tiny|mnist|fashion|cifar10 but got"],
  [["train", "--resume", "--data", "data", "--out", "none"], 1, "at none but found none"],
  [
    ["train", "--data", "data", "--config", "large.json", "--out", "x"],
    1,
    "Expected a U-Net for images of 1 channel and 8×8 pixels but got one for 1 channels in",
  ],
  [["train", "--preset", "cifar10"], 2, "Expected --data, a folder with CIFAR-10's binary batches"],
  [
    ["train", "--data", "data", "--image-size", "8"],
    1,
    "Expected an image size only for a folder of PNG or JPEG files but got 8",
  ],
  [
    ["train", "--data", "data", "--steps", "99999999"],
    2,
    "Expected --steps in 0..33554432 for the run in runs/tiny, which has done 0 of 8 images each",
  ],
  [
    [...MICRO_FLAGS, "--zero-terminal-snr"],
    2,
    "Expected --prediction v or x0, and no --loss vlb, with --zero-terminal-snr but got " +
    "--prediction epsilon --loss simple",
  ],
  [
    [...MICRO_FLAGS, "--schedule", "cosine", "--beta-end", "0.5"],
    2,
    "Expected no --beta-end with --schedule cosine, which has its own, but got one",
  ],
  [
    [...MICRO_FLAGS, "--accumulate", "2"],
    2,
    "Expected --accumulate to divide --batch 3 but got 2",
  ],
  [
    ["train", "--data", "none", "--out", "x"],
    1,
    "Expected a folder of images in none but there is none",
  ],
  [["train", "--data", "bad", "--out", "x"], 1, "Expected labels in 0..9 in bad/train-labels-idx1"],
  [["train", "--data", "data", "--config", "none.json"], 1, "Expected a U-Net config in none.json"],
  [["train", "--data", "data", "--config", "bad.json"], 1, "Expected a U-Net config in bad.json"],
  [[...MICRO_FLAGS, "--out", "/nowhere/run"], 1, "Requires write access to"],
  [["sample", "--checkpoint", "none"], 1, "Expected a checkpoint, or a folder with one, at none"],
  [["sample", "--checkpoint", "unet.json"], 1, "Expected a checkpoint in unet.json."],
  [["sample", "--sampler", "euler"], 2, "Expected --sampler ddpm|ddim but got euler"],
  [["sample", "--sampler", "ddpm", "--eta", "0.5"], 2, "Expected --eta only with --sampler ddim"],
  [
    ["sample", "--sampler", "ddim", "--variance", "beta"],
    2,
    "Expected --variance only with --sampler ddpm",
  ],
  [["sample", "--count", "0"], 2, "Expected --count to be an integer in 1..1048576 but got 0"],
  [["sample", "--eta", "2"], 2, "Expected --eta to be a number in 0..1 but got 2"],
];

/** Command lines that cannot work once there is a run of 2 steps in `run`. */
const RUN_CASES: readonly Case[] = [
  [[...MICRO_FLAGS, "--out", "run"], 2, "Expected a new run but found one in run: go on"],
  [
    [...MICRO_FLAGS, "--out", "run", "--resume", "--steps", "1"],
    2,
    "Expected --steps in 2..89478485 for the run in run, which has done 2 of 3 images each, but",
  ],
  [
    [...MICRO_FLAGS, "--out", "run", "--resume", "--lr", "0.5"],
    2,
    "Expected --lr 0.003, as the run in run began, but got 0.5",
  ],
  [
    [...MICRO_FLAGS, "--out", "run", "--resume", "--seed", "1"],
    2,
    "Expected --seed 0, as the run in run began, but got 1",
  ],
  [
    [...MICRO_FLAGS, "--out", "run", "--resume", "--prediction", "v"],
    2,
    "Expected --prediction epsilon, as the run in run began, but got v",
  ],
  [
    [...MICRO_FLAGS, "--out", "run", "--resume", "--T", "500"],
    2,
    "Expected the schedule that the run in run began with but got another",
  ],
  [
    [...MICRO_FLAGS, "--out", "run", "--resume", "--dropout", "0.1"],
    2,
    "Expected the U-Net that the run in run began with but got another",
  ],
  [
    [...MICRO_FLAGS, "--data", "others", "--out", "run", "--resume"],
    1,
    "Expected the 20 images that the run began with but got others: --data must be as it was then",
  ],
  [
    ["train", "--data", "data", "--out", "run", "--resume", "--preset", "mnist"],
    2,
    "Expected the U-Net that the run in run began with but got another",
  ],
  [
    ["train", "--data", "less", "--out", "run", "--resume"],
    1,
    "Expected the 20 images that the run began with but got 4",
  ],
  [
    ["sample", "--checkpoint", "run", "--steps", "1001"],
    1,
    "Expected steps in 1..1000 but got 1001",
  ],
  [["sample", "--checkpoint", "run", "--steps", "300", "--spacing", "stride"], 1, "but got 300"],
  [["sample", "--checkpoint", "run", "--out", "/nowhere/x.png"], 1, "Requires write access to"],
  [["sample", "--checkpoint", "short"], 1, "Expected a checkpoint in short/model.safetensors."],
];

async function check(folder: string, [args, code, message]: Case): Promise<void> {
  const found = await cli(folder, ...args);
  const line = `${args.join(" ")}\n${found.stderr}`;
  assertEquals(found.code, code, line);
  assertStringIncludes(found.stderr, message, line);
  assertMatch(found.stderr, /^error: [^\n]+\n$/, `one line: ${line}`);
  assertEquals(found.stdout, "", line);
}

Deno.test("a command line that cannot work ends in one sentence and the right exit code", async () => {
  await inFolder(async (folder) => {
    await Deno.mkdir(`${folder}/bad`);
    const images = idxFile([1, 8, 8], new Array(64).fill(0));
    await Deno.writeFile(`${folder}/bad/train-images-idx3-ubyte`, images);
    await Deno.writeFile(`${folder}/bad/train-labels-idx1-ubyte`, idxFile([1], [10]));
    const large = JSON.stringify(unetConfigToDiffusers(MNIST_TINY));
    await Deno.writeTextFile(`${folder}/large.json`, large);
    await Deno.writeTextFile(`${folder}/bad.json`, '{"act_fn": "relu"}');
    for (const row of CASES) await check(folder, row);
  });
});

Deno.test("a command line that a run contradicts ends in one sentence and the right exit code", async () => {
  await inFolder(async (folder) => {
    const made = await cli(folder, ...MICRO_FLAGS, "--steps", "2", "--out", "run");
    assertEquals(made.code, 0, made.stderr);
    await Deno.mkdir(`${folder}/less`);
    const images = idxFile([4, 8, 8], new Array(256).fill(0));
    await Deno.writeFile(`${folder}/less/train-images-idx3-ubyte`, images);
    await Deno.writeFile(`${folder}/less/train-labels-idx1-ubyte`, idxFile([4], [1, 2, 3, 4]));
    await Deno.mkdir(`${folder}/others`);
    const others = idxFile([20, 8, 8], new Array(20 * 64).fill(0));
    await Deno.writeFile(`${folder}/others/train-images-idx3-ubyte`, others);
    const labels = "train-labels-idx1-ubyte";
    await Deno.copyFile(`${folder}/data/${labels}`, `${folder}/others/${labels}`);
    await Deno.mkdir(`${folder}/short`);
    const model = await Deno.readFile(`${folder}/run/model.safetensors`);
    await Deno.writeFile(`${folder}/short/model.safetensors`, model.subarray(0, model.length - 1));
    const before = await Deno.readFile(`${folder}/run/checkpoint.safetensors`);
    for (const row of RUN_CASES) await check(folder, row);
    assertEquals(await Deno.readFile(`${folder}/run/checkpoint.safetensors`), before);
  });
});

Deno.test("help goes to standard output, names every flag and gives examples", async () => {
  await inFolder(async (folder) => {
    for (
      const [args, texts] of [
        [["--help"], ["train", "sample", "oracle"]],
        [["train", "--help"], ["--seed", "--resume", "(default 0.999)", "deno task train --steps"]],
        [["sample", "-h"], [
          "--eta",
          "One of ddpm, ddim. (default ddim)",
          "--guidance",
          "deno task sample",
        ]],
      ] as const
    ) {
      const { code, stdout, stderr } = await cli(folder, ...args);
      assertEquals([code, stderr], [0, ""]);
      for (const text of texts) assertStringIncludes(stdout, text);
    }
  });
});
