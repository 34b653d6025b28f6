import { assert, assertEquals } from "@std/assert";
import { damagedFile, fuzz } from "../support/fuzz_run.ts";
import { FUZZ_TARGETS } from "../support/fuzz_targets.ts";

Deno.test("every valid file that is damaged for the tests is read as it is", async () => {
  for (const { name, files, read } of FUZZ_TARGETS) {
    for (const file of files) assert(await read(file) !== undefined, name);
  }
});

Deno.test("2,000 damaged files are read or refused in one line, soon and in little memory", async () => {
  const { faults, read, refused } = await fuzz(2000);
  assertEquals(faults, []);
  // Damage that is always refused at the door, or never, would test nothing behind it.
  assert(read > 200 && refused > 1000, `${read} read, ${refused} refused`);
});

Deno.test("a damaged file depends on its number alone", () => {
  for (const target of FUZZ_TARGETS) {
    assertEquals(damagedFile(target, 77), damagedFile(target, 77));
    const distinct = new Set(Array.from({ length: 20 }, (_, n) => damagedFile(target, n).join()));
    assert(distinct.size > 10, `${target.name}: ${distinct.size} of 20`);
  }
});
