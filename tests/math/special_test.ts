import { assertEquals } from "@std/assert";
import { U64 } from "../../src/math/float32.ts";
import { erfc, logistic, normalCdf, normalCdfTanh } from "../../src/math/special.ts";
import { Bound } from "../support/bound.ts";
import { real } from "../support/arbitraries.ts";
import { boundedTest } from "../support/property.ts";

/**
 * erfc to more than twenty digits: DLMF 7 and Abramowitz and Stegun table 7.1 where they print it,
 * and in between by the Maclaurin series of erf in 1000-bit integers, which also gives those.
 */
const ERFC: [x: number, value: string][] = [
  [0.125, "0.8596837951986661826"],
  [0.5, "0.4795001221869534623"],
  [0.75, "0.288844366346484868401"],
  [1, "0.1572992070502851306588"],
  [1.5, "0.03389485352468927293"],
  [2, "0.004677734981047265837931"],
  [2.375, "7.829382178911191975512e-4"],
  [2.5, "0.000406952017444958939564"],
  [3, "2.209049699858544137e-5"],
  [5, "1.537459794428034850e-12"],
  [10, "2.088487583762544757e-45"],
];

const BITS = 1200n, ONE = 1n << BITS;

/** A double as a fixed-point number with 1200 fractional bits; exact from 2^−1000 up. */
function fixed(x: number): bigint {
  let bits = 0;
  while (!Number.isInteger(x)) {
    x *= 2;
    bits++;
  }
  return (BigInt(x) << BITS) >> BigInt(bits);
}

/** atan(1/k)·2^1200. */
function arctangentOfInverse(k: bigint): bigint {
  let power = ONE / k, sum = power;
  for (let n = 3n; power !== 0n; n += 2n) {
    power = -(power / (k * k));
    sum += power / n;
  }
  return sum;
}

function squareRoot(n: bigint): bigint {
  let x = n;
  for (let next = (x + 1n) >> 1n; next < x; next = (x + n / x) >> 1n) x = next;
  return x;
}

/** √π·2^1200 by Machin's formula. */
const ROOT_PI = squareRoot(
  (4n * (4n * arctangentOfInverse(5n) - arctangentOfInverse(239n))) << BITS,
);

/** erfc(x)·2^1200 by erf(x) = 2/√π·Σ (−1)^n x^(2n+1)/(n!(2n+1)); good to 2^−1100 for |x| ≤ 6. */
function exactErfc(x: number): bigint {
  const X = fixed(x), square = (X * X) >> BITS;
  let term = X, sum = X;
  for (let n = 1n; term > 1n || term < -1n; n++) {
    term = -((term * square) >> BITS) / n;
    sum += term / (2n * n + 1n);
  }
  return ONE - ((2n * sum) << BITS) / ROOT_PI;
}

/** (found − exact)/exact, exact in fixed point. */
function relativeError(found: number, exact: bigint): number {
  return Number(((fixed(found) - exact) << 60n) / exact) / 2 ** 60;
}

boundedTest(
  "erfc is good to 1e-15 relative, the cut between its two forms included",
  "1e-15 relative (docs/numerics.md#erfc)",
  300,
  real(-3, 6),
  (x, bound) => bound.check(relativeError(erfc(x), exactErfc(x)), 0, 1e-15),
);

Deno.test("erfc gives the published values, its limits and no NaN between", () => {
  const bound = new Bound("1e-15 relative");
  for (const [x, printed] of ERFC) {
    const value = Number(printed);
    bound.check(erfc(x), value, 1e-15 * value, "erfc", x);
    bound.check(erfc(-x), 2 - value, 4 * U64, "erfc of −x", x);
  }
  bound.settle("erfc against published values");
  assertEquals([erfc(Infinity), erfc(-Infinity), erfc(0), erfc(1e300), erfc(28)], [0, 2, 1, 0, 0]);
  // Both sides of each cut: 0.5, and where it underflows; erfc only falls.
  for (const cut of [0.5, 2.4, 27]) {
    let last = Infinity;
    for (let k = -50; k <= 50; k++) {
      const value = erfc(cut * (1 + k * 1e-4));
      if (!(value <= last)) throw new Error(`Expected erfc to fall at ${cut}, step ${k}`);
      last = value;
    }
  }
});

boundedTest(
  "Φ is half of erfc at −x/√2",
  "(9 + 2x²)·u relative (docs/numerics.md#erfc)",
  300,
  real(-7, 7),
  (x, bound) => {
    // −x/√2 is two roundings off, and erfc's relative slope is about 2|y| in its tail.
    const exact = exactErfc(-x / Math.SQRT2);
    const relative = (9 + 2 * x * x) * U64;
    bound.check(relativeError(2 * normalCdf(x), exact), 0, relative, "Φ");
  },
);

boundedTest(
  "the tanh approximation is ½(1 + tanh(√(2/π)(x + 0.044715x³))) and near Φ",
  "4u",
  200,
  real(-4, 4),
  (x, bound) => {
    const argument = Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3);
    bound.check(normalCdfTanh(x), (1 + Math.tanh(argument)) / 2, 4 * U64, "tanh");
    // Its distance from Φ is at most 3.3e-4, reached near |x| = 2.
    bound.check(normalCdfTanh(x), normalCdf(x), 3.3e-4, "Φ");
    bound.check(logistic(x), (1 + Math.tanh(x / 2)) / 2, 4 * U64, "logistic");
  },
);

Deno.test("the logistic and the tanh form keep their relative accuracy in the lower tail", () => {
  const bound = new Bound("4u relative");
  for (let x = -700; x < -40; x += 13.3) {
    // There σ(x) = e^x to within e^(2x).
    bound.check(logistic(x) / Math.exp(x), 1, 4 * U64, "logistic", x);
  }
  assertEquals(logistic(800), 1);
  assertEquals(logistic(-800), 0);
  const t = 2 * Math.sqrt(2 / Math.PI) * (-9 - 0.044715 * 729);
  bound.check(normalCdfTanh(-9) / Math.exp(t), 1, (4 + 4 * Math.abs(t)) * U64, "tanh form");
});
