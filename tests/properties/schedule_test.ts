import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { U64 } from "../../src/math/float32.ts";
import * as reference from "../../src/reference/schedule.ts";
import { DDPM_SCHEDULE } from "../../src/spec/schedule_config.ts";
import {
  betaList,
  keepOf,
  positive,
  process,
  processOf,
  real,
  rule,
} from "../support/arbitraries.ts";
import { cosine, independentBetas, sigmoidAlphaBar } from "../support/independent_betas.ts";
import {
  type IndependentProcess,
  independentRescale,
  type IndependentStep,
  logAlphas,
} from "../support/independent_process.ts";
import { boundedTest, forAll } from "../support/property.ts";

/** A table by the independent road. */
function table(of: IndependentProcess, entry: (step: IndependentStep) => number): Float64Array {
  return Float64Array.from(of.steps, entry);
}

/** SNR without cancellation: 1/(e^(−ln ᾱ) − 1). */
const snr = (step: IndependentStep) => 1 / Math.expm1(-step.logAlphaBar);

boundedTest(
  "betas of every rule are those of the rule's second form",
  "roundings of the rule (docs/numerics.md#beta-rules)",
  300,
  rule,
  (drawn, bound) => {
    const { betas, bounds } = independentBetas(drawn);
    bound.checkAll(reference.betas(drawn), betas, (k) => bounds[k], drawn.kind);
  },
);

boundedTest(
  "the functions of the β rules take their numbers in order and their defaults from the papers",
  "roundings of the rule (docs/numerics.md#beta-rules)",
  60,
  fc.tuple(fc.integer({ min: 2, max: 20 }), positive(1e-4, 0.3), positive(1e-4, 0.3)),
  ([T, start, end], bound) => {
    for (const kind of ["linear", "quadratic", "sigmoid"] as const) {
      const { betas, bounds } = independentBetas({ kind, T, betaStart: start, betaEnd: end });
      const found = reference[`${kind}Betas`](T, start, end);
      bound.checkAll(found, betas, (k) => bounds[k], kind);
      if (kind === "linear") assertEquals([found[0], found[T - 1]], [start, end]);
    }
    const usual = cosine(T, 0.008, 0.999), other = cosine(T, 0.05, 0.5);
    bound.checkAll(reference.cosineBetas(T), usual.betas, (k) => usual.bounds[k], "cosine");
    bound.checkAll(
      reference.cosineBetas(T, 0.05, 0.5),
      other.betas,
      (k) => other.bounds[k],
      "cosine with numbers",
    );
    const jabri = sigmoidAlphaBar(T, -3, 2, 0.8, 0.95);
    bound.checkAll(
      reference.sigmoidAlphaBarBetas(T, -3, 2, 0.8, 0.95),
      jabri.betas,
      (k) => jabri.bounds[k],
      "sigmoidAlphaBar",
    );
    assertEquals(Array.from(reference.constantBetas(T, start)), new Array(T).fill(start));
    // 1/T, 1/(T−1), …, 1 is the schedule whose ᾱ falls linearly: ᾱ_t = 1 − t/T.
    let product = 1;
    reference.inverseBetas(T).forEach((beta, k) => {
      product *= 1 - beta;
      bound.check(product, 1 - (k + 1) / T, 3 * (k + 1) * U64, "inverse");
    });
  },
);

boundedTest(
  "betasForAlphaBar gives the step variances of an exponential ᾱ(u), capped",
  "(|c| + 4)·u",
  100,
  fc.tuple(fc.integer({ min: 1, max: 40 }), real(0.1, 8), real(0.05, 1)),
  ([T, c, most], bound) => {
    const found = reference.betasForAlphaBar(T, (u) => 7 * Math.exp(-c * u), most);
    const expected = Math.min(-Math.expm1(-c / T), most);
    // e^(−cu) has relative error (c + 1)u at each end; their ratio is at most 1.
    bound.checkAll(found, new Array(T).fill(expected), () => (2 * c + 4) * U64, "β");
  },
);

