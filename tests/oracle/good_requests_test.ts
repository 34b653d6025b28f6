import { assert, assertEquals } from "@std/assert";
import { roundingBound, U64 } from "../../src/math/float32.ts";
import { ops } from "../../src/oracle/ops/mod.ts";
import { ask, oracleInMemory } from "../support/oracle_session.ts";
import { protocolValidator } from "../support/json_schema.ts";
import { CASES } from "./cases/mod.ts";

/**
 * What double arithmetic may add: the cases take at most 64 operations on numbers of magnitude at most
 * 32, on either side of the comparison.
 */
const DOUBLE_SLACK = 2 * 64 * U64 * 32;

/** Compares results with expected doubles; inside a tensor, after one rounding to float32. */
function compare(found: unknown, expected: unknown, where: string, stored: boolean): void {
  if (typeof expected === "number") {
    const bound = (stored ? roundingBound(expected) : 0) + DOUBLE_SLACK;
    const distance = Math.abs(Number(found) - expected);
    assert(
      typeof found === "number" && distance <= bound,
      `Expected ${expected} at ${where} but got ${found}: ${distance} apart, over ${bound}`,
    );
  } else if (Array.isArray(expected)) {
    assert(Array.isArray(found), `Expected a list at ${where}`);
    assertEquals(found.length, expected.length, `length at ${where}`);
    expected.forEach((value, i) => compare(found[i], value, `${where}[${i}]`, stored));
  } else if (typeof expected === "object" && expected !== null) {
    const want = expected as Record<string, unknown>, got = found as Record<string, unknown>;
    assertEquals(Object.keys(got).sort(), Object.keys(want).sort(), `fields at ${where}`);
    const isTensor = "data" in want;
    for (const key of Object.keys(want)) {
      compare(got[key], want[key], `${where}.${key}`, stored || (isTensor && key === "data"));
    }
  } else assertEquals(found, expected, where);
}

for (const { name, request, expected } of CASES) {
  Deno.test(`${request.op} answers ${name}`, () => {
    const { oracle } = oracleInMemory();
    const answer = ask(oracle, { id: name, ...request });
    assert(answer.ok, `Expected a result but got ${answer.error?.message}`);
    assertEquals(answer.id, name);
    compare(answer.result, expected, request.op, false);
  });
}

Deno.test("every operation has a case", () => {
  const covered = new Set(CASES.map(({ request }) => request.op));
  assertEquals(Object.keys(ops).filter((op) => !covered.has(op)), []);
});

Deno.test("every case and its answer are valid under the schema", () => {
  const validator = protocolValidator();
  const { oracle } = oracleInMemory();
  for (const { name, request } of CASES) {
    assertEquals(validator.fault("#/$defs/request", request), null, name);
    const answer = ask(oracle, request);
    assertEquals(validator.fault("#/$defs/answer", answer), null, name);
    assertEquals(validator.fault(`#/$defs/results/${request.op}`, answer.result), null, name);
  }
});

Deno.test("the same request is answered with the same text, and unknown fields change nothing", () => {
  const { oracle } = oracleInMemory();
  for (const { request } of CASES) {
    const line = JSON.stringify(request);
    const first = oracle.answer(line);
    assertEquals(oracle.answer(line), first);
    const more = { ...request, somethingElse: [{}], gamma_: null };
    assertEquals(oracle.answer(JSON.stringify(more)), first);
  }
});

Deno.test("null in a field that may be absent counts as absent", () => {
  const { oracle } = oracleInMemory();
  const request = CASES.find(({ request }) => request.op === "ddim_step")?.request;
  const nulls = { clip: null, rederiveEpsilon: null, finalAlphaBar: null };
  assertEquals(ask(oracle, { ...request, ...nulls }), ask(oracle, request));
});
