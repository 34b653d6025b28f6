/**
 * Checkpoints of other programs, both ways: folders of diffusers, and the weights of the DDPM paper's code and of
 * its PyTorch port.
 *
 * @module
 */
export * from "./diffusers_folder.ts";
export * from "./original_file.ts";
export * from "./original_names.ts";
export * from "./scheduler_config.ts";
export * from "./training_state.ts";
export * from "./write_diffusers_folder.ts";
export * from "./write_scheduler_config.ts";
