import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { serve } from "../../src/oracle/oracle.ts";
import { oracleInMemory } from "../support/oracle_session.ts";
import { forAllAsync } from "../support/property.ts";
import { CASES } from "./cases/mod.ts";

const GOOD = CASES.map(({ request }) => JSON.stringify(request));
const CODES = ["invalid_argument", "unknown_op", "unsupported"];

/** Values that programs trip over. */
const nasty: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom(
    ...[null, true, "", "Infinity", "__proto__", 0, -0, -1, 0.5, 1, 2, 3, 1e-320, 1e308],
    ...[2 ** 31, 2 ** 32, 2 ** 53, 1e15, [], {}, [[]], [0], [1e308, 1]],
  ),
  fc.jsonValue({ maxDepth: 2 }),
);

/** Everything inside a request that can be put elsewhere: objects and lists by key. */
function places(value: unknown): { owner: Record<string, unknown>; key: string }[] {
  if (typeof value !== "object" || value === null) return [];
  const owner = value as Record<string, unknown>;
  return Object.keys(owner).flatMap((key) => [{ owner, key }, ...places(owner[key])]);
}

/** A good request with a few of its values, at any depth, replaced or removed. */
const mutated: fc.Arbitrary<string> = fc.tuple(
  fc.nat(CASES.length - 1),
  fc.array(fc.tuple(fc.nat(), fc.option(nasty, { nil: undefined, freq: 6 })), {
    minLength: 1,
    maxLength: 3,
  }),
).map(([which, changes]) => {
  const request = structuredClone(CASES[which].request);
  for (const [at, value] of changes) {
    const all = places(request);
    if (all.length === 0) break;
    const { owner, key } = all[at % all.length];
    if (value === undefined && !Array.isArray(owner)) delete owner[key];
    // A copy: a later change may reach inside.
    else owner[key] = structuredClone(value ?? null);
  }
  return JSON.stringify(request);
});

/** A good request as text with a piece cut out, doubled or written over. */
const damaged: fc.Arbitrary<string> = fc.tuple(
  fc.constantFrom(...GOOD),
  fc.nat(),
  fc.nat(12),
  fc.oneof(fc.string({ maxLength: 6 }), fc.constantFrom("1e999", "NaN", "-", "[[[", "}", "\\")),
).map(([line, from, length, text]) => {
  const at = from % line.length;
  return line.slice(0, at) + text.replaceAll("\n", "") + line.slice(at + length);
});

const anyLine: fc.Arbitrary<string> = fc.oneof(
  { arbitrary: mutated, weight: 6 },
  { arbitrary: damaged, weight: 3 },
  { arbitrary: fc.json(), weight: 1 },
  { arbitrary: fc.string({ unit: "binary" }).map((s) => s.replaceAll("\n", "")), weight: 1 },
  { arbitrary: fc.constantFrom(...GOOD), weight: 1 },
);

/** Checks that `text` is one answer, and a fault only of the request. */
function checkAnswer(text: string, line: string): void {
  assert(!text.includes("\n") && !text.includes("\r"), line);
  const answer = JSON.parse(text);
  assertEquals(Object.keys(answer), ["id", "ok", answer.ok ? "result" : "error"], line);
  if (answer.ok) return;
  assert(CODES.includes(answer.error.code), `${line}: ${text}`);
  assert(answer.error.message.startsWith("Expected "), `${line}: ${text}`);
}

Deno.test("any lines get one answer each, in order, and the next good request is answered right", async () => {
  const { oracle } = oracleInMemory();
  const goodAnswers = GOOD.map((line) => oracle.answer(line));
  const drawn = fc.tuple(fc.array(anyLine, { minLength: 5, maxLength: 10 }), fc.nat(), fc.nat(64));
  await forAllAsync(drawn, 400, async ([lines, pick, size]) => {
    const good = pick % GOOD.length;
    const bytes = new TextEncoder().encode([...lines, GOOD[good]].join("\n"));
    async function* input(): AsyncGenerator<Uint8Array> {
      for (let at = 0; at < bytes.length; at += size + 1) {
        yield await bytes.subarray(at, at + size + 1);
      }
    }
    const answers: string[] = [];
    await serve(oracle, input(), (text) => {
      answers.push(text);
    });
    assertEquals(answers.length, lines.length + 1);
    lines.forEach((line, i) => checkAnswer(answers[i], line));
    assertEquals(answers[lines.length], goodAnswers[good]);
  });
});

Deno.test("answers keep the order of the requests", async () => {
  const { oracle } = oracleInMemory();
  const lines = GOOD.map((line, id) => line.replace("{", `{"id":${id},`));
  const answers: string[] = [];
  const input = async function* (): AsyncGenerator<Uint8Array> {
    yield await new TextEncoder().encode(lines.join("\r\n"));
  };
  await serve(oracle, input(), (text) => {
    answers.push(text);
  });
  assertEquals(answers.map((text) => JSON.parse(text).id), lines.map((_, id) => id));
});
