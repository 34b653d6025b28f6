/**
 * Published and recomputed figures of the common schedules, time lists and a ten-step DDIM run:
 * diffusers' own test values (`tests/schedulers/test_scheduler_ddim.py`, huggingface/diffusers 58eb52c)
 * and figures from separate scripts. Each is given to so many digits; a value must agree to half a
 * unit of the last one.
 */
import { assert, assertEquals } from "@std/assert";
import { U64, ulp32 } from "../../src/math/float32.ts";
import { type Tensor, tensor } from "../../src/math/tensor.ts";
import { ddimSigma } from "../../src/reference/ddim.ts";
import { priorKl } from "../../src/reference/likelihood.ts";
import { vlbWeight } from "../../src/reference/loss.ts";
import { selectTimesteps, type Spacing } from "../../src/reference/respacing.ts";
import { fixedLargeLogVariance } from "../../src/reference/reverse.ts";
import { type Model, sampleDdim } from "../../src/reference/sample.ts";
import { createSchedule } from "../../src/reference/schedule.ts";
import { noiseLevelAt, stepAt } from "../../src/reference/step.ts";
import { DDPM_SCHEDULE } from "../../src/spec/schedule_config.ts";
import { Bound } from "../support/bound.ts";
import { doubles } from "../support/doubles.ts";

/** A figure as it was printed, and half a unit of its last digit. */
function printed(text: string): { value: number; half: number } {
  const [, whole, fraction = "", exponent = "0"] = /^(\d+)\.?(\d*)(?:e(-?\d+))?$/.exec(text)!;
  assert(whole !== undefined);
  return { value: Number(text), half: 0.5 * 10 ** (Number(exponent) - fraction.length) };
}

/** Compares a value with a printed figure. */
function check(bound: Bound, actual: number, text: string, what: string): void {
  const { value, half } = printed(text);
  // Where all digits of a double are given, a product of up to 1000 rounded factors shows.
  bound.check(actual, value, half + 4000 * U64 * value, "figures", what);
}

const linear = createSchedule(DDPM_SCHEDULE);
const cosine = createSchedule({ kind: "cosine", T: 1000 });

Deno.test("the linear and cosine schedules have their known figures", () => {
  const bound = new Bound("half a unit of the last digit given");
  const { alphaBar, beta, betaTilde, snr } = linear;
  check(bound, alphaBar[0], "0.9999", "ᾱ_1");
  check(bound, alphaBar[499], "0.07858724288177821", "ᾱ_500");
  check(bound, alphaBar[999], "4.0358297653756754e-5", "ᾱ_1000");
  check(bound, linear.sqrtAlphaBar[999], "0.00635281808757", "√ᾱ_1000");
  check(bound, beta[1], "1.1991991991991993e-4", "β_2");
  check(bound, betaTilde[1], "5.4531876613021935e-5", "β̃_2");
  check(bound, betaTilde[487], "0.00979157198569", "β̃_488");
  check(bound, betaTilde[999], "0.01999998352656", "β̃_1000");
  check(bound, snr[999], "4.03599e-5", "SNR_1000");
  check(bound, Math.exp(fixedLargeLogVariance(stepAt(linear, 1)) / 2), "0.00738", "σ_1");

  check(bound, cosine.beta[0], "4.128422482e-5", "cosine β_1");
  check(bound, cosine.beta[1], "4.614175274e-5", "cosine β_2");
  check(bound, cosine.beta[998], "0.74999939", "cosine β_999");
  check(bound, cosine.alphaBar[999], "2.4287669e-9", "cosine ᾱ_1000");
  assertEquals(cosine.beta.filter((b) => b === 0.999), Float64Array.of(0.999));
  bound.settle("anchors of schedules");
});

Deno.test("the weights of the bound and its last term have their known figures", () => {
  const bound = new Bound("half a unit of the last digit given");
  const weights: [number, "beta" | "betaTilde", string][] = [
    [1, "beta", "0.50005"],
    [2, "beta", "0.27269"],
    [11, "beta", "0.068224"],
    [101, "beta", "0.0099962"],
    [1000, "beta", "0.0102045"],
    [2, "betaTilde", "0.599672"],
    [11, "betaTilde", "0.0789765"],
    [101, "betaTilde", "0.0101784"],
  ];
  for (const [t, variance, figure] of weights) {
    check(bound, vlbWeight(linear, t, variance), figure, `w(${t}), ${variance}`);
  }
  check(bound, priorKl(linear, tensor([1, 1], [0.5]))[0], "7.28e-6", "L_T where x_0² is ¼");
  check(bound, priorKl(linear, tensor([1, 1], [1]))[0], "2.91e-5", "L_T where x_0² is 1");
  bound.settle("anchors of the bound");
});

Deno.test("DDIM's variance at eta = 1 has diffusers' figures", () => {
  const bound = new Bound("the 1e-5 that their tests allow");
  const variance = (t: number, previous: number) =>
    ddimSigma(1, noiseLevelAt(linear, t + 1), noiseLevelAt(linear, previous + 1)) ** 2;
  bound.check(variance(420, 400), 0.14771, 1e-5, "figures", "(420, 400)");
  bound.check(variance(980, 960), 0.3246, 1e-5, "figures", "(980, 960)");
  bound.settle("anchors of DDIM");
});

