/** Folders of diffusers, read and written, without diffusers: what it makes of them is in tests/interop. */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import {
  type DiffusersModel,
  isDiffusersFolder,
  readDiffusersFolder,
} from "../../src/convert/diffusers_folder.ts";
import { writeDiffusersFolder } from "../../src/convert/write_diffusers_folder.ts";
import { ArgumentError } from "../../src/math/errors.ts";
import { type Checkpoint, encodeCheckpoint } from "../../src/spec/checkpoint.ts";
import { FormatError } from "../../src/spec/format_error.ts";
import { DDPM_SCHEDULE } from "../../src/spec/schedule_config.ts";
import { unetConfigToDiffusers } from "../../src/spec/unet_config.ts";
import type { Parameters } from "../../src/spec/unet_parameters.ts";
import { unetForward } from "../../src/reference/unet.ts";
import { inDouble } from "../support/doubles.ts";
import { goldenTensor, readSafetensors } from "../support/safetensors.ts";
import { type Entry, inFolder, MODEL, RUN, RUN_BYTES, safetensorsFile, TINY } from "./support.ts";

const WEIGHTS = "unet/diffusion_pytorch_model.safetensors";
const GOLDEN = new URL("../golden/diffusers_unet_tiny", import.meta.url).pathname;

async function bytesOf(folder: string): Promise<Uint8Array> {
  return encodeCheckpoint((await readDiffusersFolder(folder)).checkpoint);
}

/** Changes a JSON file. */
async function edit(path: string, change: (json: Record<string, unknown>) => void): Promise<void> {
  const json = JSON.parse(await Deno.readTextFile(path));
  change(json);
  await Deno.writeTextFile(path, JSON.stringify(json));
}

/** Weights under their own names. */
function entries(parameters: Parameters, dtype?: Entry["dtype"]): Map<string, Entry> {
  return new Map([...parameters].map(([name, tensor]) => [name, { ...tensor, dtype }]));
}

/** A model's folder without a pipeline around it. */
async function writeModel(folder: string, weights: Iterable<readonly [string, Entry]>) {
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(`${folder}/config.json`, JSON.stringify(unetConfigToDiffusers(TINY)));
  await Deno.writeFile(
    `${folder}/diffusion_pytorch_model.safetensors`,
    safetensorsFile(weights),
  );
}

for (const weights of ["ema", "raw"] as const) {
  Deno.test(`a checkpoint comes back from a folder byte by byte: ${weights} weights in unet/`, () =>
    inFolder(async (folder) => {
      await writeDiffusersFolder(folder, RUN, { weights });
      assertEquals(await bytesOf(folder), RUN_BYTES);
    }));
}

Deno.test("so does one without the state of training, and of a schedule that diffusers has no name for", () =>
  inFolder(async (folder) => {
    for (
      const schedule of [DDPM_SCHEDULE, { kind: "inverse", T: 9 }, {
        kind: "cosine",
        T: 3,
        s: 0.1,
      }] as const
    ) {
      const checkpoint: Checkpoint = { ...MODEL, schedule };
      await writeDiffusersFolder(folder, checkpoint);
      assertEquals(await bytesOf(folder), encodeCheckpoint(checkpoint));
    }
  }));

Deno.test("a folder that is written over keeps nothing of what was there", () =>
  inFolder(async (folder) => {
    await writeDiffusersFolder(folder, RUN, { weights: "raw" });
    await writeDiffusersFolder(folder, MODEL);
    assertEquals(await bytesOf(folder), encodeCheckpoint(MODEL));
  }));

Deno.test("unet/ holds the weights that are asked for", () =>
  inFolder(async (folder) => {
    for (const [weights, parameters] of [["ema", RUN.ema], ["raw", RUN.training.model]] as const) {
      await writeDiffusersFolder(folder, RUN, { weights });
      const found = await readDiffusersFolder(`${folder}/unet`);
      assertEquals(found.checkpoint.ema, parameters);
      assertEquals(found.scheduler, null);
    }
  }));

Deno.test("float16 leaves the state of training out, and rounds to nearest", () =>
  inFolder(async (folder) => {
    await writeDiffusersFolder(folder, RUN, { dtype: "F16" });
    const { checkpoint } = await readDiffusersFolder(folder);
    const ema = new Map(
      [...RUN.ema].map(([k, { shape, data }]) => [k, { shape, data: data.map(Math.f16round) }]),
    );
    assertEquals(checkpoint, { ...MODEL, ema });
  }));

Deno.test("where diffusers' files have been changed since, they go before training_state.json", () =>
  inFolder(async (folder) => {
    await writeDiffusersFolder(folder, MODEL);
    await edit(`${folder}/scheduler/scheduler_config.json`, (json) => {
      json.beta_end = 0.03;
      json.prediction_type = "sample";
    });
    const { checkpoint } = await readDiffusersFolder(folder);
    const expected = { kind: "linear", T: 1000, betaStart: 1e-4, betaEnd: 0.03 } as const;
    assertEquals(checkpoint.schedule, expected);
    assertEquals(checkpoint.prediction, "x0");
    assertEquals(checkpoint.step, 12);
  }));

