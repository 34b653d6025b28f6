/**
 * What a run promises whatever ends it: every file whole, and a run that goes on is bit for bit the one that
 * was never ended. tests/slow/resume_test.ts does it on a device, more often.
 */
import { checkKilledRun } from "./kills.ts";
import { inFolder, MICRO_FLAGS } from "./support.ts";

Deno.test("a run that is killed three times is bit for bit the run that was not", async () => {
  await inFolder(async (folder) => {
    const flags = [...MICRO_FLAGS, "--save-every", "2", "--sample-every", "0"];
    await checkKilledRun(folder, flags, { kills: 3, seed: 1, window: [0, 400] });
  });
});