boundedTest(
  "every table of a list of β is its closed form in ln α, and the posterior is Bayes' product",
  "n·u·|table|, n = 2(3T + 3|ln ᾱ_T| + 4) + 16",
  200,
  betaList,
  (betas, bound) => {
    const beta = Float64Array.from(betas);
    const expected = processOf(betas, false, undefined);
    // The tables hold entry by entry, so the roundings are those of the steps up to it.
    const check = (name: string, found: Float64Array, entry: (step: IndependentStep) => number) => {
      const exact = table(expected, entry);
      bound.checkAll(found, exact, (k) => {
        const { logAlphaBar } = expected.steps[k];
        const depth = Number.isFinite(logAlphaBar) ? -logAlphaBar : 0;
        return (6 * (k + 1) + 6 * depth + 16) * U64 * Math.abs(exact[k]);
      }, name);
    };
    check("α", reference.alphas(beta), (s) => s.alpha);
    check("ᾱ", reference.alphaBars(beta), (s) => s.alphaBar);
    check("1−ᾱ", reference.oneMinusAlphaBars(beta), (s) => s.oneMinusAlphaBar);
    check("β̃", reference.betaTildes(beta), (s) => s.posteriorVariance);
    check("x_0 coefficient", reference.posteriorCoefsX0(beta), (s) => s.coefX0);
    check("x_t coefficient", reference.posteriorCoefsXt(beta), (s) => s.coefXt);
    check("SNR", reference.signalToNoise(beta), snr);
    const logs = reference.logBetaTildesClipped(beta);
    // A relative error of β̃ is an absolute one of its logarithm, which is rounded once more.
    bound.checkAll(
      logs,
      table(expected, (s) => s.logVarianceClipped),
      (k) => (expected.n + Math.abs(logs[k]) * 2) * U64,
      "ln β̃",
    );
  },
);

boundedTest(
  "createSchedule holds each table under its own name, for every config",
  "n·u·|table| (docs/numerics.md#tables)",
  200,
  process,
  (expected, bound) => {
    const found = reference.createSchedule(expected.config);
    assertEquals(found.T, expected.T);
    assertEquals(Array.from(found.timesteps), expected.steps.map((s) => s.t));
    const entries: [keyof reference.Schedule, (step: IndependentStep) => number][] = [
      ["beta", (s) => s.beta],
      ["alpha", (s) => s.alpha],
      ["alphaBar", (s) => s.alphaBar],
      ["oneMinusAlphaBar", (s) => s.oneMinusAlphaBar],
      ["betaTilde", (s) => s.posteriorVariance],
      ["posteriorCoefX0", (s) => s.coefX0],
      ["posteriorCoefXt", (s) => s.coefXt],
      ["sqrtAlphaBar", (s) => Math.sqrt(s.alphaBar)],
      ["sqrtOneMinusAlphaBar", (s) => Math.sqrt(s.oneMinusAlphaBar)],
      ["snr", snr],
    ];
    for (const [name, entry] of entries) {
      const exact = table(expected, entry);
      bound.checkAll(
        found[name] as Float64Array,
        exact,
        (k) => expected.n * U64 * Math.abs(exact[k]),
        name,
      );
    }
    bound.checkAll(
      found.logBetaTildeClipped,
      table(expected, (s) => s.logVarianceClipped),
      (k) => (expected.n + 2 * Math.abs(found.logBetaTildeClipped[k])) * U64,
      "ln β̃",
    );
  },
);

boundedTest(
  "rescaleZeroTerminalSnr shifts and scales √ᾱ",
  "roundings of the rescaling (docs/numerics.md#zero-snr)",
  150,
  betaList.filter((betas) => betas.length > 1),
  (betas, bound) => {
    const { logAlpha, betaRoundings } = independentRescale(logAlphas(betas));
    const expected = logAlpha.map((log) => -Math.expm1(log));
    bound.checkAll(
      reference.rescaleZeroTerminalSnr(Float64Array.from(betas)),
      expected,
      (k) => betaRoundings[k] * U64 * expected[k],
      "β",
    );
  },
);

Deno.test("the paper's schedule is linear from 1e-4 to 0.02 over 1000 steps", () => {
  const { beta, timesteps } = reference.createSchedule(DDPM_SCHEDULE);
  assertEquals([beta.length, timesteps.length], [1000, 1000]);
  assertEquals([beta[0], Math.fround(beta[999])], [1e-4, Math.fround(0.02)]);
  // Any two neighbours are equally far apart.
  assert(Math.abs(beta[500] - beta[499] - 0.0199 / 999) < 1e-17);
});

