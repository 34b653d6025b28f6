/**
 * What all sides agree on, as data and types: schedules, U-Net configurations, parameter lists,
 * checkpoints.
 *
 * @module
 */
export * from "./schedule_config.ts";
