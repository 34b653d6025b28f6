/**
 * The layers of the network, forward and backward, as plain functions on tensors.
 *
 * @module
 */
export * from "./add.ts";
export * from "./attention.ts";
export * from "./centered.ts";
export * from "./concat_channels.ts";
export * from "./conv2d.ts";
export * from "./downsample.ts";
export * from "./dropout.ts";
export * from "./embedding.ts";
export * from "./group_norm.ts";
export * from "./linear.ts";
export * from "./permute.ts";
export * from "./scale_shift.ts";
export * from "./silu.ts";
export * from "./time_embedding.ts";
export * from "./upsample.ts";
