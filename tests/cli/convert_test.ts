/** `convert`, as a user runs it. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { decodeCheckpoint, encodeCheckpoint } from "../../src/spec/checkpoint.ts";
import { readDiffusersFolder } from "../../src/convert/diffusers_folder.ts";
import { inFolder, MODEL, RUN, RUN_BYTES, safetensorsFile } from "../convert/support.ts";
import { cli } from "./support.ts";

const GOLDEN = new URL("../golden/", import.meta.url).pathname;
const SHIPPED = new URL("../../models/mnist-tiny", import.meta.url).pathname;

/** A folder with the checkpoint of a run in `run/`. */
function withRun(test: (folder: string) => Promise<void>): Promise<void> {
  return inFolder(async (folder) => {
    await Deno.mkdir(`${folder}/run`);
    await Deno.writeFile(`${folder}/run/checkpoint.safetensors`, RUN_BYTES);
    await test(folder);
  });
}

Deno.test("convert takes a run to a folder of diffusers and back, byte by byte", () =>
  withRun(async (folder) => {
    const there = await cli(folder, "convert", "run", "hub/model");
    assertEquals([there.code, there.stdout], [0, "hub/model\n"], there.stderr);
    assertStringIncludes(there.stderr, "run/checkpoint.safetensors, step 12, ema weights");
    const back = await cli(folder, "convert", "hub/model", "back/checkpoint.safetensors");
    assertEquals(back.code, 0, back.stderr);
    assertEquals(await Deno.readFile(`${folder}/back/checkpoint.safetensors`), RUN_BYTES);
  }));

Deno.test("convert takes the model of the package to a folder and back, byte by byte", () =>
  inFolder(async (folder) => {
    assertEquals((await cli(folder, "convert", SHIPPED, "hub")).code, 0);
    assertEquals((await cli(folder, "convert", "hub", "model.safetensors")).code, 0);
    assertEquals(
      await Deno.readFile(`${folder}/model.safetensors`),
      await Deno.readFile(`${SHIPPED}/model.safetensors`),
    );
  }));

Deno.test("convert --half writes float16, says the worst rounding, and keeps what is float16 already", () =>
  withRun(async (folder) => {
    const { code, stderr } = await cli(folder, "convert", "run", "half.safetensors", "--half");
    assertEquals(code, 0, stderr);
    const errors = [...RUN.ema].flatMap(([name, { data }]) =>
      Array.from(data, (x) => ({ name, x, error: Math.abs(Math.f16round(x) - x) }))
    );
    const worst = errors.reduce((a, b) => b.error > a.error ? b : a);
    assertStringIncludes(
      stderr,
      `rounded to the nearest float16: at most ${worst.error.toPrecision(3)} off, for a value of ` +
        `${worst.x.toPrecision(3)} in ${worst.name}`,
    );
    const half = await Deno.readFile(`${folder}/half.safetensors`);
    assertEquals(half, encodeCheckpoint(MODEL, "F16"));
    const again = await cli(folder, "convert", "half.safetensors", "hub", "--half");
    assertStringIncludes(again.stderr, "every weight is a float16 as it is");
    assertEquals((await cli(folder, "convert", "hub", "back.safetensors", "--half")).code, 0);
    assertEquals(await Deno.readFile(`${folder}/back.safetensors`), half);
  }));

Deno.test("convert --weights raw makes the weights of the last step those to sample with", () =>
  withRun(async (folder) => {
    const args = ["--weights", "raw"];
    assertEquals((await cli(folder, "convert", "run", "raw.safetensors", ...args)).code, 0);
    const file = decodeCheckpoint(await Deno.readFile(`${folder}/raw.safetensors`));
    assertEquals(file, { ...MODEL, ema: RUN.training.model });
    assertEquals((await cli(folder, "convert", ...args, "run", "hub")).code, 0);
    const { checkpoint } = await readDiffusersFolder(`${folder}/hub/unet`);
    assertEquals(checkpoint.ema, RUN.training.model);
    const refused = await cli(folder, "convert", "raw.safetensors", "other", ...args);
    assertEquals([refused.code, refused.stdout], [1, ""]);
    assertStringIncludes(refused.stderr, "raw.safetensors but it only holds averaged ones");
  }));

Deno.test("convert keeps how a folder is sampled, but for the scheduler that is asked for", () =>
  withRun(async (folder) => {
    assertEquals((await cli(folder, "convert", "run", "a", "--scheduler", "ddim")).code, 0);
    assertEquals((await cli(folder, "convert", "a", "b")).code, 0);
    assertEquals((await cli(folder, "convert", "b", "c", "--scheduler", "ddpm")).code, 0);
    const samplers = await Promise.all(
      ["a", "b", "c"].map(async (name) =>
        (await readDiffusersFolder(`${folder}/${name}`)).scheduler?.sampling.sampler
      ),
    );
    assertEquals(samplers, ["ddim", "ddim", "ddpm"]);
    const index = JSON.parse(await Deno.readTextFile(`${folder}/b/model_index.json`));
    assertEquals(index._class_name, "DDIMPipeline");
    assertEquals(index.scheduler, ["diffusers", "DDIMScheduler"]);
  }));