/** Times as other code counts them, from 0 and ascending. */
function fromZero(spacing: Spacing, steps: number, T = 1000): number[] {
  return selectTimesteps({ T, spacing, steps }).map((t) => t - 1).reverse();
}

Deno.test("kept times are those of the known lists", () => {
  const ends = (times: number[], first: number[], last: number[]) => {
    assertEquals(times.slice(0, first.length), first);
    assertEquals(times.slice(-last.length), last);
  };
  ends(fromZero("sections", 10), [0, 111], [999]);
  ends(fromZero("sections", 50), [0, 20, 41, 61], [979, 999]);
  ends(fromZero("leading", 50), [0, 20], [980]);
  ends(fromZero("leading", 300), [0], [897]);
  ends(fromZero("leading", 600), [0], [599]);
  ends(fromZero("trailing", 50), [19], [979, 999]);
  assertEquals(fromZero("trailing", 7), [142, 285, 428, 570, 713, 856, 999]);
  ends(fromZero("linspace", 10), [0, 111], [888, 999]);
  ends(fromZero("quadratic", 10), [0, 9, 39, 88, 158, 246], [632, 800]);
  assertEquals(fromZero("quadratic", 50).length, 49);
  assertEquals(fromZero("quadratic", 100).length, 96);
  for (
    const [steps, stride] of [[10, 100], [25, 40], [30, 34], [50, 20], [100, 10], [250, 4], [
      500,
      2,
    ]]
  ) {
    const times = fromZero("stride", steps);
    assertEquals(times, Array.from({ length: steps }, (_, i) => i * stride));
  }
  // Accumulated in floating point, 62 of these lists get one time too many, below 0.
  for (let steps = 1; steps <= 1000; steps++) {
    const times = fromZero("trailing", steps);
    assertEquals(times.length, steps);
    assert(times[0] >= 0);
  }
});

/**
 * diffusers' test loop: x_k = k/768, the model x·t/(t + 1), ten leading steps, η = 0, clipping that keeps
 * the network's ε̂. Returns Σ|x| and what it may be off by.
 */
async function ddimSum(options: {
  betaStart: number;
  prediction: "epsilon" | "v";
  alphaToOne: boolean;
}): Promise<{ sum: number; error: number }> {
  const steps = 10, size = 768, { betaStart, prediction, alphaToOne } = options;
  const keep = selectTimesteps({ T: 1000, spacing: "leading", steps }).reverse();
  const schedule = createSchedule({ kind: "linear", T: 1000, betaStart, betaEnd: 0.02, keep });
  const xT = doubles([4, 3, 8, 8], Array.from({ length: size }, (_, k) => k / size));
  const model: Model = (x: Tensor, t: number) =>
    doubles(x.shape, Array.from(x.data, (value) => value * (t - 1) / t));
  let error = 0;
  const last = await sampleDdim(schedule, model, xT, () => xT, {
    prediction,
    rederiveEpsilon: false,
    finalAlphaBar: alphaToOne ? 1 : schedule.alphaBar[0],
    onStep: ({ x, tPrev, t }) => {
      // x_prev is linear in x_t, in pieces; no slope exceeds this, and each store adds ½ulp.
      const level = noiseLevelAt(schedule, t), before = noiseLevelAt(schedule, tPrev);
      const signal = Math.sqrt(level.alphaBar), sigma = Math.sqrt(level.oneMinusAlphaBar);
      const share = Math.sqrt(before.oneMinusAlphaBar);
      const x0 = prediction === "v"
        ? Math.abs(signal - sigma * (t - 1) / t)
        : (1 - sigma * (t - 1) / t) / signal;
      const epsilon = prediction === "v" ? signal + sigma : 1;
      const slope = Math.sqrt(before.alphaBar) * x0 + share * epsilon;
      error = error * slope + x.data.reduce((sum, value) => sum + ulp32(value) / 2, 0);
    },
  });
  return { sum: last.data.reduce((sum, value) => sum + Math.abs(value), 0), error };
}

Deno.test("ten steps of DDIM give the sums of diffusers' tests", async () => {
  const bound = new Bound("half a unit of the last digit, and the stores to float32");
  // Sums of a separate float64 loop; diffusers' own, in float32, differ by up to 2e−4.
  const cases: [Parameters<typeof ddimSum>[0], string, number][] = [
    [{ betaStart: 1e-4, prediction: "epsilon", alphaToOne: true }, "172.0065", 172.0067],
    [{ betaStart: 1e-4, prediction: "v", alphaToOne: true }, "52.5301", 52.5302],
    [{ betaStart: 0.01, prediction: "epsilon", alphaToOne: true }, "149.8295", 149.8295],
    [{ betaStart: 0.01, prediction: "epsilon", alphaToOne: false }, "149.0784", 149.0784],
  ];
  for (const [options, figure, theirs] of cases) {
    const { sum, error } = await ddimSum(options), { value, half } = printed(figure);
    bound.check(sum, value, half + error, "sums", JSON.stringify(options));
    // Their tests allow 1e−2.
    assert(Math.abs(sum - theirs) < 2.5e-4);
  }
  bound.settle("anchors of sampling");
});