boundedTest(
  "6. A respaced process is a DDPM with the same ᾱ at its times",
  "n·u·|table| (docs/numerics.md#tables)",
  200,
  fc.tuple(betaList, fc.boolean()).chain(([betas, zero]) =>
    keepOf(betas.length).map((keep) => processOf(betas, zero && betas.length > 1, keep))
  ),
  (kept, bound) => {
    const { config } = kept;
    const whole = reference.createSchedule({ ...config, keep: undefined });
    const respaced = reference.createSchedule(config);
    respaced.timesteps.forEach((t, k) => {
      const signal = whole.alphaBar[t - 1], variance = whole.oneMinusAlphaBar[t - 1];
      bound.check(respaced.alphaBar[k], signal, kept.n * U64 * signal, "ᾱ", t);
      bound.check(respaced.oneMinusAlphaBar[k], variance, kept.n * U64 * variance, "1−ᾱ", t);
    });
    // A DDPM: its tables are those of a process whose raw β are its β.
    const own = processOf(Array.from(respaced.beta), false, undefined);
    for (
      const [what, found, entry] of [
        ["β̃", respaced.betaTilde, (s) => s.posteriorVariance],
        ["x_0 coefficient", respaced.posteriorCoefX0, (s) => s.coefX0],
        ["x_t coefficient", respaced.posteriorCoefXt, (s) => s.coefXt],
      ] as [string, Float64Array, (step: IndependentStep) => number][]
    ) {
      const exact = table(own, entry);
      // There α is 1 − β, off by the absolute error of β, 3T·u·β; here it is a product of T factors.
      const lost = own.steps.map((s) => (3 * s.beta / s.alpha + 2) * kept.T);
      bound.checkAll(found, exact, (k) => {
        const upTo = lost.slice(0, k + 1).reduce((sum, l) => sum + l, 0);
        return exact[k] === 0 ? 0 : (own.n + upTo) * U64 * exact[k];
      }, what);
    }
    // And its β are the variances added in each gap.
    const gaps = table(kept, (s) => s.beta);
    bound.checkAll(
      reference.respaceBetas(whole.beta, respaced.timesteps),
      gaps,
      (k) => kept.n * U64 * gaps[k],
      "respaced β",
    );
    const alphas = table(kept, (s) => s.alpha);
    bound.checkAll(
      reference.respaceAlphas(whole.beta, respaced.timesteps),
      alphas,
      (k) => kept.n * U64 * alphas[k],
      "respaced α",
    );
  },
);

Deno.test("8. ᾱ and SNR decrease, 0 ≤ β̃ ≤ β; zero-SNR ends at 0 and keeps ᾱ_1", () => {
  forAll(process, 300, (drawn) => {
    const s = reference.createSchedule(drawn.config);
    s.beta.forEach((beta, k) => {
      assert(s.alphaBar[k] < (k === 0 ? 1 : s.alphaBar[k - 1]), `ᾱ at entry ${k}`);
      assert(k === 0 || s.snr[k] < s.snr[k - 1], `SNR at entry ${k}`);
      assert(k === 0 ? s.betaTilde[k] === 0 : s.betaTilde[k] > 0, `β̃ at entry ${k}`);
      // β̃ = β·(1 − ᾱ_{t−1})/(1 − ᾱ_t): the quotient may round up to 1, no further.
      assert(s.betaTilde[k] <= beta, `β̃ against β at entry ${k}`);
    });
    if (drawn.config.zeroTerminalSnr) {
      const whole = reference.createSchedule({ ...drawn.config, keep: undefined });
      const last = whole.beta.length - 1;
      assertEquals([whole.alphaBar[last], whole.snr[last], whole.beta[last]], [0, 0, 1]);
      const plain = reference.createSchedule({ ...drawn.config, zeroTerminalSnr: false });
      if (plain.timesteps[0] === 1) assertEquals(s.alphaBar[0], plain.alphaBar[0]);
      assertEquals(whole.alphaBar[0], 1 - whole.beta[0]);
    }
  });
});
