import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { type Line, MAX_LINE, readLines } from "../../src/oracle/lines.ts";
import { serve } from "../../src/oracle/oracle.ts";
import { rawId } from "../../src/oracle/raw_id.ts";
import { oracleInMemory } from "../support/oracle_session.ts";
import { forAll, forAllAsync } from "../support/property.ts";

const encode = (text: string) => new TextEncoder().encode(text);

async function* chunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield await bytes.subarray(at, at + size);
}

async function linesOf(stream: AsyncIterable<Uint8Array>, limit?: number): Promise<Line[]> {
  const lines: Line[] = [];
  for await (const line of readLines(stream, limit)) lines.push(line);
  return lines;
}

Deno.test("lines are those of the text, however the bytes arrive", async () => {
  const drawn = fc.tuple(
    fc.array(
      fc.string({ unit: fc.constantFrom("a", " ", "ü", "😀", "\r", "\u2028"), maxLength: 6 }),
    ),
    fc.boolean(),
    fc.integer({ min: 1, max: 7 }),
  );
  await forAllAsync(drawn, 200, async ([texts, ended, size]) => {
    const whole = texts.map((text) => `${text}\n`).join("") + (ended ? "" : "last");
    const lines = await linesOf(chunks(encode(whole), size));
    const expected = [...texts, ...(ended ? [] : ["last"])];
    assertEquals(lines, expected.map((text) => ({ kind: "text", text })));
  });
});

Deno.test("a line of the limit's length is read, and one byte more is too long, with its beginning", async () => {
  const text = "ab\nabcd\nabcde\n\nabc\nabcdefghij";
  for (const size of [1, 2, 3, 100]) {
    assertEquals(await linesOf(chunks(encode(text), size), 4), [
      { kind: "text", text: "ab" },
      { kind: "text", text: "abcd" },
      { kind: "tooLong", head: "abcde" },
      { kind: "text", text: "" },
      { kind: "text", text: "abc" },
      { kind: "tooLong", head: "abcde" },
    ]);
  }
});

Deno.test("bytes that are no UTF-8 spoil only their own line", async () => {
  const bytes = new Uint8Array([97, 10, 0xff, 0xfe, 10, 0xc3, 10, 98, 10]);
  assertEquals(await linesOf(chunks(bytes, 2)), [
    { kind: "text", text: "a" },
    { kind: "notUtf8" },
    { kind: "notUtf8" },
    { kind: "text", text: "b" },
  ]);
});

Deno.test("a line over 8 MiB is answered without being kept, and the next is served", async () => {
  const { oracle } = oracleInMemory();
  const answers: string[] = [];
  const filler = new Uint8Array(2 ** 20).fill(" ".charCodeAt(0));
  let held = 0;
  async function* input(): AsyncGenerator<Uint8Array> {
    // Exactly the limit: a request padded with spaces.
    const request = encode('{"id": 1, "op": "hello"}');
    yield await request;
    for (let at = request.length; at < MAX_LINE;) {
      const part = filler.subarray(0, Math.min(filler.length, MAX_LINE - at));
      yield part;
      at += part.length;
    }
    yield encode("\n");
    // 512 MiB: more than a string can hold.
    yield encode('{"id": 2, "op": "hello"');
    const before = Deno.memoryUsage().external + Deno.memoryUsage().heapUsed;
    for (let i = 0; i < 512; i++) yield filler;
    held = Deno.memoryUsage().external + Deno.memoryUsage().heapUsed - before;
    yield encode('}\n{"id": 3, "op": "hello"}\n');
    yield encode('{"data": "');
    for (let i = 0; i < 9; i++) yield filler;
    yield encode('", "id": 4}\n{"id": 5, "op": "hello"}');
  }
  await serve(oracle, input(), (text) => {
    answers.push(text);
  });
  const parsed = answers.map((text) => JSON.parse(text));
  assertEquals(parsed.map(({ id }) => id), [1, 2, 3, null, 5]);
  assertEquals(
    parsed.map(({ error }) => error?.code),
    [undefined, "line_too_long", undefined, "line_too_long", undefined],
  );
  assert(held < 2 ** 27, `${held} bytes more are held after a line of 2^29 bytes`);
});

Deno.test("the id found in the text is the one that JSON.parse finds", () => {
  const key = fc.oneof(fc.constantFrom("id", "\\", '"', "ID", "i"), fc.string());
  const object = fc.dictionary(key, fc.jsonValue({ maxDepth: 3 }), { maxKeys: 4 });
  forAll(fc.tuple(object, fc.constantFrom(0, 2, "\t\r")), 300, ([drawn, indent]) => {
    const text = JSON.stringify(drawn, null, indent).replaceAll("\n", " ");
    const found = rawId(text);
    const expected = JSON.parse(text);
    assertEquals(found !== null, Object.hasOwn(expected, "id"), text);
    if (found !== null) {
      assertEquals(JSON.parse(found), expected.id);
      assert(!/[\r\n\t]/.test(found));
    }
    // Cut off anywhere, the text yields the same id or none.
    for (let end = 0; end < text.length; end += 1 + Math.floor(text.length / 20)) {
      const cut = rawId(text.slice(0, end));
      assert(cut === null || cut === found, text.slice(0, end));
    }
  });
});

Deno.test("an id that is written twice, or with an escaped key, is found as JSON.parse finds it", () => {
  assertEquals(rawId('{"id": 1, "id": 2}'), "2");
  assertEquals(rawId('{"\\u0069d": 12345678901234567890}'), "12345678901234567890");
  assertEquals(rawId('{"a": {"id": 1}}'), null);
  assertEquals(rawId('{"id": nonsense, "op'), null);
  assertEquals(rawId('{"id": 12'), null);
  assertEquals(rawId('["id", 1]'), null);
});
