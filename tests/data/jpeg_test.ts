import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { decodeJpeg } from "../../src/data/jpeg.ts";
import { decodePicture } from "../../src/data/decode_picture.ts";
import { FormatError } from "../../src/spec/format_error.ts";
import { JPEG_FILES } from "../support/jpeg_files.ts";

const bytesOf = (name: string) =>
  Uint8Array.fromBase64(JPEG_FILES.find((file) => file.name === name)?.jpeg ?? "");

for (const { name, pixels } of JPEG_FILES) {
  Deno.test(`a JPEG file is read as libjpeg reads it: ${name}`, () => {
    const { width, height, channels, data } = decodeJpeg(bytesOf(name), name);
    const expected = Uint8Array.fromBase64(pixels);
    assertEquals([width, height, channels], [11, 9, name.startsWith("grey") ? 1 : 3]);
    assertEquals(data.length, expected.length);
    // Each decoder's inverse transform is within 1/2 + 1/2 of the exact one, rounding included, so two
    // differ by at most 1 in luma and chroma. Blue is luma + 1.772 chroma, rounded: 1 + 1.772 + 1/2,
    // and the other colours have smaller factors.
    const bound = name.startsWith("grey") ? 1 : 3;
    const worst = data.reduce((most, v, i) => Math.max(most, Math.abs(v - expected[i])), 0);
    assert(worst <= bound, `${worst} apart`);
  });
}

/** A file with some bytes of its frame header changed; the header begins with FF C0. */
function withFrame(changes: Readonly<Record<number, number>>): Uint8Array {
  const bytes = bytesOf("grey");
  const at = bytes.findIndex((byte, i) => byte === 0xff && bytes[i + 1] === 0xc0);
  for (const [offset, value] of Object.entries(changes)) bytes[at + Number(offset)] = value;
  return bytes;
}

Deno.test("what is no JPEG, or is damaged, is refused with its name and what was found", () => {
  const good = bytesOf("grey");
  const scan = Uint8Array.of(0xff, 0xda);
  const broken: [message: string, file: Uint8Array][] = [
    ["Expected a JPEG file in x.jpg but it does not begin with FF D8", good.subarray(1)],
    ["Expected a frame header in the JPEG file x.jpg but got none", good.subarray(0, 60)],
    ["Expected a picture that can be read in x.jpg but got", good.subarray(0, good.length - 12)],
    [
      "baseline or progressive JPEG in x.jpg but got the frame marker FF C9",
      withFrame({ 1: 0xc9 }),
    ],
    ["got 1 of 12 bits", withFrame({ 4: 12 })],
    ["got 2 of 8 bits", withComponents(2)],
    [
      "1 to 399360 pixels in the 390 bytes of x.jpg but its header says 11 by 0",
      withFrame({ 6: 0 }),
    ],
    ["header says 65535 by 65535", withFrame({ 5: 255, 6: 255, 7: 255, 8: 255 })],
    [
      "at most 100 scans in x.jpg but got 101",
      Uint8Array.from([...good, ...Array.from({ length: 100 }, () => [...scan]).flat()]),
    ],
  ];
  for (const [message, file] of broken) {
    const error = assertThrows(() => decodeJpeg(file, "x.jpg"), FormatError);
    assertStringIncludes(error.message, message);
  }
});

/** The colour file with fewer components in its frame header. */
function withComponents(count: number): Uint8Array {
  const bytes = bytesOf("restarts");
  const at = bytes.findIndex((byte, i) => byte === 0xff && bytes[i + 1] === 0xc0);
  bytes[at + 9] = count;
  return bytes;
}

Deno.test("a picture is known by how it begins", () => {
  assertEquals(decodePicture(bytesOf("grey"), "x.png").width, 11);
  assertThrows(
    () => decodePicture(new TextEncoder().encode("GIF89a"), "x.png"),
    FormatError,
    "Expected a PNG or JPEG picture in x.png but it begins with 47 49 46 38",
  );
});
