import { assertEquals } from "@std/assert";
import { deviationsOf } from "../../src/cli/deviations.ts";
import { createOracle } from "../../src/oracle/mod.ts";
import type { Candidate } from "../../src/oracle/verify/mod.ts";

function noFile(): never {
  throw new Error("no files here");
}

type Result = Record<string, unknown>;

/** The reference itself, its results changed. */
function changed(change: (request: Readonly<Result>, result: Result) => void) {
  const oracle = createOracle({ version: "0", readFile: noFile, writeFile: noFile });
  const candidate: Candidate = {
    name: "changed",
    ops: ["schedule", "ddpm_step", "timesteps"],
    ask: (request) => {
      const answer = JSON.parse(oracle.answer(JSON.stringify(request)));
      if (!answer.ok) return Promise.resolve({ ok: false, ...answer.error });
      change(request, answer.result);
      return Promise.resolve({ ok: true, result: answer.result });
    },
  };
  return () => Promise.resolve({ candidate, close: () => Promise.resolve() });
}

const OPTIONS = { runs: 60, seed: 3 };

Deno.test("a deviation does not hide another in the same operation", async () => {
  const start = changed((request, result) => {
    const x = result.x as { data: (number | string)[] };
    if (request.variance === "learned") x.data = x.data.map(() => "NaN");
    if (request.prediction === "v" && request.variance === "beta") {
      x.data = x.data.map((value) => Number(value) + 0.1);
    }
  });
  const { rest, deviations } = await deviationsOf(start, "ddpm_step", OPTIONS);
  const found = deviations.map(({ failure, options }) => [
    failure.got !== null && Number.isFinite(failure.got) ? "off" : "not finite",
    [...new Set(options.map(({ prediction }) => prediction))].sort().join(),
    [...new Set(options.map(({ variance }) => variance))].join(),
  ]);
  assertEquals(found, [
    ["not finite", "epsilon,previousX,v,x0", "learned"],
    ["off", "v", "beta"],
  ]);
  assertEquals([rest.verdict, rest.failure], ["conforms", null]);
});

Deno.test("first entries of tables are masked one by one, other entries are judged", async () => {
  const start = changed((_, result) => {
    const [log, ...rest] = result.logBetaTildeClipped as number[];
    result.logBetaTildeClipped = [log - 1, ...rest];
    const alpha = result.alpha as number[];
    result.alpha = alpha.map((value, i) => i === 2 ? value * 0.9 : value);
  });
  const { deviations } = await deviationsOf(start, "schedule", OPTIONS);
  assertEquals(
    deviations.map(({ failure: { field, index } }) => [field, index]).sort(),
    [["alpha", 2], ["logBetaTildeClipped", 0]],
  );
});

Deno.test("an answer of another length counts as a deviation of its options only", async () => {
  const start = changed((request, result) => {
    if (request.spacing === "linspace") (result.timesteps as number[]).push(0);
  });
  const { rest, deviations } = await deviationsOf(start, "timesteps", OPTIONS);
  assertEquals(deviations.map(({ options }) => options), [[{ spacing: "linspace" }]]);
  assertEquals(rest.verdict, "conforms");
});

Deno.test("what is right has no deviations", async () => {
  const { rest, deviations } = await deviationsOf(changed(() => {}), "ddpm_step", OPTIONS);
  assertEquals([rest.verdict, deviations], ["conforms", []]);
});
