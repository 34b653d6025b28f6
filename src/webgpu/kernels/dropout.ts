/**
 * Inverted dropout with the mask of the package's counter-based generator.
 *
 * @module
 */
import { unexpected } from "../../math/errors.ts";
import { type Launch, linearGrid, type View } from "../kernel.ts";
import type { MapSizes } from "./map.ts";
import { kernelName, Shader, type Variant, viewsWidth } from "./layout.ts";

/** What dropout reads and writes. */
export interface DropoutTensors<T> {
  readonly x: View<T>;
  /** May be x's view. */
  readonly y: View<T>;
  /** What `dropoutKeys` returns: key and stream of each sample. */
  readonly keys: T;
  /** First word of the samples' keys in the tensor. */
  readonly keysOffset: number;
}

/** Words per sample in the tensor of keys. */
export const KEY_WORDS = 4;

/** The tensor of keys: per sample the seed and the stream, each low word first. */
export function dropoutKeys(seed: number, streams: readonly number[]): Uint32Array<ArrayBuffer> {
  const TWO_32 = 2 ** 32;
  const words = (k: number) => [k % TWO_32, Math.floor(k / TWO_32)];
  return Uint32Array.from(streams.flatMap((stream) => [...words(seed), ...words(stream)]));
}

const WORKGROUP = 64;
/** Most blocks of four values per invocation. */
const MOST_PER_INVOCATION = 8;

/**
 * Philox 4x32-10 (Salmon et al. 2011): `philox(counter, key)`, the four words of a block; a 64-bit product
 * by 16-bit limbs.
 */
const PHILOX = `
fn multiplyHigh(a: u32, b: u32) -> u32 {
  let aLow = a & 0xffffu; let aHigh = a >> 16u;
  let bLow = b & 0xffffu; let bHigh = b >> 16u;
  let middle = aHigh * bLow + ((aLow * bLow) >> 16u);
  return aHigh * bHigh + (middle >> 16u) + ((aLow * bHigh + (middle & 0xffffu)) >> 16u);
}
fn philox(counter: vec4u, key: vec2u) -> vec4u {
  var c = counter; var k = key;
  for (var round = 0u; round < p.rounds; round++) {
    let high0 = multiplyHigh(0xd2511f53u, c.x); let low0 = 0xd2511f53u * c.x;
    let high1 = multiplyHigh(0xcd9e8d57u, c.z); let low1 = 0xcd9e8d57u * c.z;
    c = vec4u(high1 ^ c.y ^ k.x, low1, high0 ^ c.w ^ k.y, low0);
    k += vec2u(0x9e3779b9u, 0xbb67ae85u);
  }
  return c;
}
`;

/**
 * y = x/(1 − p) where kept, 0 where dropped: value i of sample n is kept where word i of its stream is at
 * least round(p·2^32). Its gradient is the same function of dY.
 *
 * @param probability p, in [0, 1).
 * @throws {ArgumentError} if it is outside, or rounds to 1.
 */
export function dropout<T>(
  variant: Variant,
  { N, D }: MapSizes,
  tensors: DropoutTensors<T>,
  probability: number,
): Launch<T> {
  const threshold = Math.round(probability * 2 ** 32);
  if (!(threshold >= 0 && threshold < 2 ** 32)) {
    unexpected("a dropout probability in [0, 1)", probability);
  }
  const width = viewsWidth(variant, D, [tensors.x, tensors.y]);
  const blocks = Math.ceil(D / 4);
  const perInvocation = variant === "naive"
    ? 1
    : Math.min(MOST_PER_INVOCATION, Math.ceil(blocks / WORKGROUP));
  const perWorkgroup = WORKGROUP * perInvocation;
  const shader = new Shader<T>();
  shader.integers({
    blocks,
    D,
    perWorkgroup,
    rounds: 10,
    threshold,
    keysOffset: tensors.keysOffset,
  });
  shader.floats({ factor: 1 / (1 - probability) });
  const x = shader.view("x", width, tensors.x, "read");
  const y = shader.view("y", width, tensors.y, "write");
  const keys = shader.tensor("keys", "u32", tensors.keys, "read");
  const apply = width === 4
    ? `${y}[yAt + block] = select(vec4f(), p.factor * ${x}[xAt + block], keep);`
    : `for (var k = 0u; k < min(4u, p.D - 4u * block); k++) {
      let i = 4u * block + k;
      ${y}[yAt + i] = select(0.0, p.factor * ${x}[xAt + i], keep[k]);
    }`;
  const body = `${PHILOX}
@compute @workgroup_size(${WORKGROUP})
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let n = id.z;
  let at = p.keysOffset + ${KEY_WORDS}u * n;
  let key = vec2u(${keys}[at], ${keys}[at + 1u]);
  let stream = vec2u(${keys}[at + 2u], ${keys}[at + 3u]);
  let xAt = p.xOffset + n * p.xStride;
  let yAt = p.yOffset + n * p.yStride;
  let start = (id.x + id.y * grid.x) * p.perWorkgroup;
  let end = min(start + p.perWorkgroup, p.blocks);
  for (var block = start + lane; block < end; block += ${WORKGROUP}u) {
    var keep = philox(vec4u(block, 0u, stream), key) >= vec4u(p.threshold);
    ${apply}
  }
}
`;
  const [columns, rows] = linearGrid(Math.ceil(blocks / perWorkgroup));
  return shader.launch({
    kernel: kernelName("dropout", variant, width),
    body,
    workgroups: [columns, rows, N],
    flops: N * D,
    bytes: 8 * N * D,
  });
}
