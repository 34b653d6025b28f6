/**
 * The bounds: what the running error analysis says of one operation must hold for real float32
 * arithmetic, and the formulas that it analyses must be those of the reference.
 */
import { assert } from "@std/assert";
import * as fc from "fast-check";
import { BOUNDS } from "../../../src/oracle/verify/bounds/mod.ts";
import { DRAWS } from "../../../src/oracle/verify/draw/mod.ts";
import { Parts, type Request } from "../../../src/oracle/verify/draw/parts.ts";
import { Judge } from "../../../src/oracle/verify/judge.ts";
import { leavesOf } from "../../../src/oracle/verify/leaves.ts";
import { Model } from "../../../src/oracle/verify/model.ts";
import { type Approx, exact, Rounding } from "../../../src/oracle/verify/rounding.ts";
import { ApproxSchedule, ruleTableErrors } from "../../../src/oracle/verify/tables.ts";
import { createSchedule } from "../../../src/reference/schedule.ts";
import { forAll } from "../../support/property.ts";

const U = 2 ** -24;
const f = Math.fround;

/** A formula in exact, float32 and approximate arithmetic at once. */
interface Traced {
  readonly real: number;
  readonly single: number;
  readonly approx: Approx;
}

/** A random formula of a few operations on float32 inputs, built bottom up. */
const traced: fc.Arbitrary<Traced> = fc.letrec<{ node: Traced }>((tie) => ({
  node: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.integer({ min: 1, max: 2 ** 24 }).map((k) => leaf(k / 2 ** 20)),
    fc.tuple(fc.constantFrom("add", "sub", "mul", "div"), tie("node"), tie("node"))
      .map(([op, a, b]) => binary(op, a, b)),
    fc.tuple(fc.constantFrom("sqrt", "exp", "log"), tie("node")).map(([op, a]) => unary(op, a)),
  ),
})).node;

const arithmetic = new Rounding(U, 0);

function leaf(value: number): Traced {
  const x = f(value);
  return { real: x, single: x, approx: exact(x) };
}

function binary(op: string, a: Traced, b: Traced): Traced {
  const of = (x: number, y: number) =>
    op === "add" ? x + y : op === "sub" ? x - y : op === "mul" ? x * y : x / y;
  return {
    real: of(a.real, b.real),
    single: f(of(a.single, b.single)),
    approx: op === "add"
      ? arithmetic.add(a.approx, b.approx)
      : op === "sub"
      ? arithmetic.sub(a.approx, b.approx)
      : op === "mul"
      ? arithmetic.mul(a.approx, b.approx)
      : arithmetic.div(a.approx, b.approx),
  };
}

function unary(op: string, a: Traced): Traced {
  const of = op === "sqrt"
    ? (x: number) => Math.sqrt(Math.max(x, 0))
    : op === "exp"
    ? Math.exp
    : Math.log;
  return {
    real: of(a.real),
    single: f(of(a.single)),
    approx: op === "sqrt"
      ? arithmetic.sqrt(a.approx)
      : op === "exp"
      ? arithmetic.exp(a.approx)
      : arithmetic.log(a.approx),
  };
}

Deno.test("float32 stays within the running error bound of any formula", () => {
  let judged = 0;
  forAll(traced, 3000, ({ real, single, approx }) => {
    // Beyond float32's range, or where a divisor may be 0, the analysis says nothing.
    const fits = Math.abs(real) < 1e30 && Math.abs(real) > 1e-30 && Number.isFinite(approx.e);
    if (!fits || !Number.isFinite(single)) return;
    judged++;
    // The double arithmetic of both sides is a billionth of a float32 rounding.
    const bound = approx.e * (1 + 1e-6) + 1e-12 * Math.abs(real);
    assert(Math.abs(single - real) <= bound, `${single} is not within ${bound} of ${real}`);
  });
  assert(judged > 1000, `only ${judged} formulas were judged`);
});

const judge = new Judge("f64");
/** The values that an operation's analysed formula has for a request, in exact arithmetic. */
function formulaOf(request: Request): Readonly<Record<string, readonly Approx[]>> {
  const model = new Model("f64", "double", (_, c) => {
    const { schedule, errors } = judge.ruleSchedule(request, "double");
    return new ApproxSchedule(schedule, errors, c);
  });
  return BOUNDS[request.op].bounds(
    { path: "", values: request, context: judge.contextOf(request) },
    model,
  );
}

for (const [op, cells] of Object.entries(DRAWS)) {
  if (op === "timesteps" || op === "random_bits") continue;
  Deno.test(`the bound of ${op} analyses the reference's formula`, () => {
    for (const cell of cells(new Parts(fc))) {
      forAll(cell.requests, op === "unet" ? 2 : 12, (request) => {
        let leaves;
        try {
          leaves = leavesOf(judge.reference(request));
        } catch {
          return;
        }
        const formula = formulaOf(request);
        for (const { path, values, shape } of leaves) {
          assert(formula[path]?.length === values.length, `no bound for every value of ${path}`);
          formula[path].forEach(({ v, e }, i) => {
            if (v === values[i] || !Number.isFinite(e)) return;
            const stored = shape === null ? 0 : U * Math.abs(values[i]) + 2 ** -150;
            // The analysis itself runs in double.
            const bound = 2 * e + stored + 64 * 2 ** -53 * Math.abs(v);
            assert(
              Math.abs(v - values[i]) <= bound,
              `${path}[${i}] of ${JSON.stringify(request)}: ${v} instead of ${values[i]}`,
            );
          });
        }
      });
    }
  });
}

/** A float32 cumulative product, as diffusers and others have it. */
function float32AlphaBar(betas: readonly number[]): number[] {
  let product = 1;
  return betas.map((beta) => product = f(product * f(1 - f(beta))));
}

Deno.test("a float32 cumulative product is within its tables' bounds, a float16 one is not", () => {
  const config = { kind: "linear" as const, T: 1000, betaStart: 1e-4, betaEnd: 0.02 };
  const schedule = createSchedule(config);
  const { alphaBar, oneMinusAlphaBar } = ruleTableErrors(config, schedule, U);
  const betas = Array.from({ length: 1000 }, (_, k) => f(f(1e-4) + f(k * f(f(0.02 - 1e-4) / 999))));
  const product = float32AlphaBar(betas);
  const half = float32AlphaBar(betas.map((b) => Math.round(b * 2 ** 14) / 2 ** 14));
  const worst = (found: number[], truth: Float64Array, error: Float64Array) =>
    Math.max(...found.map((a, k) => Math.abs(a - truth[k]) / error[k]));
  assert(worst(product, schedule.alphaBar, alphaBar) < 1);
  assert(worst(product.map((a) => f(1 - a)), schedule.oneMinusAlphaBar, oneMinusAlphaBar) < 1);
  assert(worst(half, schedule.alphaBar, alphaBar) > 10);
  // The strict tables do not allow the cancellation near t = 1.
  const strict = ruleTableErrors(config, schedule, 2 ** -53);
  assert(Math.abs(f(1 - product[0]) - 1e-4) > strict.oneMinusAlphaBar[0] + 4 * U * 1e-4);
});
