/** diffusers' scheduler configs: what they say in this package's words, and the same said back. */
import { assertAlmostEquals, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  readSchedulerConfig,
  type SchedulerSampling,
  type SchedulerSettings,
} from "../../src/convert/scheduler_config.ts";
import {
  DEFAULT_SAMPLING,
  writeSchedulerConfig,
} from "../../src/convert/write_scheduler_config.ts";
import { ArgumentError } from "../../src/math/errors.ts";
import { betas, createSchedule } from "../../src/reference/schedule.ts";
import type { ScheduleConfig } from "../../src/spec/schedule_config.ts";
import { rule } from "../support/arbitraries.ts";
import { goldenCases, goldenDoubles, type GoldenTensor } from "../support/golden.ts";
import { forAll } from "../support/property.ts";

const LINEAR: ScheduleConfig = { kind: "linear", T: 1000, betaStart: 1e-4, betaEnd: 0.02 };
const read = (fields: Record<string, unknown>) =>
  readSchedulerConfig({ _class_name: "DDPMScheduler", _diffusers_version: "0.42.1", ...fields });

Deno.test("the config of the CIFAR-10 model that Google published is the DDPM paper's process", () => {
  const settings = read({
    beta_end: 0.02,
    beta_schedule: "linear",
    beta_start: 0.0001,
    clip_sample: true,
    num_train_timesteps: 1000,
    trained_betas: null,
    variance_type: "fixed_large",
  });
  assertEquals(settings, {
    schedule: LINEAR,
    prediction: "epsilon",
    sampling: {
      sampler: "ddpm",
      variance: "beta",
      clip: { kind: "static", range: 1 },
      spacing: "leading",
    },
  });
});

interface BetaCase {
  readonly config: Record<string, unknown>;
  readonly index: readonly number[];
  readonly expected: { readonly betas: GoldenTensor };
}

Deno.test("a named β rule means the values that diffusers computes for it", () => {
  for (const { config, index, expected } of goldenCases<BetaCase>("diffusers_scheduler_betas")) {
    const found = betas(read(config).schedule);
    const { data } = goldenDoubles(expected.betas);
    // The golden data's own noise (see their README).
    index.forEach((k, i) => assertAlmostEquals(found[k], data[i], 1e-13 * (1 + data[i])));
  }
});

const NAMED: [
  fields: Record<string, unknown>,
  settings: (s: SchedulerSettings) => unknown,
  unknown,
][] = [
  [{ beta_schedule: "scaled_linear" }, (s) => s.schedule, { ...LINEAR, kind: "quadratic" }],
  [{ beta_schedule: "sigmoid" }, (s) => s.schedule, { ...LINEAR, kind: "sigmoid" }],
  [
    { beta_schedule: "squaredcos_cap_v2", num_train_timesteps: 7 },
    (s) => s.schedule,
    { kind: "cosine", T: 7 },
  ],
  [
    { trained_betas: [0.1, 0.25], num_train_timesteps: 2 },
    (s) => s.schedule,
    { kind: "betas", betas: [0.1, 0.25] },
  ],
  [{ rescale_betas_zero_snr: true }, (s) => s.schedule, { ...LINEAR, zeroTerminalSnr: true }],
  [{ prediction_type: "v_prediction" }, (s) => s.prediction, "v"],
  [{ prediction_type: "sample" }, (s) => s.prediction, "x0"],
  [{}, (s) => s.sampling.variance, "betaTilde"],
  [{ variance_type: "fixed_small_log" }, (s) => s.sampling.variance, "betaTilde"],
  [{ variance_type: "learned_range" }, (s) => s.sampling.variance, "learnedRange"],
  [{ clip_sample: false }, (s) => s.sampling.clip, null],
  [{ clip_sample_range: 3 }, (s) => s.sampling.clip, { kind: "static", range: 3 }],
  [
    { thresholding: true, dynamic_thresholding_ratio: 0.9, sample_max_value: 2 },
    (s) => s.sampling.clip,
    { kind: "dynamic", quantile: 0.9, max: 2 },
  ],
  [{ timestep_spacing: "trailing", steps_offset: 1 }, (s) => s.sampling.spacing, "trailing"],
  [{ _class_name: "DDIMScheduler", set_alpha_to_one: true }, (s) => s.sampling.sampler, "ddim"],
  [
    { _class_name: "DPMSolverMultistepScheduler", lambda_min_clipped: "-Infinity" },
    (s) => s.sampling,
    { sampler: "dpmSolver", variance: "betaTilde", clip: null, spacing: "linspace", order: 2 },
  ],
  [
    { _class_name: "DPMSolverMultistepScheduler", solver_order: 1 },
    (s) => s.sampling.order,
    1,
  ],
];

