/**
 * Results as lists of numbers by field, and reading a candidate's result into the same form.
 *
 * @module
 */
import type { Tensor } from "../../math/tensor.ts";
import { isObject } from "../fields.ts";
import type { Result, Value } from "../result.ts";
import { beginning, BrokenError } from "./candidate.ts";

/** A field whose numbers are not as many, or not in the shape, as they should be. */
export class FormError extends Error {
  /** @param expected the form in words. @param got the one that was found. */
  constructor(readonly expected: string, readonly got: string) {
    super(`Expected ${expected} but got ${got}`);
  }
}

/** The numbers of one field of a result. */
export interface Leaf {
  /** The field's name, `grads.dX` or `grads[0]` where it is nested. */
  readonly path: string;
  /** The names on the way to it: of tensors of a file they have dots. */
  readonly keys: readonly string[];
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

function leavesAt(value: Value, path: string, keys: readonly string[]): Leaf[] {
  const leaf = (values: ArrayLike<number>, shape: Leaf["shape"], scalar = false): Leaf[] => [
    { path, keys, values, shape, scalar },
  ];
  if (typeof value === "number") return leaf([value], null, true);
  if (isNumbers(value)) return leaf(value, null);
  if (typeof value !== "object") return [];
  if (isTensor(value)) return leaf(value.data, value.shape);
  if (Array.isArray(value)) {
    return value.flatMap((entry: Value, i) => leavesAt(entry, `${path}[${i}]`, [...keys, `${i}`]));
  }
  return Object.entries(value).flatMap(([name, entry]) =>
    leavesAt(entry, path === "" ? name : `${path}.${name}`, [...keys, name])
  );
}

/** The numbers of a result of the reference. */
export function leavesOf(result: Result): Leaf[] {
  return leavesAt(result, "", []);
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

/** The numbers of a list of any depth, of a tensor, or of a number. @throws {BrokenError} for anything else. */
function numbersIn(value: unknown, where: string): number[] {
  if (Array.isArray(value)) return value.flatMap((entry, i) => numbersIn(entry, `${where}[${i}]`));
  if (isTensorForm(value)) return numbersIn(value.data, `${where}.data`);
  return [numberOf(value, where)];
}

function isTensorForm(value: unknown): value is { shape: unknown; data: readonly unknown[] } {
  return isObject(value) && Object.hasOwn(value, "shape") && Array.isArray(value.data);
}

/** What numbers form, in words. */
function formOf(value: unknown): string {
  if (isTensorForm(value)) {
    return `shape ${beginning(text(value.shape))} of ${value.data.length} values`.replaceAll(
      '"',
      "",
    );
  }
  if (!Array.isArray(value)) return "a number";
  return value.some((entry) => typeof entry === "object")
    ? `a nested list of ${value.length}`
    : `${value.length} values`;
}

/** The form of a field of the reference's. */
function formOfLeaf({ shape, scalar, values }: Leaf): string {
  if (scalar) return "a number";
  return shape === null ? `${values.length} values` : `shape [${shape}] of ${values.length} values`;
}

/** Follows names into an answer. */
function at(result: unknown, keys: readonly string[]): unknown {
  let value = result;
  for (const name of keys) {
    value = isObject(value) || Array.isArray(value)
      ? Object.hasOwn(value, name) ? (value as Readonly<Record<string, unknown>>)[name] : undefined
      : undefined;
  }
  return value;
}

/** Whether a value has a field's form. */
function hasForm(value: unknown, { shape, scalar, values }: Leaf): boolean {
  if (scalar) return !Array.isArray(value) && !isObject(value);
  if (shape === null) return Array.isArray(value) && value.length === values.length;
  return isTensorForm(value) && text(value.shape) === text(shape) &&
    value.data.length === values.length;
}

/**
 * The numbers that a candidate's result has for a field of the reference's.
 *
 * @throws {FormError} if they are numbers of another length or shape.
 * @throws {BrokenError} if the field is missing or is no numbers.
 */
export function readLeaf(result: unknown, leaf: Leaf): readonly number[] {
  const { path, keys } = leaf, value = at(result, keys);
  if (value === undefined || value === null) {
    throw new BrokenError(`Expected ${path} in the result but got ${beginning(text(result))}`);
  }
  const numbers = numbersIn(value, path);
  if (!hasForm(value, leaf) || numbers.length !== leaf.values.length) {
    throw new FormError(formOfLeaf(leaf), formOf(value));
  }
  return numbers;
}