Deno.test("convert takes the DDPM code's weights, of images of the size that is given", () =>
  inFolder(async (folder) => {
    const golden = await Deno.readFile(`${GOLDEN}/unet_ddim_tiny.safetensors`);
    const view = new DataView(golden.buffer);
    const start = 8 + Number(view.getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(golden.subarray(8, start)));
    const entries = Object.entries<{ shape: number[]; data_offsets: [number, number] }>(header)
      .filter(([name]) => name.startsWith("param/"))
      .map(([name, { shape, data_offsets: [from, to] }]) =>
        [
          name.slice("param/".length),
          { shape, data: new Float32Array(golden.slice(start + from, start + to).buffer) },
        ] as const
      );
    await Deno.writeFile(`${folder}/ddim.safetensors`, safetensorsFile(entries));
    const without = await cli(folder, "convert", "ddim.safetensors", "a.safetensors");
    assertEquals(without.code, 2);
    assertStringIncludes(without.stderr, "Expected --size with ddim.safetensors");
    const args = ["ddim.safetensors", "a.safetensors", "--size", "16"];
    const { code, stderr } = await cli(folder, "convert", ...args);
    assertEquals(code, 0, stderr);
    const { unet, ema } = decodeCheckpoint(await Deno.readFile(`${folder}/a.safetensors`));
    assertEquals(unet.sampleSize, 16);
    const weight = entries.find(([name]) => name === "mid.attn_1.q.weight");
    assertEquals(ema.get("mid_block.attentions.0.to_q.weight")?.data, weight?.[1].data);
  }));

Deno.test("convert says that a model without a scheduler is taken to be DDPM's", () =>
  inFolder(async (folder) => {
    const from = `${GOLDEN}diffusers_unet_tiny`;
    const { code, stderr } = await cli(folder, "convert", from, "a.safetensors");
    assertEquals(code, 0, stderr);
    assertStringIncludes(
      stderr,
      "has no scheduler: its process is taken to be DDPM's, and its output ε",
    );
  }));

Deno.test("convert writes over nothing without --force", () =>
  withRun(async (folder) => {
    for (const to of ["run", "run/checkpoint.safetensors"]) {
      const { code, stderr } = await cli(folder, "convert", "run", to);
      assertEquals(code, 1);
      assertStringIncludes(stderr, `Expected nothing at ${to} yet: write over it with --force`);
    }
    const { code } = await cli(folder, "convert", "run", "run/checkpoint.safetensors", "--force");
    assertEquals(code, 0);
    assertEquals(await Deno.readFile(`${folder}/run/checkpoint.safetensors`), RUN_BYTES);
  }));

const WRONG: [args: string[], code: number, message: string][] = [
  [[], 2, "Expected FROM and TO after convert but got neither"],
  [["run"], 2, "Expected FROM and TO after convert but got run"],
  [["run", "a", "b"], 2, "Expected flags of convert but got b"],
  [
    ["run", "a", "--to", "ddpm"],
    2,
    "Expected a TO that ends in .safetensors with --to ddpm but got a",
  ],
  [["run", "a.safetensors", "--to", "diffusers"], 2, "Expected a folder as TO with --to diffusers"],
  [["run", "a.safetensors", "--scheduler", "ddim"], 2, "only with a folder of diffusers as TO"],
  [["run", "a.safetensors", "--size", "8"], 2, "but run tells its own"],
  [["nowhere", "a.safetensors"], 1, "at nowhere but found none"],
  [
    ["bad.safetensors", "a.safetensors"],
    1,
    "Expected a sound bad.safetensors. Expected a safetensors file",
  ],
];

Deno.test("convert refuses in one line what it cannot do, and writes nothing", () =>
  withRun(async (folder) => {
    await Deno.writeTextFile(`${folder}/bad.safetensors`, "abc");
    for (const [args, code, message] of WRONG) {
      const found = await cli(folder, "convert", ...args);
      assertEquals([found.code, found.stdout], [code, ""], args.join(" "));
      assertStringIncludes(found.stderr, message);
      assertEquals(found.stderr.trimEnd().split("\n").length, 1);
    }
    const names = (await Array.fromAsync(Deno.readDir(folder), ({ name }) => name)).sort();
    assertEquals(names, ["bad.safetensors", "run"]);
  }));
