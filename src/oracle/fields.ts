/**
 * Reading the fields of a request, with errors that name the field, what it should have been and
 * what it was. A field that is null counts as absent; fields that nobody reads are ignored.
 *
 * @module
 */
import { ArgumentError, checkInteger, show } from "../math/errors.ts";
import type { Host } from "./host.ts";
import type { ScheduleCache } from "./schedule_cache.ts";

/** What every operation may use besides its request. */
export interface Context {
  /** Files. */
  readonly host: Host;
  /** Tables of the schedules that were asked for lately. */
  readonly schedules: ScheduleCache;
}

/** A JSON object: a request, or an object inside one. */
export interface Fields {
  /** What stands before a field's name in messages: empty, or for example `clip.`. */
  readonly path: string;
  /** The object as parsed. */
  readonly values: Readonly<Record<string, unknown>>;
  /** What every operation may use. */
  readonly context: Context;
}

/** Renders what was found; nested values are only counted, however deep they go. */
function found(value: unknown): string {
  if (value === undefined) return "nothing";
  return Array.isArray(value) ? `a list of ${value.length}` : show(value);
}

/** Ends a field's check. @throws {ArgumentError} always: "Expected `what` but got `value`". */
export function unexpectedField(what: string, value: unknown): never {
  throw new ArgumentError(`Expected ${what} but got ${found(value)}`);
}

/** Whether a value is a JSON object. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A field's value, or undefined if it is absent or null. */
export function valueOf({ values }: Fields, name: string): unknown {
  return Object.hasOwn(values, name) ? values[name] ?? undefined : undefined;
}

/** The name under which messages speak of a field. */
export function nameOf({ path }: Fields, name: string): string {
  return path + name;
}

function finite(what: string, value: unknown): number {
  if (typeof value !== "number" || !Number.isFinite(value)) {
    unexpectedField(`a finite number for ${what}`, value);
  }
  return value;
}

/** A finite number. With a fallback the field may be absent. */
export function numberField(fields: Fields, name: string, fallback?: number): number {
  return finite(nameOf(fields, name), valueOf(fields, name) ?? fallback);
}

/** An integer in `min`..`max`. */
export function integerField(fields: Fields, name: string, min: number, max: number): number {
  return checkInteger(nameOf(fields, name), numberField(fields, name), min, max);
}

/** True or false. With a fallback the field may be absent. */
export function booleanField(fields: Fields, name: string, fallback?: boolean): boolean {
  const value = valueOf(fields, name) ?? fallback;
  if (typeof value !== "boolean") {
    unexpectedField(`true or false for ${nameOf(fields, name)}`, value);
  }
  return value;
}

/** A string. */
export function stringField(fields: Fields, name: string): string {
  const value = valueOf(fields, name);
  if (typeof value !== "string") unexpectedField(`a string for ${nameOf(fields, name)}`, value);
  return value;
}

/** One of a few strings. */
export function choiceField<T extends string>(
  fields: Fields,
  name: string,
  choices: readonly T[],
): T {
  const value = valueOf(fields, name);
  const chosen = choices.find((choice) => choice === value);
  return chosen ??
    unexpectedField(`one of ${choices.join(", ")} for ${nameOf(fields, name)}`, value);
}

/** A list of anything, whose entries are the caller's to check. */
export function listField(fields: Fields, name: string): readonly unknown[] {
  const value = valueOf(fields, name);
  if (!Array.isArray(value)) unexpectedField(`a list for ${nameOf(fields, name)}`, value);
  return value;
}

/** A list of finite numbers. */
export function numbersField(fields: Fields, name: string): readonly number[] {
  const what = nameOf(fields, name);
  const value = valueOf(fields, name);
  if (!Array.isArray(value)) unexpectedField(`a list of numbers for ${what}`, value);
  return value.map((entry, i) => finite(`${what}[${i}]`, entry));
}

/** A number or a list of them: for times, one for the batch or one per sample. */
export function numberOrNumbersField(fields: Fields, name: string): number | readonly number[] {
  const value = valueOf(fields, name);
  if (value === undefined) {
    unexpectedField(`a number, or a list of numbers, for ${nameOf(fields, name)}`, value);
  }
  return Array.isArray(value) ? numbersField(fields, name) : numberField(fields, name);
}

/** An object, or null if the field is absent. */
export function optionalObjectField(fields: Fields, name: string): Fields | null {
  const value = valueOf(fields, name);
  if (value === undefined) return null;
  const what = nameOf(fields, name);
  if (!isObject(value)) unexpectedField(`an object for ${what}`, value);
  return { path: `${what}.`, values: value, context: fields.context };
}

/** An object. */
export function objectField(fields: Fields, name: string): Fields {
  return optionalObjectField(fields, name) ??
    unexpectedField(`an object for ${nameOf(fields, name)}`, undefined);
}

/** A list of objects. */
export function objectsField(fields: Fields, name: string): readonly Fields[] {
  const what = nameOf(fields, name);
  return listField(fields, name).map((value, i) => {
    if (!isObject(value)) unexpectedField(`an object for ${what}[${i}]`, value);
    return { path: `${what}[${i}].`, values: value, context: fields.context };
  });
}
