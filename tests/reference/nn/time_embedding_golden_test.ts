import { assert } from "@std/assert";
import { roundingBound, U64 } from "../../../src/math/float32.ts";
import { timeEmbedding, timeEmbeddingDoubles } from "../../../src/reference/nn/time_embedding.ts";

const FILE = new URL("../../golden/timestep_embedding.json", import.meta.url);

/**
 * Bound of sin or cos of an angle t·f computed in double by either side. f = e^(−y), y ≤ ln 10000 < 9.3,
 * is off by at most 3·9.3·u from rounding y (a quotient and a product) and 2u from the exponential; the
 * product with t adds u. So the angle is off by less than 31u relative on each side, and sin and cos by
 * no more than the angle, and 2u of their own.
 */
function bound(angle: number): number {
  return 2 * (31 * U64 * angle + 2 * U64);
}

Deno.test("timeEmbedding gives get_timestep_embedding of the original PyTorch port", () => {
  const { cases } = JSON.parse(Deno.readTextFileSync(FILE));
  assert(cases.length > 0);
  for (const { dim, t, expected } of cases) {
    const found = timeEmbeddingDoubles(t, dim);
    const stored = timeEmbedding(t, dim);
    expected.data.forEach((value: number, i: number) => {
      // The largest frequency is 1, so an angle is at most t.
      const allowed = bound(t[Math.floor(i / dim)]);
      assert(
        Math.abs(found[i] - value) <= allowed,
        `dim ${dim}, entry ${i}: ${found[i]}, ${value}`,
      );
      assert(Math.abs(stored.data[i] - value) <= allowed + roundingBound(value));
    });
  }
});