Deno.test("the golden model of diffusers gives its golden output", async () => {
  const { checkpoint: { unet, ema } } = await readDiffusersFolder(GOLDEN);
  const io = readSafetensors("diffusers_unet_tiny/io.safetensors");
  const wide = new Map([...ema].map(([name, tensor]) => [name, inDouble(tensor)]));
  const t = [...goldenTensor(io, "t").data];
  const { output } = unetForward(unet, wide, inDouble(goldenTensor(io, "x")), t);
  // The golden data's own noise is below 1e−13·(1 + |value|) (see their README).
  goldenTensor(io, "out").data.forEach((value, i) => {
    const error = Math.abs(output.data[i] - value);
    assertEquals(error <= 1e-13 * (1 + Math.abs(value)), true, `${output.data[i]} for ${value}`);
  });
});

Deno.test("attention's layers may have the names that they had before diffusers 0.15", () =>
  inFolder(async (folder) => {
    const legacy = [...entries(MODEL.ema)].map(([name, entry]): [string, Entry] => [
      name.replace(".to_q.", ".query.").replace(".to_k.", ".key.").replace(".to_v.", ".value.")
        .replace(".to_out.0.", ".proj_attn."),
      entry,
    ]);
    assertEquals(legacy.filter(([name]) => /query|key|value|proj_attn/.test(name)).length, 32);
    await writeModel(folder, legacy);
    assertEquals((await readDiffusersFolder(folder)).checkpoint.ema, MODEL.ema);
  }));

Deno.test("weights may be float64, float16 or bfloat16", () =>
  inFolder(async (folder) => {
    // Sums of few powers of two are exact in all of them.
    const exact = new Map(
      [...MODEL.ema].map(([k, { shape, data }]) => [k, {
        shape,
        data: data.map((_, i) => 1 - (i % 8) / 4),
      }]),
    );
    for (const dtype of ["F64", "F32", "F16", "BF16"] as const) {
      await writeModel(folder, entries(exact, dtype));
      assertEquals((await readDiffusersFolder(folder)).checkpoint.ema, exact, dtype);
    }
  }));

Deno.test("everything may lie in one folder, as in early repositories", () =>
  inFolder(async (folder) => {
    await writeDiffusersFolder(`${folder}/new`, MODEL);
    await writeModel(`${folder}/old`, entries(MODEL.ema));
    for (const file of ["model_index.json", "scheduler/scheduler_config.json"]) {
      await Deno.copyFile(`${folder}/new/${file}`, `${folder}/old/${file.replace(/.*\//, "")}`);
    }
    const { checkpoint } = await readDiffusersFolder(`${folder}/old`);
    assertEquals(checkpoint, { ...MODEL, step: 0, seed: 0, train: {} });
  }));

Deno.test("an infinity that Python writes as a bare word is read", () =>
  inFolder(async (folder) => {
    await writeDiffusersFolder(folder, MODEL);
    await Deno.writeTextFile(
      `${folder}/scheduler/scheduler_config.json`,
      '{"_class_name": "DPMSolverMultistepScheduler",\n"lambda_min_clipped": -Infinity,\n"solver_order": 2}',
    );
    const { scheduler }: DiffusersModel = await readDiffusersFolder(folder);
    assertEquals(scheduler?.sampling.sampler, "dpmSolver");
  }));

Deno.test("a run of this package is no folder of diffusers", () =>
  inFolder(async (folder) => {
    await Deno.writeTextFile(
      `${folder}/config.json`,
      JSON.stringify({ unet: unetConfigToDiffusers(TINY) }),
    );
    assertEquals(await isDiffusersFolder(folder), false);
    assertEquals(await isDiffusersFolder(GOLDEN), true);
    assertEquals(await isDiffusersFolder(`${folder}/nowhere`), false);
  }));

Deno.test("nothing is written of a checkpoint that cannot be", () =>
  inFolder(async (folder) => {
    const keep = { ...MODEL, schedule: { ...DDPM_SCHEDULE, keep: [1, 1000] } };
    await assertRejects(() => writeDiffusersFolder(folder, keep), ArgumentError, "that keeps some");
    const raw = writeDiffusersFolder(folder, MODEL, { weights: "raw" });
    await assertRejects(() => raw, ArgumentError, "but got averaged ones only");
    const [name] = MODEL.ema.keys();
    const large = new Map(MODEL.ema).set(name, {
      ...MODEL.ema.get(name)!,
      data: MODEL.ema.get(name)!.data.map(() => 1e5),
    });
    const half = writeDiffusersFolder(folder, { ...MODEL, ema: large }, { dtype: "F16" });
    await assertRejects(() => half, ArgumentError, "Expected values within ±65504 for F16");
    assertEquals(await Array.fromAsync(Deno.readDir(folder)), []);
  }));

