import { assertEquals } from "@std/assert";
import { fuzz } from "../support/fuzz_run.ts";

Deno.test("100,000 damaged files are read or refused in one line, soon and in little memory", async () => {
  const { inputs, read, refused, slowest, faults } = await fuzz(100_000);
  // deno-lint-ignore no-console
  console.log(
    `${inputs} inputs: ${read} read, ${refused} refused; the slowest took ` +
      `${Math.round(slowest.milliseconds)} ms (${slowest.input})`,
  );
  assertEquals(faults, []);
});
