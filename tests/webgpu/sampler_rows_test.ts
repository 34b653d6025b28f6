/**
 * The numbers of a sampling loop's steps, made on the host: what they make of x_t, the output and the noise
 * is the reference's step, for every prediction and variance.
 */
import { assert } from "@std/assert";
import fc from "fast-check";
import { gamma, roundingBound, U32, U64 } from "../../src/math/float32.ts";
import { tensor } from "../../src/math/tensor.ts";
import { ddimStep } from "../../src/reference/ddim.ts";
import { ddpmStep } from "../../src/reference/ddpm.ts";
import { createSchedule } from "../../src/reference/schedule.ts";
import {
  type NoiseLevel,
  ROW,
  ROW_SIZE,
  type SamplerRowOptions,
  samplerRows,
} from "../../src/webgpu/sampler_rows.ts";
import { type DrawnProcess, process, real } from "../support/arbitraries.ts";
import { Bound } from "../support/bound.ts";
import { seeds } from "../support/layers.ts";
import { forAll } from "../support/property.ts";
import { normals } from "./values.ts";

const PREDICTIONS = ["epsilon", "x0", "v"] as const;

/** Every kind of step. */
const KINDS: readonly SamplerRowOptions[] = [
  ...[...PREDICTIONS, "previousX" as const].flatMap((prediction) =>
    (["beta", "betaTilde", "learned", "learnedRange"] as const).map((variance) =>
      ({ kind: "ddpm", prediction, variance, clipRange: null }) as const
    )
  ),
  ...PREDICTIONS.flatMap((prediction) =>
    [true, false].map((rederiveEpsilon) =>
      ({ kind: "ddim", prediction, eta: 0, rederiveEpsilon, clipRange: null }) as const
    )
  ),
];

/** The numbers of step k of a loop over `levels`, by name. */
function rowOf(levels: readonly NoiseLevel[], k: number, options: SamplerRowOptions) {
  const rows = samplerRows(levels, options);
  const at = (levels.length - 1 - k) * ROW_SIZE;
  return (name: keyof typeof ROW): number => rows[at + ROW[name]];
}

interface Drawn {
  readonly process: DrawnProcess;
  readonly position: number;
  readonly clipRange: 1 | null;
  readonly eta: number;
  readonly seed: number;
}

const drawn: fc.Arbitrary<Drawn> = fc.record({
  process,
  position: real(0, 1),
  clipRange: fc.constantFrom(1 as const, null),
  eta: fc.oneof(fc.constantFrom(0, 1), real(0, 1)),
  seed: seeds,
});

function checkStep(
  { process, position, clipRange, eta, seed }: Drawn,
  kind: SamplerRowOptions,
  bound: Bound,
) {
  const options = kind.kind === "ddim" ? { ...kind, eta, clipRange } : { ...kind, clipRange };
  const schedule = createSchedule(process.config);
  const levels = Array.from(schedule.alphaBar, (alphaBar, k) => ({
    alphaBar,
    oneMinusAlphaBar: schedule.oneMinusAlphaBar[k],
  }));
  if (options.prediction === "epsilon" && levels.some(({ alphaBar }) => alphaBar === 0)) return;
  const k = Math.min(levels.length - 1, Math.floor(position * levels.length));
  const row = rowOf(levels, k, options);
  const learned = options.kind === "ddpm" && options.variance.startsWith("learned");
  const [[x], [output, raw], [z]] = [normals(1, seed), normals(2, seed + 1), normals(1, seed + 2)];
  const one = (...values: number[]) => tensor([1, values.length, 1], values);
  const t = schedule.timesteps[k], previous = k === 0 ? 0 : schedule.timesteps[k - 1];
  const clip = clipRange === null ? null : { kind: "static", range: clipRange } as const;
  const outputs = learned ? one(output, raw) : one(output);
  const exact = options.kind === "ddpm"
    ? ddpmStep(schedule, t, one(x), outputs, one(z), { ...options, clip })
    : ddimStep(schedule, t, previous, one(x), outputs, one(z), { ...options, clip });

  // In double from the row: its numbers were rounded once, and the reference's tables are known to
  // T·2^−53, which a difference of ᾱ's over β magnifies.
  const relative = gamma(1) + 4 * schedule.T * U64 / schedule.beta[k];
  const [x0Terms, xTerms] = [
    [row("x0FromX") * x, row("x0FromOutput") * output],
    [row("fromX") * x, row("fromOutput") * output],
  ];
  const size = (terms: readonly number[]) => terms.reduce((sum, term) => sum + Math.abs(term), 0);
  const range = row("clipRange");
  const x0 = Math.max(-range, Math.min(range, x0Terms[0] + x0Terms[1]));
  // An output that is x̂_0 is taken as it is.
  const direct = options.prediction === "x0";
  const x0Bound = direct ? 0 : relative * size(x0Terms);
  const x0Stored = direct ? 0 : roundingBound(exact.x0.data[0]);
  bound.check(x0, exact.x0.data[0], x0Bound + x0Stored, "x0");
  const exponent = learned ? row("sigmaSlope") * raw : 0;
  const noise = row("sigma") * Math.exp(exponent) * z;
  const mean = row("fromX0") * x0 + xTerms[0] + xTerms[1];
  const terms = size([row("fromX0") * exact.x0.data[0], ...xTerms]);
  const error = relative * (terms + Math.abs(noise)) + Math.abs(row("fromX0")) * x0Bound +
    2 * U32 * Math.abs(exponent * noise);
  bound.check(mean + noise, exact.x.data[0], error + roundingBound(exact.x.data[0]), "x");
}

for (const kind of KINDS) {
  const how = kind.kind === "ddpm" ? kind.variance : kind.rederiveEpsilon ? "ε̂ anew" : "ε̂ kept";
  Deno.test(`rows of ${kind.kind}, ${kind.prediction}, ${how}, make the reference's steps`, () => {
    const bound = new Bound("(u + 4·T·2⁻⁵³/β)·Σ|terms|");
    forAll(drawn, 60, (d) => checkStep(d, kind, bound));
    bound.settle("rows");
  });
}

Deno.test("rows of steps between times with hardly any noise lose no digits", () => {
  const levels = [1e-12, 3e-12].map((noise) => ({ alphaBar: 1 - noise, oneMinusAlphaBar: noise }));
  const options = {
    kind: "ddpm",
    prediction: "x0",
    variance: "betaTilde",
    clipRange: null,
  } as const;
  const row = rowOf(levels, 1, options);
  // β = (3 − 1)·10⁻¹² up to a factor 1 − 10⁻¹², of which float32 sees nothing.
  const near = (value: number, exact: number) =>
    assert(Math.abs(value - exact) <= gamma(1) * exact, `${value} is not ${exact}`);
  near(row("fromX0"), 2 / 3);
  near(row("fromX"), 1 / 3);
  near(row("sigma"), Math.sqrt(2e-12 / 3));
});
