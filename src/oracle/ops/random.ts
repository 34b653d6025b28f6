import { normalDoubles } from "../../math/noise.ts";
import { randomBits } from "../../math/philox.ts";
import { type Fields, integerField } from "../fields.ts";
import type { Result } from "../result.ts";

/** Most numbers per request. */
export const MAX_COUNT = 1_000_000;
const MAX_INTEGER = Number.MAX_SAFE_INTEGER;

function draw<T>(
  request: Fields,
  from: (seed: number, stream: number, index: number, count: number) => T,
): T {
  const seed = integerField(request, "seed", 0, MAX_INTEGER);
  const stream = integerField(request, "stream", 0, MAX_INTEGER);
  const index = integerField(request, "index", 0, MAX_INTEGER);
  return from(seed, stream, index, integerField(request, "count", 0, MAX_COUNT));
}

/** uint32 of a stream. */
export function randomBitsOp(request: Fields): Result {
  return {
    integers: Float64Array.from(draw(request, randomBits)),
  };
}

/** Standard normals of a stream, in double. */
export function normalOp(request: Fields): Result {
  return { values: draw(request, normalDoubles) };
}
