/** An IDX file of unsigned bytes. */
export function idxFile(
  shape: readonly number[],
  data: readonly number[],
  magic: number = 0x0800 + shape.length,
): Uint8Array<ArrayBuffer> {
  const file = new Uint8Array(4 + 4 * shape.length + data.length);
  const view = new DataView(file.buffer);
  view.setUint32(0, magic);
  shape.forEach((size, i) => view.setUint32(4 + 4 * i, size));
  file.set(data, 4 + 4 * shape.length);
  return file;
}
