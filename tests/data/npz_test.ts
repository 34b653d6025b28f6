import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { deflateRawSync } from "node:zlib";
import fc from "fast-check";
import { decodeNpy, encodeNpy, type NpyArray } from "../../src/data/npy.ts";
import { decodeNpz, encodeNpz } from "../../src/data/npz.ts";
import { ArgumentError } from "../../src/math/errors.ts";
import { FormatError } from "../../src/spec/format_error.ts";
import { forAll } from "../support/property.ts";
import { lacks } from "../support/programs.ts";

const ARRAYS: NpyArray[] = [
  { shape: [2, 1, 2, 3], data: Uint8Array.of(0, 255, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12) },
  { shape: [2], data: BigInt64Array.of(-1n, 2n ** 62n) },
  { shape: [], data: Float64Array.of(Math.PI) },
  { shape: [0, 5], data: new Float32Array() },
  { shape: [1, 2], data: Int32Array.of(-5, 2 ** 31 - 1) },
];

Deno.test("an .npy file begins with NumPy's header, and values at a multiple of 64 bytes", () => {
  const file = encodeNpy(ARRAYS[1]);
  // The bytes that numpy 1.26 wrote for np.array([-1, 2**62]).
  const header =
    "\x93NUMPY\x01\x00\x76\x00{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }";
  assertEquals(latin1(file.subarray(0, 128)), header.padEnd(127) + "\n");
  assertEquals([...file.subarray(128)], [...new Array(8).fill(255), 0, 0, 0, 0, 0, 0, 0, 64]);
});

Deno.test("arrays of every number format come back as they were", () => {
  for (const array of ARRAYS) assertEquals(decodeNpy(encodeNpy(array), "x"), array);
  const named = ARRAYS.map((array, i) => ({ name: `arr_${i}`, array }));
  assertEquals([...decodeNpz(encodeNpz(named))], named.map(({ name, array }) => [name, array]));
});

const PYTHON = `
import io, sys, zipfile
z = zipfile.ZipFile(io.BytesIO(sys.stdin.buffer.read()))
assert z.testzip() is None
for i in z.infolist():
    print(i.filename, i.compress_type, i.date_time[:3], i.file_size, z.read(i)[-3:].hex())
`;

Deno.test({
  name: "python's zipfile finds each member's checksum right and its bytes stored",
  ignore: lacks("python3"),
  fn: async () => {
    const command = new Deno.Command("python3", {
      args: ["-c", PYTHON],
      stdin: "piped",
      stdout: "piped",
    });
    const child = command.spawn();
    const writer = child.stdin.getWriter();
    const named = ARRAYS.slice(0, 2).map((array, i) => ({ name: `arr_${i}`, array }));
    await writer.write(encodeNpz(named));
    await writer.close();
    const { stdout } = await child.output();
    assertEquals(
      new TextDecoder().decode(stdout),
      "arr_0.npy 0 (1980, 1, 1) 140 0a0b0c\narr_1.npy 0 (1980, 1, 1) 144 000040\n",
    );
  },
});

function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

/** An archive with one member as `np.savez_compressed` would have it. */
function compressed(content: Uint8Array, claimed = content.length): Uint8Array {
  const stored = encodeNpz([{ name: "arr_0", array: ARRAYS[0] }]);
  const packed = deflateRawSync(content);
  const old = encodeNpy(ARRAYS[0]).length;
  const head = 30 + "arr_0.npy".length;
  const file = new Uint8Array(stored.length - old + packed.length);
  file.set(stored.subarray(0, head));
  file.set(packed, head);
  file.set(stored.subarray(head + old), head + packed.length);
  const view = new DataView(file.buffer);
  const entry = head + packed.length;
  for (const at of [8, entry + 10]) view.setUint16(at, 8, true);
  for (const at of [18, entry + 20]) view.setUint32(at, packed.length, true);
  for (const at of [22, entry + 24]) view.setUint32(at, claimed, true);
  view.setUint32(file.length - 6, entry, true);
  return file;
}

Deno.test("a compressed archive is read, and its claim of a size is not believed", () => {
  const npy = encodeNpy(ARRAYS[0]);
  assertEquals(decodeNpz(compressed(npy)).get("arr_0"), ARRAYS[0]);
  const fails = (claimed: number, message: string) => {
    const error = assertThrows(() => decodeNpz(compressed(npy, claimed), "a.npz"), FormatError);
    assertStringIncludes(error.message, message);
  };
  fails(npy.length - 1, "of compressed data of arr_0.npy in a.npz but got more");
  fails(npy.length + 1, "of compressed data of arr_0.npy in a.npz but got 140");
  fails(2 ** 31, "compressed ones cannot hold more than");
});

