/**
 * A run on the device that is killed twenty times, also while it saves or draws, and gone on with each time,
 * leaves the same bytes as one that was not.
 */
import { unetConfigToDiffusers } from "../../src/spec/unet_config.ts";
import { assert } from "@std/assert";
import { checkKilledRun } from "../cli/kills.ts";
import { inFolder, MICRO, MICRO_TRAINING } from "../cli/support.ts";
import { print } from "../support/print.ts";
import { gpuTest } from "../webgpu/gpu_test.ts";

gpuTest("a run that is killed twenty times is bit for bit the run that was not", async () => {
  await inFolder(async (folder) => {
    // More weights, so that a save is long enough to be hit.
    const wide = { ...MICRO, blockOutChannels: [32, 64] };
    await Deno.writeTextFile(`${folder}/unet.json`, JSON.stringify(unetConfigToDiffusers(wide)));
    const flags = [...MICRO_TRAINING, "--device", "webgpu", "--save-every", "2"];
    const figures = await checkKilledRun(folder, [...flags, "--sample-every", "10"], {
      kills: 20,
      seed: 2,
      window: [0, 4000],
    });
    print(JSON.stringify(figures));
    assert(figures.midWrite > 0, "no kill met a file that was being written");
    assert(figures.steps > 10, `it came to step ${figures.steps} alone`);
  });
});