Deno.test("every field that there is a word for is read", () => {
  for (const [fields, part, expected] of NAMED) {
    assertEquals(part(read(fields)), expected, JSON.stringify(fields));
  }
});

const REFUSED: [fields: Record<string, unknown>, message: string][] = [
  [
    { _class_name: "PNDMScheduler" },
    "_class_name to be DDPMScheduler or DDIMScheduler or DPMSolver",
  ],
  [{ colour: 1 }, 'Expected a field of DDPMScheduler but got "colour"'],
  [{ set_alpha_to_one: true }, 'Expected a field of DDPMScheduler but got "set_alpha_to_one"'],
  [
    { _class_name: "DDIMScheduler", set_alpha_to_one: false },
    "Expected set_alpha_to_one to be true but got false",
  ],
  [{ beta_schedule: "laplace" }, 'squaredcos_cap_v2 but got "laplace"'],
  [{ prediction_type: "flow" }, "Expected prediction_type to be epsilon or v_prediction or sample"],
  [
    { variance_type: "fixed_large_log" },
    'Expected variance_type to be fixed_large or fixed_small or learned_range but got "fixed_large_log"',
  ],
  [{ steps_offset: 1 }, "Expected steps_offset to be 0 but got 1"],
  [{ trained_betas: [0.1] }, "Expected num_train_timesteps to be 1 but got 1000"],
  [{ trained_betas: [0.1, 2], num_train_timesteps: 2 }, "every one of trained_betas in (0, 1]"],
  [{ num_train_timesteps: 0 }, "Expected num_train_timesteps in 1..1000000 but got 0"],
  [{ beta_end: "0.02" }, 'Expected a finite number for beta_end but got "0.02"'],
  [{ clip_sample: 1 }, "Expected true or false for clip_sample but got 1"],
  [{ clip_sample_range: 0 }, "Expected clip_sample_range above 0 but got 0"],
  [{ thresholding: true, sample_max_value: 0.5 }, "sample_max_value of at least 1 but got 0.5"],
  [{ timestep_spacing: "log" }, "Expected timestep_spacing to be"],
  ...Object.entries({
    solver_order: 3,
    algorithm_type: "sde-dpmsolver++",
    solver_type: "heun",
    use_karras_sigmas: true,
    final_sigmas_type: "sigma_min",
    lambda_min_clipped: -5.1,
    variance_type: "learned_range",
  }).map(([key, value]): [Record<string, unknown>, string] => [
    { _class_name: "DPMSolverMultistepScheduler", [key]: value },
    `Expected ${key} to be `,
  ]),
];

Deno.test("a field that there is no word for is refused by its name", () => {
  for (const [fields, message] of REFUSED) {
    const error = assertThrows(
      () => read(fields),
      ArgumentError,
      undefined,
      JSON.stringify(fields),
    );
    assertStringIncludes(error.message, message);
  }
});

