import { assert, assertEquals } from "@std/assert";
import { abuse } from "../support/protocol_abuse.ts";

Deno.test("2,000 lines that no client should send get an answer each over a pipe, good ones the right one", async () => {
  const { answers, known, errors, code } = await abuse(2000, 1);
  assertEquals([answers, errors, code], [2000, "", 0]);
  assert(known >= 1000, `${known}`);
});
