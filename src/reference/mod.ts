/**
 * The truth: every equation of DDPM and DDIM as a pure function on float32 tensors, in the paper's
 * notation, with double arithmetic inside and one rounding on store. No GPU, no cleverness.
 *
 * ```ts
 * import { createSchedule, posteriorMean, qSample } from "@ddpm/ddpm/reference";
 * import { tensor } from "@ddpm/ddpm/math";
 *
 * const schedule = createSchedule({ kind: "linear", T: 1000, betaStart: 1e-4, betaEnd: 0.02 });
 * const x0 = tensor([1, 1, 1, 2], [0.5, -0.5]);
 * const noise = tensor([1, 1, 1, 2], [1, -1]);
 * const x1 = qSample(schedule, 1, x0, noise);
 * // At t = 1 the posterior mean is x_0 itself.
 * console.assert(posteriorMean(schedule, 1, x0, x1).data[0] === 0.5);
 * ```
 *
 * @module
 */
export * from "./adam.ts";
export * from "./clip.ts";
export * from "./ddim.ts";
export * from "./ddpm.ts";
export * from "./decoder.ts";
export * from "./dpm_solver.ts";
export * from "./ema.ts";
export * from "./forward.ts";
export * from "./gaussian.ts";
export * from "./grad_norm.ts";
export * from "./guidance.ts";
export * from "./likelihood.ts";
export * from "./loss.ts";
export * from "./nn/mod.ts";
export * from "./parameterisation.ts";
export * from "./posterior.ts";
export * from "./respacing.ts";
export * from "./reverse.ts";
export * from "./sample.ts";
export * from "./schedule.ts";
export * from "./slerp.ts";
export * from "./step.ts";
export type { StepGradients, TapeStep } from "./tape.ts";
export { unet, unetBackward, unetForward, type UNetOptions, type UNetTape } from "./unet.ts";
