/**
 * Results as lists of numbers by field, and reading a candidate's result into the same form.
 *
 * @module
 */
import type { Tensor } from "../../math/tensor.ts";
import { isObject } from "../fields.ts";
import type { Result, Value } from "../result.ts";
import { beginning, BrokenError } from "./candidate.ts";

/** The numbers of one field of a result. */
export interface Leaf {
  /** The field's name, `grads.dX` or `grads[0]` where it is nested. */
  readonly path: string;
  /** The numbers, row-major. */
  readonly values: ArrayLike<number>;
  /** The shape if they are a tensor, which the reference rounds to float32; null for doubles. */
  readonly shape: readonly number[] | null;
  /** Whether the field is one number and not a list. */
  readonly scalar: boolean;
}

function isTensor(value: Value): value is Tensor {
  return typeof value === "object" && "data" in value && value.data instanceof Float32Array;
}

function isNumbers(value: Value): value is readonly number[] | Float64Array {
  return value instanceof Float64Array ||
    (Array.isArray(value) && value.every((entry) => typeof entry === "number"));
}

function leavesAt(value: Value, path: string): Leaf[] {
  if (typeof value === "number") return [{ path, values: [value], shape: null, scalar: true }];
  if (isNumbers(value)) return [{ path, values: value, shape: null, scalar: false }];
  if (typeof value !== "object") return [];
  if (isTensor(value)) {
    return [{ path, values: value.data, shape: value.shape, scalar: false }];
  }
  if (Array.isArray(value)) {
    return value.flatMap((entry: Value, i) => leavesAt(entry, `${path}[${i}]`));
  }
  return Object.entries(value).flatMap(([name, entry]) =>
    leavesAt(entry, path === "" ? name : `${path}.${name}`)
  );
}

/** The numbers of a result of the reference. */
export function leavesOf(result: Result): Leaf[] {
  return leavesAt(result, "");
}

/** A number of an answer; strings stand for what is not finite. */
function numberOf(value: unknown, where: string): number {
  if (typeof value === "number") return value;
  if (value === "Infinity" || value === "-Infinity" || value === "NaN" || value === "-NaN") {
    return Number(String(value).replace("-NaN", "NaN"));
  }
  throw new BrokenError(`Expected a number for ${where} but got ${beginning(text(value))}`);
}

function text(value: unknown): string {
  return JSON.stringify(value) ?? "nothing";
}

function list(value: unknown, where: string, length: number): readonly unknown[] {
  if (!Array.isArray(value)) {
    throw new BrokenError(`Expected a list for ${where} but got ${beginning(text(value))}`);
  }
  if (value.length !== length) {
    throw new BrokenError(`Expected ${length} values for ${where} but got ${value.length}`);
  }
  return value;
}

/** Follows a path like `grads.dX` or `grads[0]` into an answer. */
function at(result: unknown, path: string): unknown {
  let value = result;
  for (const name of path.split(/[.[\]]+/).filter((part) => part !== "")) {
    value = isObject(value) || Array.isArray(value)
      ? Object.hasOwn(value, name) ? (value as Readonly<Record<string, unknown>>)[name] : undefined
      : undefined;
  }
  return value;
}

/**
 * The numbers that a candidate's result has for a field of the reference's.
 *
 * @throws {BrokenError} if the field is missing or has another form or shape.
 */
export function readLeaf(result: unknown, leaf: Leaf): readonly number[] {
  const { path, shape, scalar, values } = leaf;
  const value = at(result, path);
  if (value === undefined || value === null) {
    throw new BrokenError(`Expected ${path} in the result but got ${beginning(text(result))}`);
  }
  if (scalar) return [numberOf(value, path)];
  if (shape === null) {
    return list(value, path, values.length).map((entry, i) => numberOf(entry, `${path}[${i}]`));
  }
  if (!isObject(value)) {
    throw new BrokenError(
      `Expected a tensor {"shape", "data"} for ${path} but got ${beginning(text(value))}`,
    );
  }
  if (text(value.shape) !== text(shape)) {
    throw new BrokenError(`Expected ${path} of shape [${shape}] but got ${text(value.shape)}`);
  }
  return list(value.data, `${path}.data`, values.length)
    .map((entry, i) => numberOf(entry, `${path}.data[${i}]`));
}
