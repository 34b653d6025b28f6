import type { Tensor } from "../../src/math/tensor.ts";

/** The tensors of a golden safetensors file. F64 stays in double; I64 becomes doubles. */
export interface GoldenFile {
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, { shape: number[]; data: Float32Array | Float64Array }>;
}

/** Reads a golden file next to the tests: header length, JSON header, little-endian data. */
export function readSafetensors(name: string): GoldenFile {
  const bytes = Deno.readFileSync(new URL(`../golden/${name}`, import.meta.url));
  const view = new DataView(bytes.buffer);
  const start = 8 + Number(view.getBigUint64(0, true));
  const { __metadata__: metadata = {}, ...header } = JSON.parse(
    new TextDecoder().decode(bytes.subarray(8, start)),
  );
  const tensors = new Map();
  for (const [key, entry] of Object.entries(header)) {
    const { dtype, shape, data_offsets: [from, to] } = entry as {
      dtype: string;
      shape: number[];
      data_offsets: [number, number];
    };
    const part = bytes.slice(start + from, start + to).buffer;
    const data = dtype === "F32"
      ? new Float32Array(part)
      : dtype === "F64"
      ? new Float64Array(part)
      : Float64Array.from(new BigInt64Array(part), Number);
    tensors.set(key, { shape, data });
  }
  return { metadata, tensors };
}

/** One tensor of a golden file, as a tensor that layers take. */
export function goldenTensor(file: GoldenFile, name: string): Tensor {
  const found = file.tensors.get(name);
  if (found === undefined) throw new Error(`The golden file has no tensor ${name}`);
  return found as Tensor;
}
