/**
 * The part of the zip format that `.npz` files use: members stored as they are, or deflated when
 * another program wrote them. Nothing is believed of a size until the bytes for it are there.
 *
 * @module
 */
import { crc32, inflateRawSync } from "node:zlib";
import { ArgumentError } from "../math/errors.ts";
import { FormatError } from "../spec/format_error.ts";
import { checkInflatedSize, inflateExactly } from "./inflate.ts";

/** One file in an archive. */
export interface ZipMember {
  /** Its name. */
  readonly name: string;
  /** Its content. */
  readonly bytes: Uint8Array;
}

const LOCAL = 0x04034b50, CENTRAL = 0x02014b50, END = 0x06054b50;
const LOCAL_SIZE = 30, CENTRAL_SIZE = 46, END_SIZE = 22;
/** 1 January 1980, the first day that the format knows: the same content gives the same bytes. */
const FIRST_DAY = 0x21;
const STORED = 0, DEFLATED = 8;
const MAX_COMMENT = 0xffff;

/**
 * A zip archive of stored members, in the order given. The same members always give the same bytes.
 *
 * @throws {ArgumentError} if it would need the format's 64-bit extension (4 GiB, 65,535 members).
 */
export function encodeZip(members: readonly ZipMember[]): Uint8Array<ArrayBuffer> {
  const named = members.map(({ name, bytes }) => ({
    name: new TextEncoder().encode(name),
    bytes,
    crc: crc32(bytes),
  }));
  const directoryAt = named.reduce((n, m) => n + LOCAL_SIZE + m.name.length + m.bytes.length, 0);
  const size = named.reduce((n, m) => n + CENTRAL_SIZE + m.name.length, directoryAt + END_SIZE);
  if (size >= 2 ** 32 || members.length >= 2 ** 16) {
    throw new ArgumentError(
      `Expected less than 4 GiB and 65,536 members for a zip archive but got ${size} bytes and ` +
        `${members.length} members`,
    );
  }
  const file = new Uint8Array(size);
  const view = new DataView(file.buffer);
  let at = 0, entry = directoryAt;
  for (const { name, bytes, crc } of named) {
    view.setUint32(at, LOCAL, true);
    memberFields(view, at + 4, name.length, bytes.length, crc);
    view.setUint32(entry, CENTRAL, true);
    view.setUint16(entry + 4, 20, true);
    memberFields(view, entry + 6, name.length, bytes.length, crc);
    view.setUint32(entry + 42, at, true);
    file.set(name, at + LOCAL_SIZE);
    file.set(bytes, at + LOCAL_SIZE + name.length);
    file.set(name, entry + CENTRAL_SIZE);
    at += LOCAL_SIZE + name.length + bytes.length;
    entry += CENTRAL_SIZE + name.length;
  }
  view.setUint32(entry, END, true);
  view.setUint16(entry + 8, members.length, true);
  view.setUint16(entry + 10, members.length, true);
  view.setUint32(entry + 12, entry - directoryAt, true);
  view.setUint32(entry + 16, directoryAt, true);
  return file;
}

/** What a local header and a directory entry have in common, from "version needed" on. */
function memberFields(view: DataView, at: number, name: number, size: number, crc: number): void {
  view.setUint16(at, 20, true);
  view.setUint16(at + 4, STORED, true);
  view.setUint16(at + 8, FIRST_DAY, true);
  view.setUint32(at + 10, crc, true);
  view.setUint32(at + 14, size, true);
  view.setUint32(at + 18, size, true);
  view.setUint16(at + 22, name, true);
}

/**
 * The members of a zip archive, in the order of its directory.
 *
 * @param file the archive's name, for the messages.
 * @throws {FormatError} if it is no zip archive, is cut short, or a checksum is wrong.
 */
export function decodeZip(bytes: Uint8Array, file: string): ZipMember[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = findEnd(view, file);
  const count = view.getUint16(end + 10, true);
  let at = view.getUint32(end + 16, true);
  const members: ZipMember[] = [];
  const names = new Set<string>();
  let packed = 0;
  for (let i = 0; i < count; i++) {
    if (at + CENTRAL_SIZE > end || view.getUint32(at, true) !== CENTRAL) {
      throw new FormatError(
        `Expected ${count} members in the directory of ${file} but got ${i} and then something else`,
      );
    }
    const member = readMember(bytes, view, at, file);
    // Members that share bytes are how a small archive claims to hold a huge one.
    packed += member.packed;
    if (packed > bytes.length) {
      throw new FormatError(`Expected members of ${file} that lie apart but they overlap`);
    }
    if (names.has(member.name)) {
      throw new FormatError(
        `Expected one member called ${member.name.slice(0, 80)} in ${file} but got two`,
      );
    }
    names.add(member.name);
    members.push({ name: member.name, bytes: member.content() });
    at = member.next;
  }
  return members;
}

function findEnd(view: DataView, file: string): number {
  const last = view.byteLength - END_SIZE;
  for (let at = last; at >= Math.max(0, last - MAX_COMMENT); at--) {
    if (view.getUint32(at, true) === END) return at;
  }
  throw new FormatError(
    `Expected a zip archive in ${file} but found no end of its directory in ` +
      `${view.byteLength} bytes: the file is cut short or of another kind`,
  );
}

function readMember(bytes: Uint8Array, view: DataView, at: number, file: string) {
  const method = view.getUint16(at + 10, true);
  const crc = view.getUint32(at + 16, true);
  const packed = view.getUint32(at + 20, true);
  const size = view.getUint32(at + 24, true);
  const nameLength = view.getUint16(at + 28, true);
  const next = at + CENTRAL_SIZE + nameLength + view.getUint16(at + 30, true) +
    view.getUint16(at + 32, true);
  const local = view.getUint32(at + 42, true);
  const nameBytes = bytes.subarray(at + CENTRAL_SIZE, at + CENTRAL_SIZE + nameLength);
  const name = new TextDecoder().decode(nameBytes);
  const what = `${name.slice(0, 80)} in ${file}`;
  if (method !== STORED && method !== DEFLATED || (view.getUint16(at + 8, true) & 1) === 1) {
    throw new FormatError(
      `Expected ${what} to be stored or deflated, not encrypted, but got method ${method}`,
    );
  }
  if (local + LOCAL_SIZE > bytes.length || view.getUint32(local, true) !== LOCAL) {
    throw new FormatError(`Expected the header of ${what} at byte ${local} but got something else`);
  }
  const start = local + LOCAL_SIZE + view.getUint16(local + 26, true) +
    view.getUint16(local + 28, true);
  if (start + packed > bytes.length) {
    throw new FormatError(
      `Expected ${packed} bytes of ${what} but the file ends ${
        bytes.length - start
      } after they begin`,
    );
  }
  const data = bytes.subarray(start, start + packed);
  const content = (): Uint8Array => {
    if (method === STORED && packed !== size) {
      throw new FormatError(`Expected ${size} bytes of ${what} but ${packed} are stored`);
    }
    checkInflatedSize(size, packed, what);
    const content = method === STORED ? data : inflateExactly(inflateRawSync, data, size, what);
    if (crc32(content) !== crc) {
      throw new FormatError(
        `Expected CRC-32 ${hex(crc)} of ${what} but got ${
          hex(crc32(content))
        }: the file is damaged`,
      );
    }
    return content;
  };
  return { name, packed, next, content };
}

function hex(n: number): string {
  return n.toString(16).padStart(8, "0");
}
