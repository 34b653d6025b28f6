/**
 * Schedule tables and time selection against those of OpenAI's and diffusers' code, run in float64.
 *
 * Every entry must be within 1e−11·(1 + |b|), the tolerance that this project promises, and within what
 * the two ways of computing it can lose, which is less. With u = 2^−53 and t = index + 1:
 *
 * - β: the rules are the same expressions; numpy steps through a linear one as we do (3 roundings of at
 *   most the largest β on each side), and the two cosines, of equal arguments, may differ by an ulp:
 *   dβ = 6u·0.02, or 12u.
 * - ᾱ: t factors 1 − β, each rounded, and t products, on both sides: eA = 4t·u + Σ dβ/α, relative.
 * - 1 − ᾱ: we add t positive terms in 3 roundings each; the others subtract a rounded ᾱ from 1, so
 *   e1 = 3t·u + (eA·ᾱ + u)/(1 − ᾱ), relative. Most of this file's distances are that cancellation.
 * - Respaced: 1 − ᾱ_t/ᾱ_s takes two roundings and the error of both: dβ = eA(t) + eA(s) + 2u.
 * - The rest are products, quotients and roots: relative errors add, a root halves, 3 roundings come on
 *   top; a logarithm turns relative into absolute.
 */
import { assertEquals } from "@std/assert";
import { U64 } from "../../src/math/float32.ts";
import { createSchedule, type Schedule } from "../../src/reference/schedule.ts";
import { sectionTimesteps, selectTimesteps } from "../../src/reference/respacing.ts";
import { fixedLargeLogVariance } from "../../src/reference/reverse.ts";
import { stepAt } from "../../src/reference/step.ts";
import { Bound } from "../support/bound.ts";
import { goldenCases, goldenSchedule, type GoldenTensor } from "../support/golden.ts";

interface TableCase {
  readonly id: string;
  readonly schedule: string;
  readonly T: number;
  readonly timestep_map?: readonly number[];
  readonly index: readonly number[];
  readonly values: Readonly<Record<string, readonly number[]>>;
  readonly sums: Readonly<Record<string, number>>;
}

/** Relative errors of β, ᾱ and 1 − ᾱ per entry, as the head of this file derives them. */
interface Errors {
  readonly beta: number[];
  readonly alphaBar: number[];
  readonly oneMinus: number[];
}

function errorsOf(kind: string, { T, timesteps, alpha, alphaBar, beta }: Schedule): Errors {
  const dBeta = kind === "cosine" ? 12 * U64 : 6 * 0.02 * U64;
  const errors: Errors = { beta: [], alphaBar: [], oneMinus: [] };
  const whole = createSchedule(goldenSchedule(kind, T)).alpha;
  let fromBetas = 0;
  const lostBy = [0, ...whole.map((a, k) => 4 * (k + 1) * U64 + (fromBetas += dBeta / a))];
  const lost = (t: number) => lostBy[t];
  timesteps.forEach((t, k) => {
    const eA = lost(t), s = k === 0 ? 0 : timesteps[k - 1];
    const respaced = timesteps.length < T ? lost(t) + lost(s) + 2 * U64 : dBeta;
    errors.beta.push(respaced * (respaced === dBeta ? 1 : alpha[k]) / beta[k]);
    errors.alphaBar.push(eA);
    errors.oneMinus.push(3 * t * U64 + (eA * alphaBar[k] + U64) / (1 - alphaBar[k]));
  });
  return errors;
}

type Row = (k: number) => { readonly value: number; readonly error: number };

/** Every table of the source's by name: our value and the bound on its distance. */
function rows(schedule: Schedule, e: Errors): Record<string, Row> {
  const { alphaBar, oneMinusAlphaBar, beta } = schedule;
  const last = beta.length - 1;
  const relative = (value: number, error: number) => ({
    value,
    error: Math.abs(value) * (error + 3 * U64),
  });
  const log = (value: number, error: number) => ({
    value,
    error: error + 3 * U64 * (1 + Math.abs(value)),
  });
  const tilde = (k: number) => k === 0 ? 0 : e.beta[k] + e.oneMinus[k] + e.oneMinus[k - 1];
  const clipped = (k: number) => Math.max(k, 1);
  const step = (k: number) => stepAt(schedule, schedule.timesteps[k]);
  return {
    betas: (k) => relative(beta[k], e.beta[k]),
    alphas_cumprod: (k) => relative(alphaBar[k], e.alphaBar[k]),
    alphas_cumprod_prev: (k) =>
      k === 0 ? { value: 1, error: 0 } : relative(alphaBar[k - 1], e.alphaBar[k - 1]),
    alphas_cumprod_next: (k) =>
      k === last ? { value: 0, error: 0 } : relative(alphaBar[k + 1], e.alphaBar[k + 1]),
    sqrt_alphas_cumprod: (k) => relative(schedule.sqrtAlphaBar[k], e.alphaBar[k] / 2),
    sqrt_one_minus_alphas_cumprod: (k) =>
      relative(schedule.sqrtOneMinusAlphaBar[k], e.oneMinus[k] / 2),
    log_one_minus_alphas_cumprod: (k) => log(Math.log(oneMinusAlphaBar[k]), e.oneMinus[k]),
    sqrt_recip_alphas_cumprod: (k) => relative(1 / schedule.sqrtAlphaBar[k], e.alphaBar[k] / 2),
    sqrt_recipm1_alphas_cumprod: (k) =>
      relative(1 / Math.sqrt(schedule.snr[k]), (e.alphaBar[k] + e.oneMinus[k]) / 2),
    posterior_variance: (k) => relative(schedule.betaTilde[k], tilde(k)),
    posterior_log_variance_clipped: (k) => log(schedule.logBetaTildeClipped[k], tilde(clipped(k))),
    posterior_mean_coef1: (k) =>
      relative(
        schedule.posteriorCoefX0[k],
        e.beta[k] + e.oneMinus[k] + (k === 0 ? 0 : e.alphaBar[k - 1] / 2),
      ),
    posterior_mean_coef2: (k) =>
      relative(
        schedule.posteriorCoefXt[k],
        k === 0 ? 0 : e.oneMinus[k] + e.oneMinus[k - 1] + e.beta[k] * beta[k] / (1 - beta[k]) / 2,
      ),
    fixed_large_variance: (k) =>
      relative(
        Math.exp(fixedLargeLogVariance(step(k))),
        (k === 0 ? tilde(1) : e.beta[k]) + 12 * U64,
      ),
    fixed_large_log_variance: (k) =>
      log(fixedLargeLogVariance(step(k)), k === 0 ? tilde(1) : e.beta[k]),
  };
}

