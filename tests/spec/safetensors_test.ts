import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ArgumentError } from "../../src/math/errors.ts";
import { type Tensor, tensor } from "../../src/math/tensor.ts";
import { FormatError } from "../../src/spec/format_error.ts";
import {
  decodeSafetensors,
  encodeSafetensors,
  storedDoubles,
  storedTensor,
} from "../../src/spec/safetensors.ts";

// The same cases in every run.
fc.configureGlobal({ seed: 1 });

/** A file of a header written by hand, its length field as claimed, and data. */
function fileOf(header: string, data: Uint8Array, claimed?: bigint): Uint8Array {
  const json = new TextEncoder().encode(header);
  const file = new Uint8Array(8 + json.length + data.length);
  new DataView(file.buffer).setBigUint64(0, claimed ?? BigInt(json.length), true);
  file.set(json, 8);
  file.set(data, 8 + json.length);
  return file;
}

function one(dtype: string, shape: number[], data: Uint8Array): Float64Array {
  const header = JSON.stringify({ a: { dtype, shape, data_offsets: [0, data.length] } });
  const stored = decodeSafetensors(fileOf(header, data)).tensors.get("a");
  if (stored === undefined) throw new Error("the tensor is lost");
  return storedDoubles(stored);
}

function bytesOf(values: ArrayBufferView): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

const float32 = fc.oneof(
  fc.float({ noDefaultInfinity: false, noNaN: false }),
  fc.constantFrom(-0, 2 ** -149, -(2 ** -126), Infinity, NaN),
);

const tensors: fc.Arbitrary<Map<string, Tensor>> = fc.uniqueArray(
  fc.tuple(
    fc.oneof(fc.string({ minLength: 1 }), fc.constantFrom("__proto__", "a/b", "é", 'q"\\')),
    fc.array(fc.nat(3), { maxLength: 4 }),
  ).chain(([name, shape]) => {
    const size = shape.reduce((a, b) => a * b, 1);
    return fc.array(float32, { minLength: size, maxLength: size })
      .map((values): [string, Tensor] => [name, tensor(shape, values)]);
  }),
  { maxLength: 6, selector: ([name]) => name },
).map((entries) => new Map(entries));

Deno.test("what is encoded as F32 decodes to the same names, shapes and bits", () => {
  fc.assert(fc.property(tensors, fc.dictionary(fc.string(), fc.string()), (given, pairs) => {
    const metadata = new Map(Object.entries(pairs));
    const file = encodeSafetensors(given, { metadata });
    const back = decodeSafetensors(file);
    assertEquals(back.metadata, metadata);
    // JSON puts names that look like integers first: the order of names means nothing.
    assertEquals([...back.tensors.keys()].sort(), [...given.keys()].sort());
    for (const [name, stored] of back.tensors) {
      const { shape, data } = storedTensor(stored);
      assertEquals(shape, given.get(name)?.shape);
      // As bits, so that −0 and 0 differ. A NaN keeps being one, whatever its payload.
      const bits = (d?: Float32Array) =>
        d && Array.from(new Uint32Array(Float32Array.from(d).buffer));
      assertEquals(bits(data), bits(given.get(name)?.data));
    }
  }));
});

Deno.test("the values begin at a multiple of 8 bytes and lie in name order", () => {
  const a = tensor([2], [1, 2]), b = tensor([1], [3]);
  const file = encodeSafetensors(new Map([["b", b], ["a", a]]));
  const view = new DataView(file.buffer);
  const length = Number(view.getBigUint64(0, true));
  assertEquals(length % 8, 0);
  assertEquals(
    new TextDecoder().decode(file.subarray(8, 8 + length)).trimEnd(),
    '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},' +
      '"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}',
  );
  assertEquals([0, 4, 8].map((i) => view.getFloat32(8 + length + i, true)), [1, 2, 3]);
});

