/**
 * Running error analysis (Higham, "Accuracy and Stability of Numerical Algorithms", section 3.3): a
 * value with a bound on how far a floating-point computation of it may be off. Evaluating a formula
 * in these numbers derives the formula's bound term by term, cancellation included.
 *
 * @module
 */

/** A value and the most by which an implementation's may differ: |computed − v| ≤ e. */
export interface Approx {
  /** What exact arithmetic gives. */
  readonly v: number;
  /** How far a computed value may be off. Infinite where nothing can be said. */
  readonly e: number;
}

/** A value that every implementation knows exactly: a float32 input, or a small integer. */
export function exact(v: number): Approx {
  return { v, e: 0 };
}

/** The larger of two bounds on the same quantity: either computation of it is allowed. */
export function either(a: Approx, ...others: readonly Approx[]): Approx {
  const usable = others.map(({ e }) => e).filter(Number.isFinite);
  return { v: a.v, e: Math.max(a.e, ...usable) };
}

/** The distance to the farther end of an interval around v. */
function within(v: number, low: number, high: number): Approx {
  return { v, e: Math.max(v - low, high - v, 0) };
}

/**
 * Arithmetic with unit roundoff u. Division, roots and elementary functions are allowed a few units
 * in the last place, as GPUs and libraries have them (WGSL allows division 2.5 ulp, exp 3 + 2|x|).
 */
export class Rounding {
  /** @param u unit roundoff. @param tiny what underflow may lose. */
  constructor(readonly u: number, readonly tiny: number) {}

  /** `a` after `count` more roundings. */
  round(a: Approx, count = 1): Approx {
    return { v: a.v, e: a.e + count * this.u * (Math.abs(a.v) + a.e) + this.tiny };
  }

  /** A real number that has to be rounded before it is used. */
  of(v: number): Approx {
    return this.round(exact(v));
  }

  /** a + b. */
  add(a: Approx, b: Approx): Approx {
    return this.round({ v: a.v + b.v, e: a.e + b.e });
  }

  /** a − b. */
  sub(a: Approx, b: Approx): Approx {
    return this.round({ v: a.v - b.v, e: a.e + b.e });
  }

  /** a·b; a product with an exact 0 is 0. */
  mul(a: Approx, b: Approx): Approx {
    if ((a.v === 0 && a.e === 0) || (b.v === 0 && b.e === 0)) return exact(0);
    return this.round({
      v: a.v * b.v,
      e: Math.abs(a.v) * b.e + Math.abs(b.v) * a.e + a.e * b.e,
    });
  }

  /** a/b. */
  div(a: Approx, b: Approx): Approx {
    if (a.v === 0 && a.e === 0) return exact(0);
    const v = a.v / b.v, least = Math.abs(b.v) - b.e;
    return least > 0
      ? this.round({ v, e: (a.e + Math.abs(v) * b.e) / least }, 4)
      : { v, e: Infinity };
  }

  /** √a; what rounding may have pushed below 0 counts as 0. */
  sqrt(a: Approx): Approx {
    const v = Math.sqrt(Math.max(a.v, 0));
    if (a.v === 0 && a.e === 0) return exact(0);
    return this.round(
      within(v, Math.sqrt(Math.max(a.v - a.e, 0)), Math.sqrt(Math.max(a.v, 0) + a.e)),
      4,
    );
  }

  /** e^a. */
  exp(a: Approx): Approx {
    const v = Math.exp(a.v);
    return this.round({ v, e: v * Math.expm1(a.e) }, 6 + 4 * Math.abs(a.v));
  }

  /** ln a. */
  log(a: Approx): Approx {
    const v = Math.log(a.v);
    if (!(a.v - a.e > 0)) return { v, e: Infinity };
    const shifted = { v, e: -Math.log1p(-a.e / a.v) };
    return this.round({ v, e: shifted.e + 8 * this.u }, 8);
  }

  /** cos a or sin a, whose slope is at most 1. */
  wave(f: (x: number) => number, a: Approx): Approx {
    return { v: f(a.v), e: a.e + 8 * this.u };
  }

  /** Σ terms in any order. */
  sum(terms: readonly Approx[]): Approx {
    let v = 0, e = 0, size = 0;
    for (const term of terms) {
      v += term.v;
      e += term.e;
      size += Math.abs(term.v) + term.e;
    }
    return { v, e: e + terms.length * this.u * size + this.tiny };
  }

  /** Σ a_i·b_i in any order, fused or not. */
  dot(a: readonly Approx[], b: readonly Approx[]): Approx {
    return this.sum(a.map((x, i) => this.mul(x, b[i])));
  }
}

/** a limited to [low, high]: where the limit certainly acts nothing is left of a's error. */
export function clampBetween(a: Approx, low: Approx, high: Approx): Approx {
  const clamp = (x: number, l: number, h: number) => Math.min(Math.max(x, l), h);
  return within(
    clamp(a.v, low.v, high.v),
    clamp(a.v - a.e, low.v - low.e, high.v - high.e),
    clamp(a.v + a.e, low.v + low.e, high.v + high.e),
  );
}

/** −a, which no rounding touches. */
export function negative({ v, e }: Approx): Approx {
  return { v: -v, e };
}

/** |a|. */
export function magnitude({ v, e }: Approx): Approx {
  return { v: Math.abs(v), e };
}

/** a times a power of two, which no rounding touches. */
export function scaled({ v, e }: Approx, power: number): Approx {
  return { v: v * power, e: e * power };
}
