import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ArgumentError } from "../../src/math/errors.ts";
import { roundingBound, U64 } from "../../src/math/float32.ts";
import { tensor } from "../../src/math/tensor.ts";
import { gaussianLogDensity, normalKl, normalKlOf } from "../../src/reference/gaussian.ts";
import { positive, real, shape, tensorOf } from "../support/arbitraries.ts";
import { expectation, integrate } from "../support/quadrature.ts";
import { boundedTest } from "../support/property.ts";

boundedTest(
  "the log-density's exponential is a product of densities e^(−z²/2)/√(2πσ²)",
  "(D + 8)·u·Σ(z²/2 + |ln 2πσ²|/2) (docs/numerics.md#store)",
  200,
  fc.tuple(shape.chain((of) => fc.tuple(tensorOf(of), tensorOf(of))), positive(1e-3, 100)),
  ([[x, mean], variance], bound) => {
    let expected = 0, size = 0;
    x.data.forEach((value, i) => {
      const z = (value - mean.data[i]) / Math.sqrt(variance);
      expected += -z * z / 2 - Math.log(Math.sqrt(2 * Math.PI * variance));
      size += z * z / 2 + Math.abs(Math.log(2 * Math.PI * variance)) / 2 + 1;
    });
    bound.check(
      gaussianLogDensity(x, mean, variance),
      expected,
      (x.data.length + 8) * U64 * size,
    );
  },
);

boundedTest(
  "the density has total 1, its mean and its variance",
  "2e-14, of the quadrature (docs/numerics.md#quadrature)",
  30,
  fc.tuple(real(-2, 2), positive(0.5, 4)),
  ([drawn, variance], bound) => {
    const mean = tensor([1], [drawn]), m = mean.data[0], sigma = Math.sqrt(variance);
    const density = (x: number) => {
      // Points are float32: take the density at the nearest and carry it to x.
      const point = tensor([1], [x]);
      const z = point.data[0] - m;
      return Math.exp(gaussianLogDensity(point, mean, variance)) *
        Math.exp((z * z - (x - m) ** 2) / (2 * variance));
    };
    const moment = (f: (x: number) => number) =>
      integrate((x) => f(x) * density(x), m - 9 * sigma, m + 9 * sigma, sigma);
    bound.check(moment(() => 1), 1, 2e-14, "total");
    bound.check(moment((x) => x), m, 2e-14 * (1 + Math.abs(m)), "mean");
    bound.check(moment((x) => (x - m) ** 2) / variance, 1, 2e-14, "variance");
  },
);

/** E ln(p₁/p₂) over p₁, by quadrature exact for the quadratic that ln(p₁/p₂) is. */
function klByDefinition(m1: number, l1: number, m2: number, l2: number): number {
  const log = (x: number, m: number, l: number) => -((x - m) ** 2) / (2 * Math.exp(l)) - l / 2;
  return expectation((x) => log(x, m1, l1) - log(x, m2, l2), m1, Math.exp(l1));
}

boundedTest(
  "KL is the mean log-ratio of the densities, elementwise",
  "½ulp + 32u·Σ|terms| (docs/numerics.md#kl)",
  200,
  shape.chain((of) => fc.tuple(tensorOf(of), tensorOf(of, 3), tensorOf(of), tensorOf(of, 3))),
  ([mean1, log1, mean2, log2], bound) => {
    const kl = normalKl(mean1, log1, mean2, log2);
    assertEquals(kl.shape, mean1.shape);
    const at = (i: number) => [mean1, log1, mean2, log2].map((x) => x.data[i]);
    const expected = Array.from(kl.data, (_, i) => {
      const [m1, l1, m2, l2] = at(i);
      return klByDefinition(m1, l1, m2, l2);
    });
    // The definition adds what cancels: the squares over σ₂² and over σ₁², and the logarithms.
    const size = (i: number) => {
      const [m1, l1, m2, l2] = at(i);
      return 1 + Math.exp(l1 - l2) + (m1 - m2) ** 2 * Math.exp(-l2) + Math.abs(l1) + Math.abs(l2);
    };
    bound.checkAll(
      kl.data,
      expected,
      (i) => roundingBound(expected[i]) * 1.01 + 32 * U64 * size(i),
      "tensor",
    );
    kl.data.forEach((_, i) => {
      const [m1, l1, m2, l2] = at(i);
      bound.check(normalKlOf(m1, l1, m2, l2), expected[i], 32 * U64 * size(i), "one", i);
    });
  },
);

boundedTest(
  "KL of nearly equal Gaussians is ¼δ² for log-variances δ apart, to double's accuracy",
  "|δ|³/8 + 8u·δ² (docs/numerics.md#kl)",
  100,
  fc.tuple(real(-3, 3), positive(1e-7, 1e-4)),
  ([log, delta], bound) => {
    // ½(e^−δ − 1 + δ) = δ²/4 − δ³/12 + …; log + δ is itself rounded.
    const other = log + delta, exact = other - log;
    bound.check(
      normalKlOf(0, log, 0, other),
      exact * exact / 4,
      exact ** 3 / 8 + 8 * U64 * exact * exact + U64 * U64,
    );
  },
);

Deno.test("Gaussians want equal shapes and a variance above 0", () => {
  const x = tensor([1, 2]), y = tensor([2, 1]);
  assertThrows(() => gaussianLogDensity(x, y, 1), ArgumentError, "Expected mean of shape [1, 2]");
  assertThrows(() => gaussianLogDensity(x, x, 0), ArgumentError, "Expected a variance above 0");
  assertThrows(() => normalKl(x, y, x, x), ArgumentError, "Expected logVariance1 of shape");
  assertThrows(() => normalKl(x, x, y, x), ArgumentError, "Expected mean2 of shape");
  assertThrows(() => normalKl(x, x, x, y), ArgumentError, "Expected logVariance2 of shape");
});
