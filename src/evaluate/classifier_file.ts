/**
 * The classifier as a safetensors file.
 *
 * @module
 */
import { show } from "../math/errors.ts";
import { shapesEqual } from "../math/tensor.ts";
import { FormatError } from "../spec/format_error.ts";
import { decodeSafetensors, encodeSafetensors, storedTensor } from "../spec/safetensors.ts";
import type { Parameters } from "../spec/unet_parameters.ts";
import { CLASSIFIER_PARAMETERS } from "./classifier.ts";
import type { ClassifierTraining } from "./classifier_training.ts";

const FORMAT = "ddpm-classifier";
const VERSION = "1";

/** The bytes of a classifier; what it was trained with is kept as metadata. */
export function encodeClassifier(
  parameters: Parameters,
  { seed, epochs }: ClassifierTraining,
): Uint8Array<ArrayBuffer> {
  const metadata = new Map([
    ["format", FORMAT],
    ["version", VERSION],
    ["seed", String(seed)],
    ["epochs", String(epochs)],
  ]);
  return encodeSafetensors(parameters, { metadata });
}

/**
 * The parameters of the classifier in a file.
 *
 * @param file its name, for the messages.
 * @throws {FormatError} if it holds no classifier of this version.
 */
export function decodeClassifier(bytes: Uint8Array, file: string): Parameters {
  const { metadata, tensors } = decodeSafetensors(bytes);
  if (metadata.get("format") !== FORMAT || metadata.get("version") !== VERSION) {
    throw new FormatError(
      `Expected a classifier with metadata format "${FORMAT}" and version "${VERSION}" in ${file} ` +
        `but got format ${show(metadata.get("format"))} and version ${
          show(metadata.get("version"))
        }`,
    );
  }
  if (tensors.size !== CLASSIFIER_PARAMETERS.length) {
    throw new FormatError(
      `Expected the ${CLASSIFIER_PARAMETERS.length} tensors of a classifier in ${file} but got ` +
        tensors.size,
    );
  }
  return new Map(
    CLASSIFIER_PARAMETERS.map(({ name, shape }) => {
      const stored = tensors.get(name);
      if (stored === undefined || !shapesEqual(stored.shape, shape)) {
        throw new FormatError(
          `Expected a tensor ${name} of shape [${shape.join(", ")}] in ${file} but got ` +
            (stored === undefined ? "none" : `[${stored.shape.join(", ")}]`),
        );
      }
      return [name, storedTensor(stored)];
    }),
  );
}
