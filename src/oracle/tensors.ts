/**
 * Tensors in requests: `{"shape", "data"}`, or by reference to a safetensors file.
 *
 * @module
 */
import { ArgumentError } from "../math/errors.ts";
import { checkShape, type Shape, sizeOf, type Tensor } from "../math/tensor.ts";
import { storedDoubles } from "../spec/safetensors.ts";
import {
  type Context,
  type Fields,
  isObject,
  listField,
  nameOf,
  unexpectedField,
  valueOf,
} from "./fields.ts";
import { readSafetensors } from "./host.ts";

/** Most values of a result, so that its line stays below the longest string that engines hold. */
export const MAX_RESULT: number = 2 ** 23;
const MAX_DIMENSIONS = 8;

/**
 * Checks that a result, or what computing it takes, stays sane before it is allocated.
 *
 * @throws {ArgumentError} if the product of `sizes` exceeds {@linkcode MAX_RESULT}.
 */
export function checkResultSize(what: string, sizes: readonly number[]): void {
  const size = sizes.reduce((product, s) => product * s, 1);
  if (size > MAX_RESULT) {
    throw new ArgumentError(`Expected ${what} of at most ${MAX_RESULT} values but got ${size}`);
  }
}

/** A tensor. */
export function tensorField(fields: Fields, name: string): Tensor {
  return readTensor(valueOf(fields, name), nameOf(fields, name), fields.context);
}

/** A tensor shaped like another. */
export function tensorFieldLike(fields: Fields, name: string, shape: Shape): Tensor {
  const read = tensorField(fields, name);
  checkShape(name, read, shape);
  return read;
}

/** A tensor, or null if the field is absent. */
export function optionalTensorField(fields: Fields, name: string): Tensor | null {
  return valueOf(fields, name) === undefined ? null : tensorField(fields, name);
}

/** A list of tensors. */
export function tensorsField(fields: Fields, name: string): readonly Tensor[] {
  const what = nameOf(fields, name);
  return listField(fields, name).map((value, i) =>
    readTensor(value, `${what}[${i}]`, fields.context)
  );
}

function readTensor(value: unknown, what: string, context: Context): Tensor {
  if (!isObject(value)) {
    unexpectedField(`a tensor {"shape", "data"} or {"safetensors", "name"} for ${what}`, value);
  }
  const fields = { path: `${what}.`, values: value, context };
  return valueOf(fields, "safetensors") === undefined
    ? inlineTensor(fields, what)
    : storedTensor(fields, what);
}

function inlineTensor(fields: Fields, what: string): Tensor {
  const shape = listField(fields, "shape").map((size, d) => checkSize(`${what}.shape[${d}]`, size));
  if (shape.length > MAX_DIMENSIONS) {
    unexpectedField(`at most ${MAX_DIMENSIONS} dimensions for ${what}`, shape);
  }
  const data = listField(fields, "data");
  // The claim is held against what is there before anything is allocated for it.
  if (sizeOf(shape) !== data.length) {
    throw new ArgumentError(
      `Expected ${sizeOf(shape)} values for ${what} of shape [${shape}] but got ${data.length}`,
    );
  }
  return { shape, data: toFloat32(data, what) };
}

function checkSize(what: string, size: unknown): number {
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 1) {
    unexpectedField(`an integer of at least 1 for ${what}`, size);
  }
  return size;
}

function storedTensor(fields: Fields, what: string): Tensor {
  const path = valueOf(fields, "safetensors"), name = valueOf(fields, "name");
  if (typeof path !== "string") unexpectedField(`a path for ${what}.safetensors`, path);
  if (typeof name !== "string") unexpectedField(`a tensor's name for ${what}.name`, name);
  const stored = readSafetensors(fields.context.host, path).tensors.get(name);
  if (stored === undefined) {
    throw new ArgumentError(
      `Expected a tensor ${JSON.stringify(name)} for ${what} in ${
        JSON.stringify(path)
      } but it has none`,
    );
  }
  stored.shape.forEach((size, d) => checkSize(`${what}.shape[${d}]`, size));
  return { shape: stored.shape, data: toFloat32(storedDoubles(stored), what) };
}

/** Numbers rounded to float32. @throws {ArgumentError} unless all are numbers within its range. */
export function toFloat32(values: ArrayLike<unknown>, what: string): Float32Array {
  const data = new Float32Array(values.length);
  for (let i = 0; i < data.length; i++) {
    const value = values[i];
    if (typeof value !== "number") unexpectedField(`a finite number for ${what}.data[${i}]`, value);
    data[i] = value;
    if (!Number.isFinite(data[i])) {
      unexpectedField(`a finite number within float32's range for ${what}.data[${i}]`, value);
    }
  }
  return data;
}