const clips = fc.oneof(
  fc.constant(null),
  fc.record({ kind: fc.constant("static" as const), range: fc.integer({ min: 1, max: 9 }) }),
  fc.record({
    kind: fc.constant("dynamic" as const),
    quantile: fc.double({ min: 0, max: 1, noNaN: true }),
    max: fc.integer({ min: 1, max: 9 }),
  }),
);
const spacing = fc.constantFrom("leading" as const, "trailing" as const, "linspace" as const);
const samplings: fc.Arbitrary<SchedulerSampling> = fc.oneof(
  fc.record({
    sampler: fc.constant("ddpm" as const),
    variance: fc.constantFrom("beta" as const, "betaTilde" as const, "learnedRange" as const),
    clip: clips,
    spacing,
  }),
  fc.record({
    sampler: fc.constant("ddim" as const),
    variance: fc.constant("betaTilde" as const),
    clip: clips,
    spacing,
  }),
  fc.record({
    sampler: fc.constant("dpmSolver" as const),
    variance: fc.constant("betaTilde" as const),
    clip: clips.filter((clip) => clip?.kind !== "static"),
    spacing,
    order: fc.constantFrom(1 as const, 2 as const),
  }),
);

Deno.test("what is written is read back: the same β, prediction and sampling", () => {
  const settings = fc.record({
    rule,
    zero: fc.boolean(),
    prediction: fc.constantFrom("epsilon" as const, "v" as const, "x0" as const),
    sampling: samplings,
  });
  forAll(settings, 200, ({ rule, zero, prediction, sampling }) => {
    const schedule = zero ? { ...rule, zeroTerminalSnr: true } : rule;
    const json = JSON.parse(
      JSON.stringify(writeSchedulerConfig({ schedule, prediction, sampling })),
    );
    const back = readSchedulerConfig(json);
    assertEquals(back.prediction, prediction);
    assertEquals(back.sampling, sampling);
    assertEquals(betas(back.schedule), betas(schedule));
    assertEquals(back.schedule.zeroTerminalSnr ?? false, zero);
  });
});

Deno.test("a rule with a name keeps it, and one without is written as its values", () => {
  const written = (schedule: ScheduleConfig, sampler: "ddpm" | "ddim" = "ddpm") =>
    writeSchedulerConfig({
      schedule,
      prediction: "epsilon",
      sampling: { ...DEFAULT_SAMPLING, sampler },
    });
  assertEquals(written(LINEAR).beta_schedule, "linear");
  assertEquals(written({ kind: "cosine", T: 9, s: 0.008 }).beta_schedule, "squaredcos_cap_v2");
  assertEquals(written({ kind: "cosine", T: 9, s: 0.01 }).num_train_timesteps, 9);
  const sigmoid: ScheduleConfig = { ...LINEAR, kind: "sigmoid", T: 9 } as const;
  // DDIMScheduler has no sigmoid.
  assertEquals(written(sigmoid, "ddim").trained_betas, [...betas(sigmoid)]);
  const constant: ScheduleConfig = { kind: "constant", T: 3, beta: 0.1 };
  assertEquals(written(constant).trained_betas, [0.1, 0.1, 0.1]);
});

Deno.test("what diffusers has no word for is not written", () => {
  const keep = createSchedule(LINEAR).timesteps.slice(0, 3);
  const settings = { schedule: LINEAR, prediction: "epsilon", sampling: DEFAULT_SAMPLING } as const;
  const refusal = (change: Partial<SchedulerSettings>) =>
    assertThrows(() => writeSchedulerConfig({ ...settings, ...change }), ArgumentError).message;
  assertStringIncludes(
    refusal({ schedule: { ...LINEAR, keep } }),
    "that keeps some, but got [1, 2",
  );
  const learned = { ...DEFAULT_SAMPLING, variance: "learned" } as const;
  assertStringIncludes(refusal({ sampling: learned }), 'DDPMScheduler has but got "learned"');
  const solver = { ...DEFAULT_SAMPLING, sampler: "dpmSolver" } as const;
  assertStringIncludes(refusal({ sampling: solver }), 'or none for dpmSolver but got "static"');
});
