/**
 * Results as JSON text: float32 tensors and doubles printed with the fewest digits that read back
 * exactly, −0 included; a scalar or table entry without a finite number is the string "Infinity" or
 * "-Infinity".
 *
 * @module
 */
import { ArgumentError } from "../math/errors.ts";
import type { Tensor } from "../math/tensor.ts";

/** What an operation may return: tensors, tables, scalars, texts, and lists and objects of them. */
export type Value = Tensor | Float64Array | number | string | readonly Value[] | Result;

/** The result of an operation, by name. */
export interface Result {
  readonly [name: string]: Value;
}

/**
 * The JSON text of a result.
 *
 * @throws {ArgumentError} if a tensor has a value that is not finite, or anything is NaN: the
 * request's numbers led beyond what can be told.
 */
export function resultJson(result: Result): string {
  return valueJson(result, "result");
}

function valueJson(value: Value, name: string): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number") return scalarJson(value, name);
  if (value instanceof Float64Array) return `[${Array.from(value, (v) => scalarJson(v, name))}]`;
  if (isList(value)) return `[${value.map((v, i) => valueJson(v, `${name}[${i}]`))}]`;
  if (isTensor(value)) return tensorJson(value, name);
  const members = Object.entries(value).map(([key, v]) =>
    `${JSON.stringify(key)}:${valueJson(v, key)}`
  );
  return `{${members}}`;
}

function isList(value: Tensor | readonly Value[] | Result): value is readonly Value[] {
  return Array.isArray(value);
}

function isTensor(value: Tensor | Result): value is Tensor {
  return value.data instanceof Float32Array;
}

function numberJson(value: number): string {
  return Object.is(value, -0) ? "-0" : String(value);
}

function scalarJson(value: number, name: string): string {
  if (Number.isFinite(value)) return numberJson(value);
  if (Number.isNaN(value)) {
    throw new ArgumentError(`Expected inputs for which ${name} is a number but it is undefined`);
  }
  return value > 0 ? '"Infinity"' : '"-Infinity"';
}

function tensorJson({ shape, data }: Tensor, name: string): string {
  checkFiniteTensor({ shape, data }, name);
  const texts = data.some((value) => Object.is(value, -0))
    ? Array.from(data, numberJson).join(",")
    : data.join(",");
  return `{"shape":[${shape}],"data":[${texts}]}`;
}

/** Checks that a result is finite. @throws {ArgumentError} naming the first value that is not. */
export function checkFiniteTensor({ data }: Tensor, name: string): void {
  const at = data.findIndex((value) => !Number.isFinite(value));
  if (at < 0) return;
  throw new ArgumentError(
    `Expected inputs for which every value of ${name} is finite in float32 but value ${at} is ${
      data[at]
    }`,
  );
}