Deno.test("a file decodes the same wherever it lies in its buffer", () => {
  const file = encodeSafetensors(new Map([["a", tensor([3], [1, -2, 3])]]));
  for (let shift = 0; shift < 8; shift++) {
    const buffer = new Uint8Array(file.length + shift);
    buffer.set(file, shift);
    const stored = decodeSafetensors(buffer.subarray(shift)).tensors.get("a");
    assertEquals(stored && Array.from(storedDoubles(stored)), [1, -2, 3]);
  }
});

Deno.test("every dtype decodes to its exact values", () => {
  assertEquals([...one("F64", [2], bytesOf(new Float64Array([0.1, -1e300])))], [0.1, -1e300]);
  assertEquals([...one("F32", [2], bytesOf(new Float32Array([0.5, -3])))], [0.5, -3]);
  assertEquals([...one("F16", [3], bytesOf(new Uint16Array([0x3555, 0x0001, 0xfc00])))], [
    0.333251953125,
    2 ** -24,
    -Infinity,
  ]);
  assertEquals([...one("BF16", [2], bytesOf(new Uint16Array([0x3f80, 0xc049])))], [1, -3.140625]);
  assertEquals([...one("I64", [1], bytesOf(new BigInt64Array([-5n])))], [-5]);
  assertEquals([...one("U64", [1], bytesOf(new BigUint64Array([5n])))], [5]);
  assertEquals([...one("I32", [1], bytesOf(new Int32Array([-70000])))], [-70000]);
  assertEquals([...one("U32", [1], bytesOf(new Uint32Array([4e9])))], [4e9]);
  assertEquals([...one("I16", [1], bytesOf(new Int16Array([-300])))], [-300]);
  assertEquals([...one("U16", [1], bytesOf(new Uint16Array([60000])))], [60000]);
  assertEquals([...one("I8", [1], bytesOf(new Int8Array([-3])))], [-3]);
  assertEquals([...one("U8", [2], new Uint8Array([7, 255]))], [7, 255]);
  assertEquals([...one("BOOL", [2], new Uint8Array([0, 1]))], [0, 1]);
  assertEquals(one("F32", [0, 5], new Uint8Array()).length, 0);
  assertEquals([...one("F32", [], bytesOf(new Float32Array([9])))], [9]);
});

Deno.test("a 64-bit integer that a double cannot hold is refused", () => {
  const data = bytesOf(new BigInt64Array([2n ** 53n]));
  assertThrows(() => one("I64", [1], data), FormatError, "9007199254740992");
});

Deno.test("F16 output is the nearest half and half the size", () => {
  const values = [1 / 3, 1e-8, 65504, -0.1];
  const given = new Map([["a", tensor([4], values)]]);
  const stored = decodeSafetensors(encodeSafetensors(given, { dtype: "F16" })).tensors.get("a");
  assertEquals(stored?.bytes.length, 8);
  assertEquals(stored && [...storedDoubles(stored)], values.map((v) => Math.f16round(v)));
  assertThrows(
    () => encodeSafetensors(new Map([["a", tensor([1], [70000])]]), { dtype: "F16" }),
    ArgumentError,
    'Expected values within ±65504 for F16 but "a" has 70000',
  );
});

const entry = (more: Record<string, unknown>) =>
  JSON.stringify({ a: { dtype: "F32", shape: [1], data_offsets: [0, 4], ...more } });
const four = new Uint8Array(4);

