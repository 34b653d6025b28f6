/**
 * Denoising diffusion, three ways: the truth, the speed and the judge. This module holds the truth
 * and what all sides share; it loads no GPU code.
 *
 * ```ts
 * import { createSchedule, ddpmStep, DDPM_SCHEDULE, normalTensor, streamOf } from "@ddpm/ddpm";
 *
 * const schedule = createSchedule(DDPM_SCHEDULE);
 * const shape = [1, 3, 4, 4];
 * const xt = normalTensor(1, [streamOf("sample", 0, 1000)], shape);
 * const z = normalTensor(1, [streamOf("sample", 0, 999)], shape);
 * const epsHat = xt; // a network's ε_θ(x_t, t) goes here
 * const { x, x0 } = ddpmStep(schedule, 1000, xt, epsHat, z);
 * console.assert(x.data.length === 48 && x0.data.every((v) => Math.abs(v) <= 1));
 * ```
 *
 * @module
 */
export * from "./src/math/mod.ts";
export * from "./src/reference/mod.ts";
export * from "./src/spec/mod.ts";
