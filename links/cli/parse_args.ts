/**
 * Command line arguments parser, after minimist. Left out of this stand-in: dotted names, which the
 * real one makes nested objects, and values glued to short flags (`-n5`).
 *
 * @module
 */

/** The value returned from `parseArgs`. */
export interface Args {
  [name: string]: unknown;
  /** Contains all the arguments that didn't have an option associated with them. */
  _: Array<string | number>;
  /** Contains all the arguments that appear after the double dash: "--". */
  "--"?: string[];
}

/** The options for the `parseArgs` call. */
export interface ParseOptions {
  /** Put everything after `--` into the result's `--` instead of `_`. */
  "--"?: boolean;
  /** Other names of a name. */
  alias?: Record<string, string | readonly string[]>;
  /** Names that are true or false, by default false. */
  boolean?: string | readonly string[];
  /** Names whose values are gathered in a list, by default empty. */
  collect?: string | readonly string[];
  /** Values of names that are not given. */
  default?: Record<string, unknown>;
  /** Names that `--no-` before them makes false. */
  negatable?: string | readonly string[];
  /** Put everything after the first argument that is no option into `_`. */
  stopEarly?: boolean;
  /** Names whose values stay text. */
  string?: string | readonly string[];
  /** Called with every argument that no option names; false leaves it out of the result. */
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

const FLAG = /^(?<dashes>--?)(?<negated>no-)?(?<key>[^=]+)(?:=(?<value>.*))?$/s;
const NUMBER = /^(0x[0-9a-f]+|[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?)$/i;

function list(names: string | readonly string[] | undefined): readonly string[] {
  return typeof names === "string" ? [names] : names ?? [];
}

/**
 * Take a set of command line arguments, optionally with a set of options, and return an object
 * representing the flags found in the passed arguments.
 */
export function parseArgs(args: string[], options: ParseOptions = {}): Args {
  const groups = Object.entries(options.alias ?? {}).map(([name, also]) => [name, ...list(also)]);
  const namesOf = (key: string) => groups.find((group) => group.includes(key)) ?? [key];
  const setOf = (names?: string | readonly string[]) => new Set(list(names).flatMap(namesOf));
  const booleans = setOf(options.boolean);
  const strings = setOf(options.string);
  const collects = setOf(options.collect);
  const negatables = setOf(options.negatable);
  const aliased = new Set(groups.flat());

  const result: Args = { _: [] };
  const numeric = (text: string) => NUMBER.test(text) ? Number(text) : text;

  function set(key: string, value: string | boolean, arg: string): void {
    const known = booleans.has(key) || strings.has(key) || aliased.has(key);
    if (!known && options.unknown?.(arg, key, value) === false) return;
    const typed = typeof value === "string" && !strings.has(key) ? numeric(value) : value;
    for (const name of namesOf(key)) {
      const before = result[name];
      if (!collects.has(name)) result[name] = typed;
      else if (Array.isArray(before)) before.push(typed);
      else result[name] = before ? [before, typed] : [typed];
    }
  }

  /** Sets a flag that has no `=`, and returns how many arguments after it were its value. */
  function setFromNext(key: string, next: string | undefined, arg: string): number {
    if (booleans.has(key)) {
      if (next !== "true" && next !== "false") set(key, true, arg);
      else set(key, next === "true", arg);
      return next === "true" || next === "false" ? 1 : 0;
    }
    if (next && !next.startsWith("-")) {
      set(key, next, arg);
      return 1;
    }
    set(key, strings.has(key) ? "" : true, arg);
    return 0;
  }

  const end = args.indexOf("--");
  const flags = end < 0 ? args : args.slice(0, end);
  const rest = end < 0 ? [] : args.slice(end + 1);
  for (let i = 0; i < flags.length; i++) {
    const arg = flags[i];
    const { dashes, negated, key, value } = FLAG.exec(arg)?.groups ?? {};
    if (key === undefined) {
      if (options.unknown?.(arg) !== false) {
        result._.push(strings.has("_") ? arg : numeric(arg));
      }
      if (options.stopEarly) {
        result._.push(...flags.slice(i + 1));
        break;
      }
    } else if (dashes === "-") {
      // The letters before the last are switches; the last may have a value.
      const letters = [...key];
      letters.slice(0, -1).forEach((letter) => set(letter, strings.has(letter) ? "" : true, arg));
      const last = letters[letters.length - 1];
      if (value) set(last, value, arg);
      else i += setFromNext(last, flags[i + 1], arg);
    } else if (value) {
      const name = `${negated ?? ""}${key}`;
      set(name, booleans.has(name) ? value !== "false" : value, arg);
    } else if (negated && negatables.has(key)) {
      set(key, false, arg);
    } else {
      i += setFromNext(`${negated ?? ""}${key}`, flags[i + 1], arg);
    }
  }

  for (const [key, value] of Object.entries(options.default ?? {})) {
    if (!Object.hasOwn(result, key)) namesOf(key).forEach((name) => result[name] = value);
  }
  for (const key of [...booleans, ...strings]) {
    if (Object.hasOwn(result, key)) continue;
    if (collects.has(key)) result[key] = [];
    else if (booleans.has(key)) result[key] = false;
  }
  if (options["--"]) result["--"] = rest;
  else result._.push(...rest);
  return result;
}
