import { assertEquals, assertNotEquals, assertStringIncludes } from "@std/assert";
import { writeDiffusersFolder } from "../../src/convert/write_diffusers_folder.ts";
import { encodeCheckpoint } from "../../src/spec/checkpoint.ts";
import { cli } from "./support.ts";
import { liveCheckpoint, MICRO_CLASSES, withModels } from "./sample_models.ts";

Deno.test("what the output stands for is honoured, of a checkpoint and of a folder of diffusers", async () => {
  await withModels(async (folder) => {
    const draw = async (model: string) => {
      const flags = ["--steps", "4", "--count", "6", "--device", "cpu", "--out", "x.png"];
      const { code, stderr } = await cli(folder, "sample", "--model", model, ...flags);
      assertEquals(code, 0, stderr);
      return await Deno.readFile(`${folder}/x.png`);
    };
    const epsilon = await draw("classes.safetensors");
    for (const prediction of ["v", "x0"] as const) {
      const checkpoint = liveCheckpoint(MICRO_CLASSES, { prediction });
      await Deno.writeFile(`${folder}/model.safetensors`, encodeCheckpoint(checkpoint));
      await writeDiffusersFolder(`${folder}/pipeline-${prediction}`, checkpoint);
      const images = await draw("model.safetensors");
      assertNotEquals(images, epsilon);
      assertEquals(await draw(`pipeline-${prediction}`), images);
    }
  });
});

Deno.test("without --model the model that ships is drawn from, the better one if it is there", async () => {
  await withModels(async (folder) => {
    const draw = () =>
      cli(folder, "sample", "--steps", "1", "--count", "1", "--device", "cpu", "--json");
    const none = await draw();
    assertEquals(none.code, 1);
    assertStringIncludes(none.stderr, "at models/mnist-tiny but found none");
    for (const name of ["mnist-tiny", "mnist"]) {
      await Deno.mkdir(`${folder}/models/${name}`, { recursive: true });
      await Deno.copyFile(
        `${folder}/plain.safetensors`,
        `${folder}/models/${name}/model.safetensors`,
      );
      const { stdout, stderr } = await draw();
      assertEquals(JSON.parse(stdout).checkpoint, `models/${name}/model.safetensors`, stderr);
    }
  });
});
