/**
 * A model's parameters out of a file of tensors, every one of them and nothing else.
 *
 * @module
 */
import { show } from "../math/errors.ts";
import { shapesEqual, type Tensor } from "../math/tensor.ts";
import { FormatError } from "../spec/format_error.ts";
import { type Dtype, type StoredTensor, storedTensor } from "../spec/safetensors.ts";
import type { Parameters, ParameterSpec } from "../spec/unet_parameters.ts";
import { foreignShape, toOurLayout } from "./layout.ts";
import type { ForeignParameter } from "./original_names.ts";

const FLOATS: readonly Dtype[] = ["F64", "F32", "F16", "BF16"];

/**
 * The parameters that `specs` list, as float32.
 *
 * @param stored the tensors of the file by their names there.
 * @param foreignOf the name and layout there of a parameter of ours.
 * @param where the file, for messages.
 * @throws {FormatError} naming the tensors that are missing, too many, of another shape or no floats.
 */
export function takeParameters(
  specs: readonly ParameterSpec[],
  stored: ReadonlyMap<string, StoredTensor>,
  foreignOf: (name: string) => ForeignParameter,
  where: string,
): Parameters {
  const foreign = specs.map(({ name }) => foreignOf(name));
  const claimed = new Set(foreign.map(({ name }) => name));
  refuseNames(foreign.map(({ name }) => name).filter((name) => !stored.has(name)), where, "misses");
  refuseNames([...stored.keys()].filter((name) => !claimed.has(name)), where, "also holds");
  const parameters = new Map<string, Tensor>();
  specs.forEach((spec, number) => {
    const { name, layout } = foreign[number];
    const tensor = stored.get(name) as StoredTensor;
    const shape = foreignShape(spec.shape, layout);
    if (!shapesEqual(tensor.shape, shape)) {
      throw new FormatError(
        `Expected ${name} of shape [${shape.join(", ")}] in ${where} but got ` +
          `[${tensor.shape.join(", ")}]`,
      );
    }
    if (!FLOATS.includes(tensor.dtype)) {
      throw new FormatError(
        `Expected ${name} in ${where} to be of ${FLOATS.join(", ")} but got ${tensor.dtype}`,
      );
    }
    parameters.set(spec.name, toOurLayout(storedTensor(tensor), spec.shape, layout));
  });
  return parameters;
}

/** How many names a message lists. */
const SHOWN = 3;

function refuseNames(names: readonly string[], where: string, what: string): void {
  if (names.length === 0) return;
  const more = names.length > SHOWN ? ` and ${names.length - SHOWN} more` : "";
  throw new FormatError(
    `Expected the tensors of the U-Net in ${where} but it ${what} ` +
      names.slice(0, SHOWN).map(show).join(", ") + more,
  );
}
