/**
 * Integrals by other means than the formulas under test.
 *
 * @module
 */

/** Nodes and weights of Gauss–Legendre on [−1, 1], by Newton's method on the Legendre polynomial. */
function gaussLegendre(n: number): { nodes: number[]; weights: number[] } {
  const nodes: number[] = [], weights: number[] = [];
  for (let i = 0; i < n; i++) {
    let x = Math.cos(Math.PI * (i + 0.75) / (n + 0.5)), slope = 1;
    for (let iteration = 0; iteration < 8; iteration++) {
      let p = 1, before = 0;
      for (let k = 1; k <= n; k++) [p, before] = [((2 * k - 1) * x * p - (k - 1) * before) / k, p];
      slope = n * (x * p - before) / (x * x - 1);
      x -= p / slope;
    }
    nodes.push(x);
    weights.push(2 / ((1 - x * x) * slope * slope));
  }
  return { nodes, weights };
}

const RULE = gaussLegendre(16);

/** ∫_a^b f by 16-point Gauss–Legendre on panels no longer than `panel`: exact to rounding for a Gaussian of width 1. */
export function integrate(f: (x: number) => number, a: number, b: number, panel = 1): number {
  const panels = Math.max(1, Math.ceil((b - a) / panel));
  const half = (b - a) / panels / 2;
  // Compensated, because there may be thousands of terms.
  let sum = 0, lost = 0;
  for (let k = 0; k < panels; k++) {
    // Counted from the end nearer 0, so that rounding a far end does not move the near one.
    const middle = Math.abs(a) <= Math.abs(b)
      ? a + (2 * k + 1) * half
      : b - (2 * (panels - k) - 1) * half;
    RULE.nodes.forEach((x, i) => {
      const term = RULE.weights[i] * half * f(middle + x * half) - lost;
      const next = sum + term;
      lost = (next - sum) - term;
      sum = next;
    });
  }
  return sum;
}

/**
 * E f(x) for x ~ N(mean, variance) by three-point Gauss–Hermite, exact for polynomials of degree 5:
 * all that the log-density ratio of two Gaussians needs.
 */
export function expectation(f: (x: number) => number, mean: number, variance: number): number {
  const offset = Math.sqrt(3 * variance);
  return (4 * f(mean) + f(mean - offset) + f(mean + offset)) / 6;
}
