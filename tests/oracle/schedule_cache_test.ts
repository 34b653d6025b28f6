import { assert, assertEquals } from "@std/assert";
import { ScheduleCache } from "../../src/oracle/schedule_cache.ts";

Deno.test("tables are made once for a schedule that is asked for again", () => {
  const cache = new ScheduleCache();
  const first = cache.get({ kind: "inverse", T: 3 });
  assert(cache.get({ kind: "inverse", T: 3 }) === first);
  assert(cache.get({ kind: "inverse", T: 3, keep: [1, 3] }) !== first);
  assertEquals(cache.get({ kind: "inverse", T: 4 }).T, 4);
});

Deno.test("the oldest tables are forgotten, after many schedules or after long ones", () => {
  const cache = new ScheduleCache();
  const first = cache.get({ kind: "inverse", T: 3 });
  for (let T = 10; T < 73; T++) cache.get({ kind: "inverse", T });
  assert(cache.get({ kind: "inverse", T: 3 }) === first);
  cache.get({ kind: "inverse", T: 73 });
  const again = cache.get({ kind: "inverse", T: 3 });
  assert(again !== first);
  for (const beta of [0.1, 0.2, 0.3]) cache.get({ kind: "constant", T: 700_000, beta });
  assert(cache.get({ kind: "inverse", T: 3 }) !== again);
});