function scheduleOf({ schedule, T, timestep_map }: TableCase): Schedule {
  const keep = timestep_map?.map((t) => t + 1);
  return createSchedule({ ...goldenSchedule(schedule, T), keep });
}

Deno.test("schedule tables are OpenAI's to 1e-11 (1 + |b|), entry by entry and in their sums", () => {
  const bound = new Bound("min(1e-11 (1 + |b|), what both ways of computing the table can lose)");
  for (const golden of goldenCases<TableCase>("schedules")) {
    const schedule = scheduleOf(golden);
    const table = rows(schedule, errorsOf(golden.schedule, schedule));
    for (const [name, expected] of Object.entries(golden.values)) {
      assertEquals(expected.length, golden.index.length);
      golden.index.forEach((k, i) => {
        const { value, error } = table[name](k), b = expected[i];
        const limit = Math.min(1e-11 * (1 + Math.abs(b)), error);
        bound.check(value, b, limit, name, `${golden.id}[${k}]`);
      });
    }
    for (const [name, expected] of Object.entries(golden.sums)) {
      let sum = 0, error = 0, magnitude = 0;
      schedule.beta.forEach((_, k) => {
        sum += table[name](k).value;
        error += table[name](k).error;
        magnitude += Math.abs(table[name](k).value);
      });
      // Each of the n additions rounds a partial sum, on both sides.
      const adding = 2 * schedule.beta.length * U64 * magnitude;
      bound.check(sum, expected, error + adding, "sums", `${golden.id} ${name}`);
    }
  }
  bound.settle("golden schedules");
});

Deno.test("betas and alpha bar are those of diffusers' linear and squaredcos_cap_v2", () => {
  const bound = new Bound("min(1e-11 (1 + |b|), what both ways of computing the table can lose)");
  const cases = goldenCases<{
    id: string;
    config: { beta_schedule?: string };
    index: readonly number[];
    expected: Record<"betas" | "alphas_cumprod", GoldenTensor>;
  }>("diffusers_scheduler_betas");
  for (const { id, config, index, expected } of cases) {
    const kind = config.beta_schedule === "squaredcos_cap_v2" ? "cosine" : "linear";
    const schedule = createSchedule(goldenSchedule(kind, 1000));
    const table = rows(schedule, errorsOf(kind, schedule));
    for (const name of ["betas", "alphas_cumprod"] as const) {
      index.forEach((k, i) => {
        const { value, error } = table[name](k), b = expected[name].data[i];
        const limit = Math.min(1e-11 * (1 + Math.abs(b)), error);
        bound.check(value, b, limit, "tables", `${id} ${name}[${k}]`);
      });
    }
  }
  bound.settle("golden diffusers tables");
});

Deno.test("kept times are those of OpenAI's space_timesteps, refusals included", () => {
  const cases = goldenCases<{
    id: string;
    T: number;
    spacing: string;
    timesteps?: readonly number[];
    error?: string;
  }>("space_timesteps");
  for (const { id, T, spacing, timesteps, error } of cases) {
    const select = () =>
      spacing.startsWith("ddim")
        ? selectTimesteps({ T, spacing: "stride", steps: Number(spacing.slice(4)) })
        : sectionTimesteps(T, spacing.split(",").map(Number));
    if (error !== undefined) {
      let refused = false;
      try {
        select();
      } catch (refusal) {
        refused = refusal instanceof RangeError;
      }
      assertEquals(refused, true, id);
    } else assertEquals(select().reverse().map((t) => t - 1), timesteps, id);
  }
});

Deno.test("kept times are diffusers' leading, trailing and linspace", () => {
  const cases = goldenCases<{
    id: string;
    config: { timestep_spacing: "leading" | "trailing" | "linspace" };
    num_inference_steps: number;
    expected: { timesteps: readonly number[] };
  }>("diffusers_scheduler_timesteps");
  for (const { id, config, num_inference_steps: steps, expected } of cases) {
    const times = selectTimesteps({ T: 1000, spacing: config.timestep_spacing, steps });
    assertEquals(times.map((t) => t - 1), expected.timesteps, id);
  }
});