const HOSTILE: [name: string, file: Uint8Array, message: string][] = [
  ["empty file", new Uint8Array(), "at least 8 bytes but got 0"],
  ["header beyond the file", fileOf("{}", four, 7n), "at most 6 bytes but its length field says 7"],
  ["header of 2^64 − 1 bytes", fileOf("{}", four, 2n ** 64n - 1n), "says 18446744073709551615"],
  ["no JSON", fileOf("{", four), "header in JSON"],
  ["no UTF-8", fileOf("", new Uint8Array([0x22, 0xff, 0x22]), 3n), "header in JSON"],
  ["a list as header", fileOf("[1]", four), "an object but got a list"],
  ["null as header", fileOf("null", four), "an object but got null"],
  ["a number as entry", fileOf('{"a":3}', four), 'an object for tensor "a" but got a number'],
  [
    "metadata that is no object",
    fileOf('{"__metadata__":[]}', four),
    "__metadata__ to be an object",
  ],
  [
    "metadata that is no text",
    fileOf('{"__metadata__":{"k":1}}', four),
    'metadata__ "k" to be a string',
  ],
  ["unknown dtype", fileOf(entry({ dtype: "F8_E4M3" }), four), 'but got "F8_E4M3"'],
  ["dtype from the prototype", fileOf(entry({ dtype: "toString" }), four), 'but got "toString"'],
  ["no shape", fileOf(entry({ shape: null }), four), "a list of sizes"],
  ["negative size", fileOf(entry({ shape: [-1] }), four), "a list of sizes"],
  ["broken size", fileOf(entry({ shape: [0.5] }), four), "a list of sizes"],
  ["shape of 4·10^30 bytes", fileOf(entry({ shape: [1e15, 1e15] }), four), "data_offsets hold 4"],
  ["shape too large", fileOf(entry({ shape: [2] }), four), "Expected 8 bytes"],
  ["offsets backwards", fileOf(entry({ data_offsets: [4, 0] }), four), "data_offsets [begin, end]"],
  ["one offset", fileOf(entry({ data_offsets: [4] }), four), "data_offsets [begin, end]"],
  ["cut short", fileOf(entry({}), four.subarray(1)), "the file is cut short"],
  ["appended to", fileOf(entry({}), new Uint8Array(5)), "Expected 4 bytes of tensor data"],
  [
    "offset beyond the file",
    fileOf(entry({ shape: [2 ** 40], data_offsets: [0, 2 ** 42] }), four),
    "end at 4398046511104",
  ],
  [
    "overlap",
    fileOf(
      '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},' +
        '"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}',
      new Uint8Array(6),
    ),
    'tensor "b" to begin at byte 4',
  ],
  [
    "gap",
    fileOf(
      '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},' +
        '"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}',
      new Uint8Array(12),
    ),
    'tensor "b" to begin at byte 4',
  ],
];

for (const [name, file, message] of HOSTILE) {
  Deno.test(`a hostile file is refused in one sentence: ${name}`, () => {
    const error = assertThrows(() => decodeSafetensors(file), FormatError);
    assertStringIncludes(error.message, message);
    assertEquals(error.message.includes("\n"), false);
  });
}

Deno.test("a file altered anywhere either is refused with FormatError or still fits its bytes", () => {
  const whole = encodeSafetensors(
    new Map([["a", tensor([2, 2], [1, 2, 3, 4])], ["b", tensor([3], [5, 6, 7])]]),
    { metadata: new Map([["k", "v"]]) },
  );
  const edit = fc.record({
    at: fc.nat(whole.length - 1),
    // Header characters that can give JSON of another meaning, and any byte.
    byte: fc.oneof(
      fc.constantFrom(...new TextEncoder().encode('0123456789[]{},:"-eF')),
      fc.nat(255),
    ),
  });
  fc.assert(
    fc.property(
      fc.array(edit, { maxLength: 4 }),
      fc.integer({ min: -6, max: 6 }),
      (edits, resize) => {
        const file = new Uint8Array(whole.length + resize);
        file.set(whole.subarray(0, file.length));
        for (const { at, byte } of edits) if (at < file.length) file[at] = byte;
        let decoded;
        try {
          decoded = decodeSafetensors(file);
        } catch (error) {
          if (error instanceof FormatError) return;
          throw error;
        }
        let total = 0;
        for (const stored of decoded.tensors.values()) {
          total += stored.bytes.length;
          try {
            // As many values as the shape says, none of them from outside the file.
            assertEquals(storedTensor(stored).data.length, stored.shape.reduce((a, b) => a * b, 1));
          } catch (error) {
            // An edit can turn F32 into I64 of the same size.
            if (!(error instanceof FormatError)) throw error;
          }
        }
        const header = Number(new DataView(file.buffer).getBigUint64(0, true));
        assertEquals(8 + header + total, file.length);
      },
    ),
    { numRuns: 3000 },
  );
});
