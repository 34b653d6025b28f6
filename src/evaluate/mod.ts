/**
 * How good a model is: figures of its samples through a classifier, and its bits per dimension.
 *
 * @module
 */
export * from "./bits.ts";
export * from "./classifier.ts";
export * from "./classifier_file.ts";
export * from "./classifier_training.ts";
export * from "./columns_conv.ts";
export * from "./frechet.ts";
export * from "./precision_recall.ts";
export * from "./quality.ts";
export * from "./report.ts";
export * from "./samples.ts";
export * from "./symmetric_eigen.ts";