/** Ways to spoil a folder with a whole run in it, and what is then said. */
const SPOILT: [what: string, spoil: (folder: string) => Promise<void>, message: string][] = [
  [
    "another pipeline",
    (f) => edit(`${f}/model_index.json`, (json) => json._class_name = "LDMPipeline"),
    'model_index.json to be of a DDPMPipeline or a DDIMPipeline but got "LDMPipeline"',
  ],
  [
    "another network",
    (f) => edit(`${f}/model_index.json`, (json) => json.unet = ["diffusers", "UNet1DModel"]),
    "the unet of",
  ],
  [
    "a field of the network",
    (f) => edit(`${f}/unet/config.json`, (json) => json.time_embedding_type = "fourier"),
    'unet/config.json. Expected time_embedding_type to be "positional" but got "fourier"',
  ],
  [
    "a field of the scheduler",
    (f) => edit(`${f}/scheduler/scheduler_config.json`, (json) => json.beta_schedule = "laplace"),
    "scheduler_config.json. Expected beta_schedule to be",
  ],
  ["no scheduler", (f) => Deno.remove(`${f}/scheduler/scheduler_config.json`), "Expected a file"],
  ["no weights", (f) => Deno.remove(`${f}/${WEIGHTS}`), "Expected weights in"],
  [
    "weights in parts",
    (f) => Deno.rename(`${f}/${WEIGHTS}`, `${f}/${WEIGHTS}.index.json`),
    "weights in several files are not read: save the model again with a larger max_shard_size",
  ],
  [
    "pickled weights",
    (f) => Deno.rename(`${f}/${WEIGHTS}`, `${f}/unet/diffusion_pytorch_model.bin`),
    "save it with safe_serialization=True",
  ],
  [
    "weights cut short",
    (f) => Deno.truncate(`${f}/${WEIGHTS}`, 2000),
    "unet/diffusion_pytorch_model.safetensors. Expected",
  ],
  [
    "a config that is no JSON",
    (f) => Deno.writeTextFile(`${f}/unet/config.json`, "{"),
    "config.json",
  ],
  [
    "a config of a million blocks",
    (f) => edit(`${f}/unet/config.json`, (json) => json.layers_per_block = 1048576),
    "Expected tensors for 2097152 residual blocks",
  ],
  [
    "moments under other names",
    async (f) => {
      const file = safetensorsFile([["momentum/conv_in.bias", { shape: [1], data: [0] }]]);
      await Deno.writeFile(`${f}/optimizer.safetensors`, file);
    },
    'but got "momentum/conv_in.bias"',
  ],
  [
    "a moment lost",
    (f) => Deno.writeFile(`${f}/optimizer.safetensors`, safetensorsFile([])),
    'it misses "exp_avg/conv_in.weight"',
  ],
  [
    "no raw weights",
    (f) => Deno.remove(`${f}/unet_raw/diffusion_pytorch_model.safetensors`),
    "unet_raw/diffusion_pytorch_model.safetensors but found none",
  ],
  [
    "another version of the state",
    (f) => edit(`${f}/training_state.json`, (json) => json.version = 2),
    'and version 1 but got "ddpm-training-state" and 2',
  ],
  [
    "a step that is none",
    (f) => edit(`${f}/training_state.json`, (json) => json.step = -1),
    "training_state.json. Expected step in 0..2^53 - 1 but got -1",
  ],
  [
    "weights of neither kind",
    (f) => edit(`${f}/training_state.json`, (json) => json.weights = "best"),
    'Expected weights "ema" or "raw"',
  ],
  [
    "no schedule",
    (f) => edit(`${f}/training_state.json`, (json) => json.schedule = []),
    "Expected a schedule with a kind",
  ],
  [
    "nested options",
    (f) => edit(`${f}/training_state.json`, (json) => json.train = { a: {} }),
    "Expected train to be an object of texts, numbers and switches",
  ],
];

for (const [what, spoil, message] of SPOILT) {
  Deno.test(`a folder that is not as it should be is refused in one sentence: ${what}`, () =>
    inFolder(async (folder) => {
      await writeDiffusersFolder(folder, RUN);
      await spoil(folder);
      const error = await assertRejects(() => readDiffusersFolder(folder), FormatError);
      assertStringIncludes(error.message, message);
      assertEquals(error.message.includes("\n"), false);
    }));
}

Deno.test("a tensor with two names at once is refused", () =>
  inFolder(async (folder) => {
    const name = "mid_block.attentions.0.query.bias";
    await writeModel(folder, entries(MODEL.ema).set(name, { shape: [4], data: [0, 0, 0, 0] }));
    const error = await assertRejects(() => readDiffusersFolder(folder), FormatError);
    assertStringIncludes(error.message, `${name} is another`);
  }));