/** A file that is changed at some bytes. */
function patched(file: Uint8Array, changes: Readonly<Record<number, number>>): Uint8Array {
  const copy = file.slice();
  for (const [at, value] of Object.entries(changes)) copy[Number(at)] = value;
  return copy;
}

Deno.test("an archive that is damaged or no archive is refused with its name", () => {
  const good = encodeNpz([{ name: "arr_0", array: ARRAYS[0] }]);
  const end = good.length - 22, entry = end - 55;
  const broken: [message: string, file: Uint8Array][] = [
    ["Expected a zip archive in a.npz", new Uint8Array(100)],
    ["Expected a zip archive in a.npz", new Uint8Array(3)],
    ["found no end of its directory in 237 bytes", good.subarray(0, good.length - 19)],
    ["Expected CRC-32", patched(good, { 170: 9 })],
    ["not encrypted, but got method 0", patched(good, { [entry + 8]: 1 })],
    ["but got method 12", patched(good, { [entry + 10]: 12 })],
    ["Expected 2 members in the directory of a.npz but got 1", patched(good, { [end + 10]: 2 })],
    ["header of arr_0.npy in a.npz at byte 1", patched(good, { [entry + 42]: 1 })],
    ["bytes of arr_0.npy in a.npz but the file ends", patched(good, { [entry + 21]: 99 })],
    ["Expected only .npy members in a.npz but got arr_0.npz", patched(good, { [entry + 54]: 122 })],
  ];
  for (const [message, file] of broken) {
    assertThrows(() => decodeNpz(file, "a.npz"), FormatError, message);
  }
  const twice = encodeNpz(["a", "a"].map((name) => ({ name, array: ARRAYS[0] })));
  assertThrows(() => decodeNpz(twice, "a.npz"), FormatError, "one member called a.npy in a.npz");
});

Deno.test("members that share their bytes do not make an archive larger than its file", () => {
  // One member of 1,000 zeros, and a directory that lists it three times under other names.
  const array = { shape: [1000], data: new Uint8Array(1000) };
  const one = encodeNpz([{ name: "0", array }]);
  const entry = one.subarray(one.length - 22 - 51, one.length - 22);
  const entries = [0, 1, 2].map((digit) => patched(entry, { 46: 48 + digit }));
  const file = Uint8Array.from([
    ...one.subarray(0, one.length - 22 - 51),
    ...entries.flatMap((bytes) => [...bytes]),
    ...patched(one.subarray(one.length - 22), { 10: 3 }),
  ]);
  assertThrows(() => decodeNpz(file, "a.npz"), FormatError, "of a.npz that lie apart but they");
});

Deno.test("an .npy file that is something else is refused with what was expected and found", () => {
  const good = encodeNpy(ARRAYS[0]);
  const text = (from: string, to: string) =>
    Uint8Array.from(
      latin1(good).replace(from, to),
      (c) => c.charCodeAt(0),
    );
  const broken: [message: string, file: Uint8Array][] = [
    ['format 1.0 in a.npy but it begins with "\\u0093NUMPX"', text("NUMPY", "NUMPX")],
    ['format 1.0 in a.npy but it begins with "\\u0093NUMPY"', patched(good, { 6: 2 })],
    ['begins with "\\u0093NUM" and ends early', good.subarray(0, 4)],
    ["Expected a header of at most 130 bytes in a.npy but got 65398", patched(good, { 9: 255 })],
    ["in row-major order in a.npy but got {'descr': '|u1'", text("False", "True ")],
    ["Expected values of |u1, <i4, <i8, <f4, <f8", text("|u1", ">u2")],
    ["Expected values of |u1", text("|u1", "__proto__")],
    ["shape [2, 1, 2, 4] but got 12", text("2, 3)", "2, 4)")],
    ["Expected values", text("(2, 1, 2, 3)", "(2, 1, 2,-3)")],
  ];
  for (const [message, file] of broken) {
    assertThrows(() => decodeNpy(file, "a.npy"), FormatError, message);
  }
  assertThrows(
    () => encodeNpy({ shape: [3], data: Uint8Array.of(1) }),
    ArgumentError,
    "Expected 3 values for shape [3] but got 1 values",
  );
});

Deno.test("any bytes as shape and values make the same file twice and come back", () => {
  const drawn = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 4 }).map((shape) => ({
    shape,
    data: Uint8Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i * 7),
  }));
  forAll(drawn, 100, (array) => {
    const file = encodeNpz([{ name: "arr_0", array }]);
    assertEquals(encodeNpz([{ name: "arr_0", array }]), file);
    assertEquals(decodeNpz(file).get("arr_0"), array);
  });
});
