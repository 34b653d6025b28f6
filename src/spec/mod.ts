/**
 * What all sides agree on, as data and types: schedules, U-Net configurations, parameter lists,
 * checkpoints.
 *
 * @module
 */
export * from "./checkpoint.ts";
export * from "./format_error.ts";
export * from "./safetensors.ts";
export * from "./schedule_config.ts";
export * from "./unet_config.ts";
export * from "./unet_modules.ts";
export * from "./unet_parameters.ts";
export * from "./unet_presets.ts";
