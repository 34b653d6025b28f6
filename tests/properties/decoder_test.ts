import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ArgumentError } from "../../src/math/errors.ts";
import { roundingBound, U64 } from "../../src/math/float32.ts";
import { tensor } from "../../src/math/tensor.ts";
import * as reference from "../../src/reference/decoder.ts";
import { float, real } from "../support/arbitraries.ts";
import { binOf, type Cdf, density, edgeError, nllOf } from "../support/independent_decoder.ts";
import { integrate } from "../support/quadrature.ts";
import { boundedTest } from "../support/property.ts";

const CDFS: readonly Cdf[] = ["erf", "tanh"];
/** An 8-bit level, often one of the two that reach to infinity. */
const level = fc.oneof(fc.integer({ min: 0, max: 255 }), fc.constantFrom(0, 1, 254, 255));
const scaled = (k: number) => k / 127.5 - 1;
/** A level, a mean within some σ of it, and ln σ from well under a bin to wider than the data. */
const drawn = fc.tuple(level, real(-8, 8), real(-7, 1)).map(([k, z, logScale]) => ({
  x0: scaled(k),
  mean: scaled(k) + z * Math.max(Math.exp(logScale), 0.002),
  logScale,
}));

boundedTest(
  "a level's probability is the density integrated over its bin, and the NLL its logarithm",
  "Σ edges φ·δz + 10u·tails (docs/numerics.md#decoder)",
  400,
  drawn,
  ({ x0, mean, logScale }, bound) => {
    for (const cdf of CDFS) {
      const bin = binOf(x0, mean, logScale, cdf), nll = nllOf(bin);
      const found = reference.decoderProbability(x0, mean, logScale, cdf);
      bound.check(found, bin.probability, bin.probabilityError, `P ${cdf}`);
      bound.check(
        reference.decoderNllOf(x0, mean, logScale, cdf),
        nll.value,
        nll.error,
        `NLL ${cdf}`,
      );
    }
  },
);

boundedTest(
  "the NLL's slopes are integrals of the density's slopes over the bin, and 0 at the floor",
  "Σ edges φ·δz·(1+|z|)/P (docs/numerics.md#decoder)",
  400,
  drawn,
  ({ x0, mean, logScale }, bound) => {
    for (const cdf of CDFS) {
      const bin = binOf(x0, mean, logScale, cdf);
      const found = reference.decoderNllGradient(x0, mean, logScale, cdf);
      // Within its error of the floor either side is right.
      if (Math.abs(bin.probability - 1e-12) <= bin.probabilityError) return;
      if (bin.probability < 1e-12) assertEquals(found, { dMean: 0, dLogScale: 0 });
      else {
        bound.check(found.dMean, bin.dMean, bin.dMeanError, `dMean ${cdf}`);
        bound.check(found.dLogScale, bin.dLogScale, bin.dLogScaleError, `dLogScale ${cdf}`);
      }
    }
  },
);

boundedTest(
  "9. The decoder's 256 probabilities sum to 1 before the floor, both CDFs",
  "Σ over 256 bins of Σ edges φ·δz + 10u·tails (docs/numerics.md#decoder)",
  40,
  fc.tuple(real(-1.2, 1.2), real(-7, 1)),
  ([mean, logScale], bound) => {
    const sigma = Math.exp(logScale);
    for (const cdf of CDFS) {
      let sum = 0, error = 0;
      for (let k = 0; k < 256; k++) {
        const x0 = scaled(k);
        sum += reference.decoderProbability(x0, mean, logScale, cdf);
        // The upper edge of one bin and the lower edge of the next are rounded apart.
        const z = (x0 + 1 / 255 - mean) / sigma;
        // Two levels k/127.5 − 1 meet there, each a rounding of 1 + x_0 off.
        const levels = 2 * U64 * (1 + Math.abs(x0)) / sigma;
        error += density(cdf, z) * (2 * edgeError(z, x0, mean, sigma) + levels);
      }
      bound.check(sum, 1, error + 20 * U64, cdf);
    }
  },
);

boundedTest(
  "the densities are the derivatives of the two CDFs",
  "8u·(1 + z²)·density (docs/numerics.md#decoder)",
  200,
  real(-6, 6),
  (z, bound) => {
    const check = (what: string, found: number, expected: number) =>
      bound.check(found, expected, 8 * (1 + z * z + 0.1 * z ** 4) * U64 * expected, what);
    check("erf", reference.normalDensity(z), density("erf", z));
    check("tanh", reference.normalDensityTanh(z), density("tanh", z));
    // Both integrate to their Φ's rise: between −z and z.
    const rise = (f: (x: number) => number) => integrate(f, -Math.abs(z), Math.abs(z), 0.5);
    bound.check(
      rise(reference.normalDensityTanh),
      Math.tanh(Math.sqrt(2 / Math.PI) * (Math.abs(z) + 0.044715 * Math.abs(z) ** 3)),
      2e-14,
      "tanh integral",
    );
  },
);

boundedTest(
  "decoderNll is the NLL of each element",
  "½ulp + Σ edges φ·δz/P (docs/numerics.md#decoder)",
  100,
  fc.array(fc.tuple(level, float(1.2), float(7)), { minLength: 1, maxLength: 6 }),
  (elements, bound) => {
    const of = (index: number) =>
      tensor([1, elements.length], elements.map((e) => index === 0 ? scaled(e[0]) : e[index]));
    const x0 = of(0),
      mean = of(1),
      logScale = tensor([1, elements.length], elements.map((e) => e[2] - 4));
    for (const cdf of CDFS) {
      const found = reference.decoderNll(x0, mean, logScale, cdf);
      assertEquals(found.shape, x0.shape);
      const exact = elements.map((_, i) =>
        nllOf(binOf(x0.data[i], mean.data[i], logScale.data[i], cdf))
      );
      bound.checkAll(
        found.data,
        exact.map((e) => e.value),
        (i) => roundingBound(exact[i].value) * 1.01 + exact[i].error,
        cdf,
      );
    }
    assertThrows(() => reference.decoderNll(x0, tensor([2]), x0, "erf"), ArgumentError, "mean");
    assertThrows(() => reference.decoderNll(x0, x0, tensor([2]), "erf"), ArgumentError, "logScale");
    const unknown = "probit" as Cdf;
    assertThrows(() => reference.checkCdf(unknown), ArgumentError, "Expected cdf erf or tanh");
    assertThrows(() => reference.decoderNll(x0, x0, x0, unknown), ArgumentError, "cdf erf or tanh");
  },
);
