import { assert, assertEquals } from "@std/assert";
import { abuse } from "../support/protocol_abuse.ts";

const LINES = 100_000;

/**
 * Growth in MiB between the medians of the second and the last quarter of the samples, whose middles lie
 * half of the lines apart. What a collector leaves lying about moves single samples by up to 100 MiB in
 * either direction and medians by 20. Lines are 2.5 KiB long on average, without the hundred of 8 and 16
 * MiB: a process that kept every line would grow by 120 MiB, one that kept a kilobyte and a half of
 * each by 70, and one that kept the long ones by more than 400.
 */
const MAX_GROWTH = 64;
/** A line of 16 MiB is read up to 8, held as bytes, as text and as a list of 4 million numbers at once. */
const MAX_MEMORY = 512;

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}

Deno.test({
  name: "100,000 malformed, huge, truncated and random lines get 100,000 answers, in little memory",
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    const { answers, known, memory, errors, code } = await abuse(LINES, 20200619);
    const quarter = Math.floor(memory.length / 4);
    const growth = median(memory.slice(-quarter)) - median(memory.slice(quarter, 2 * quarter));
    // deno-lint-ignore no-console
    console.log(
      `${answers} answers, ${known} of them known beforehand; resident memory grew by ` +
        `${growth.toFixed(0)} MiB to at most ${Math.max(...memory).toFixed(0)} MiB`,
    );
    assertEquals([answers, errors, code], [LINES, "", 0]);
    // Every second line is a good request.
    assert(known >= LINES / 2, `${known}`);
    assert(memory.length >= 90, `${memory.length} samples`);
    assert(growth <= MAX_GROWTH, `${growth} MiB: ${memory}`);
    assert(Math.max(...memory) <= MAX_MEMORY, `${memory}`);
  },
});
