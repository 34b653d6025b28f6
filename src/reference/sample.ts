/**
 * Sampling loops over any model (Ho et al. 2020, algorithm 2; Song et al. 2021, section 4; Lu et al.
 * 2022b, algorithm 2).
 *
 * @module
 */
import { checkInteger } from "../math/errors.ts";
import type { Tensor } from "../math/tensor.ts";
import { ddimEncodeStep, type DdimOptions, type DdimReadOptions, ddimStep } from "./ddim.ts";
import { type DdpmOptions, ddpmStep, type StepResult } from "./ddpm.ts";
import {
  type DpmSolverOptions,
  dpmSolverStep,
  type PastPrediction,
  type SolverOrder,
} from "./dpm_solver.ts";
import type { Schedule } from "./schedule.ts";

/**
 * A noise predictor ε_θ(x_t, t, c), synchronous or not. `t` is the paper's time, 1..T; a network that
 * was trained on 0..T−1 is given t − 1 inside. What the output stands for is the `prediction` option.
 */
export type Model<Condition = unknown> = (
  xt: Tensor,
  t: number,
  condition?: Condition,
) => Tensor | Promise<Tensor>;

/** The state after one step of a loop. */
export interface StepEvent extends StepResult {
  /** The time at which the step started. */
  readonly t: number;
  /** The time at which it ended. */
  readonly tPrev: number;
  /** Steps done, 1..steps. */
  readonly step: number;
  /** Steps in all. */
  readonly steps: number;
}

/** Options that every loop takes. */
export interface LoopOptions<Condition> {
  /** Handed to the model as its third argument. */
  readonly condition?: Condition;
  /** Called after every step, and awaited. */
  readonly onStep?: (event: StepEvent) => void | Promise<void>;
  /** Ends the loop before its next step, by throwing the signal's reason. */
  readonly signal?: AbortSignal;
}

/** Walks the kept times downwards, each step ending at the next lower kept time, the last at 0. */
async function walkDown<Condition>(
  schedule: Schedule,
  xT: Tensor,
  options: LoopOptions<Condition>,
  takeStep: (t: number, tPrev: number, x: Tensor) => Promise<StepResult>,
): Promise<Tensor> {
  const { timesteps } = schedule;
  let x = xT;
  for (let k = timesteps.length - 1; k >= 0; k--) {
    options.signal?.throwIfAborted();
    const t = timesteps[k], tPrev = k === 0 ? 0 : timesteps[k - 1];
    const result = await takeStep(t, tPrev, x);
    x = result.x;
    const steps = timesteps.length;
    await options.onStep?.({ ...result, t, tPrev, step: steps - k, steps });
  }
  return x;
}

/**
 * Samples x_0 by the DDPM process from x_T (Ho et al. 2020, algorithm 2).
 *
 * @param model ε_θ, or what `options.prediction` says.
 * @param xT standard normal noise, shape `[N, C, …]`.
 * @param noiseAt the z of the step that starts at time t, shaped like `xT`.
 * @returns x_0, shaped like `xT`.
 * @throws {ArgumentError} as `ddpmStep`; the signal's reason if aborted.
 */
export function sampleDdpm<Condition = unknown>(
  schedule: Schedule,
  model: Model<Condition>,
  xT: Tensor,
  noiseAt: (t: number) => Tensor,
  options: DdpmOptions & LoopOptions<Condition> = {},
): Promise<Tensor> {
  return walkDown(schedule, xT, options, async (t, _, x) => {
    const output = await model(x, t, options.condition);
    return ddpmStep(schedule, t, x, output, noiseAt(t), options);
  });
}

/**
 * Samples x_0 by DDIM from x_T over the schedule's kept times (Song et al. 2021, eq. 12).
 *
 * @param noiseAt the z of the step that starts at time t; not called at η = 0.
 * @returns x_0, shaped like `xT`.
 * @throws {ArgumentError} as `ddimStep`; the signal's reason if aborted.
 */
export function sampleDdim<Condition = unknown>(
  schedule: Schedule,
  model: Model<Condition>,
  xT: Tensor,
  noiseAt: (t: number) => Tensor,
  options: DdimOptions & LoopOptions<Condition> = {},
): Promise<Tensor> {
  const noisy = (options.eta ?? 0) !== 0;
  return walkDown(schedule, xT, options, async (t, tPrev, x) => {
    const output = await model(x, t, options.condition);
    return ddimStep(schedule, t, tPrev, x, output, noisy ? noiseAt(t) : x, options);
  });
}

/**
 * Samples x_0 by DPM-Solver++ from x_T over the schedule's kept times (Lu et al. 2022b, algorithm 2).
 *
 * The first steps have the order that the predictions so far allow, and the last ones fall to order 1,
 * which alone reaches time 0: with N steps, step i has order min(`order`, i, N + 1 − i).
 *
 * @returns x_0, shaped like `xT`.
 * @throws {ArgumentError} as `dpmSolverStep`; the signal's reason if aborted.
 */
export async function sampleDpmSolver<Condition = unknown>(
  schedule: Schedule,
  model: Model<Condition>,
  xT: Tensor,
  options: DpmSolverOptions & LoopOptions<Condition> = {},
): Promise<Tensor> {
  const highest = checkInteger("order", options.order ?? 2, 1, 3);
  let left = schedule.timesteps.length, history: readonly PastPrediction[] = [];
  return await walkDown(schedule, xT, options, async (t, tPrev, x) => {
    const output = await model(x, t, options.condition);
    const order = Math.min(highest, history.length + 1, left--) as SolverOrder;
    const result = dpmSolverStep(schedule, t, tPrev, x, output, history, { ...options, order });
    // As many as the next step may need, if its order is one more.
    history = [{ t, x0: result.x0 }, ...history.slice(0, order - 1)];
    return result;
  });
}

/**
 * Carries x at the first kept time up to the last one by the inverse of deterministic DDIM
 * (Song et al. 2021, section 4.3); the first kept time stands for clean data.
 *
 * @param x data, shape `[N, …]`.
 * @returns x at the last kept time.
 * @throws {ArgumentError} as `ddimEncodeStep`; the signal's reason if aborted.
 */
export async function encodeDdim<Condition = unknown>(
  schedule: Schedule,
  model: Model<Condition>,
  x: Tensor,
  options: DdimReadOptions & Omit<LoopOptions<Condition>, "onStep"> = {},
): Promise<Tensor> {
  const { timesteps } = schedule;
  for (let k = 0; k + 1 < timesteps.length; k++) {
    options.signal?.throwIfAborted();
    const output = await model(x, timesteps[k], options.condition);
    x = ddimEncodeStep(schedule, timesteps[k], timesteps[k + 1], x, output, options);
  }
  return x;
}
