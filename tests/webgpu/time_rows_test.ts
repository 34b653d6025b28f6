/**
 * The rows of the time embedding that are uploaded, against the reference's.
 */
import fc from "fast-check";
import { roundingBound, U64 } from "../../src/math/float32.ts";
import { timeEmbeddingDoubles } from "../../src/reference/nn/time_embedding.ts";
import { CIFAR10 } from "../../src/spec/unet_presets.ts";
import { timeRows } from "../../src/webgpu/time_rows.ts";
import { Bound } from "../support/bound.ts";
import { forAll } from "../support/property.ts";

const drawn = fc.record({
  dim: fc.integer({ min: 4, max: 70 }),
  freqShift: fc.constantFrom(0, 1),
  flipSinToCos: fc.boolean(),
  timesteps: fc.array(fc.integer({ min: 0, max: 999 }), { minLength: 1, maxLength: 5 }),
});

Deno.test("rows of times are the reference's embedding, rounded once", () => {
  // An angle t·f is computed with an exponent of at most ln 10000 < 10 in three roundings, an exponential
  // or a power, a product and a sine, on both sides; then rounded to float32.
  const bound = new Bound("|value|·2⁻²⁴ + 2·(10·3 + 3)·t·2⁻⁵³ + 2⁻⁵²");
  forAll(drawn, 100, ({ dim, freqShift, flipSinToCos, timesteps }) => {
    const config = { ...CIFAR10, blockOutChannels: [dim], freqShift, flipSinToCos };
    const order = flipSinToCos ? "cosSin" : "sinCos";
    const exact = timeEmbeddingDoubles(timesteps, dim, { order, shift: freqShift });
    bound.checkAll(
      timeRows(config, timesteps),
      exact,
      (i) => roundingBound(exact[i]) + U64 * (66 * timesteps[Math.floor(i / dim)] + 2),
    );
  });
  bound.settle("time rows");
});
