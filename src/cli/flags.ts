/**
 * Flags of a command as a table, from which come the parsing, the checks and the help.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { UsageError } from "./terminal.ts";

/** What a flag takes. One without a default may be left out. */
export type Flag =
  & { readonly help: string }
  & (
    | {
      readonly kind: "integer";
      readonly min: number;
      readonly max: number;
      readonly default?: number;
    }
    | {
      readonly kind: "number";
      readonly min: number;
      readonly max: number;
      readonly default?: number;
    }
    | { readonly kind: "text"; readonly placeholder: string; readonly default?: string }
    | { readonly kind: "choice"; readonly values: readonly string[]; readonly default?: string }
    | { readonly kind: "switch" }
  );

/** A command's name, purpose, flags by name and examples. */
export interface CommandSpec<Flags extends Readonly<Record<string, Flag>>> {
  /** As in `deno task NAME`. */
  readonly name: string;
  /** One sentence. */
  readonly summary: string;
  /** What it takes before or between its flags, in capitals, such as `FROM` and `TO`. Default: nothing. */
  readonly operands?: readonly string[];
  /** Flags by name, without dashes. */
  readonly flags: Flags;
  /** Command lines with what they do. */
  readonly examples: readonly (readonly [line: string, what: string])[];
}

type Raw<F extends Flag> = F extends { kind: "integer" | "number" } ? number
  : F extends { kind: "choice"; values: readonly (infer V)[] } ? V
  : F extends { kind: "switch" } ? boolean
  : string;

/** The values of flags by name; undefined where one without default was left out. */
export type FlagValues<Flags extends Readonly<Record<string, Flag>>> = {
  readonly [K in keyof Flags]: Flags[K] extends { kind: "switch" } | { default: unknown }
    ? Raw<Flags[K]>
    : Raw<Flags[K]> | undefined;
};

/** What a command line asks for. */
export interface Parsed<Flags extends Readonly<Record<string, Flag>>> {
  /** Whether the help is asked for; then nothing else was checked. */
  readonly help: boolean;
  /** Values, defaults filled in. */
  readonly values: FlagValues<Flags>;
  /** Names of the flags that were written down. */
  readonly given: ReadonlySet<string>;
  /** One text for each of the command's operands. */
  readonly operands: readonly string[];
}

/**
 * Reads a command line.
 *
 * @throws {UsageError} for an unknown flag, an argument that is none, or a value out of range.
 */
export function parseFlags<const Flags extends Readonly<Record<string, Flag>>>(
  spec: CommandSpec<Flags>,
  args: readonly string[],
): Parsed<Flags> {
  const flags = Object.entries<Flag>(spec.flags);
  const { operands: wanted = [] } = spec;
  const { written, stranger, operands } = readTexts(flags, args, wanted.length);
  const help = isOn(written.get("help"));
  if (!help && stranger !== undefined) {
    throw new UsageError(
      `Expected flags of ${spec.name} but got ${stranger}: see \`${spec.name} --help\``,
    );
  }
  if (!help && operands.length < wanted.length) {
    throw new UsageError(
      `Expected ${wanted.join(" and ")} after ${spec.name} but got ` +
        `${operands.join(" ") || "neither"}: see \`${spec.name} --help\``,
    );
  }
  const given = new Set(
    flags.filter(([name, { kind }]) =>
      kind === "switch" ? isOn(written.get(name)) : written.has(name)
    ).map(([name]) => name),
  );
  const values = flags.map(([name, flag]) => [
    name,
    help ? undefined : readValue(spec.name, name, flag, written.get(name)),
  ]);
  return { help, values: Object.fromEntries(values), given, operands };
}

/**
 * What follows each flag that is written down, "" for nothing; the operands; and the first argument that is
 * neither.
 */
function readTexts(
  flags: readonly (readonly [name: string, flag: Flag])[],
  args: readonly string[],
  most: number,
): {
  readonly written: ReadonlyMap<string, string>;
  readonly operands: readonly string[];
  readonly stranger?: string;
} {
  const options = new Map<string, { type: "boolean" | "string"; short?: string }>(
    flags.map(([name, { kind }]) => [name, { type: kind === "switch" ? "boolean" : "string" }]),
  ).set("help", { type: "boolean", short: "h" });
  const { tokens } = parseArgs({
    args: [...args],
    options: Object.fromEntries(options),
    strict: false,
    tokens: true,
  });
  const written = new Map<string, string>();
  const strangers: string[] = [], operands: string[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") {
      (operands.length < most ? operands : strangers).push(token.value);
    } else if (token.kind === "option-terminator") strangers.push("--");
    else if (!options.has(token.name)) strangers.push(token.rawName);
    else {
      const { value = "", inlineValue } = token;
      // In `--out --resume` the value is missing; in `--seed -1` it is not.
      written.set(token.name, !inlineValue && /^-[^\d.]/.test(value) ? "" : value);
    }
  }
  return { written, operands, stranger: strangers[0] };
}

/** Whether a switch is on, given what was written after it. */
function isOn(text: string | undefined): boolean {
  return text !== undefined && text !== "false";
}

function readValue(
  command: string,
  name: string,
  flag: Flag,
  text: string | undefined,
): string | number | boolean | undefined {
  if (flag.kind === "switch") return isOn(text);
  // A default of 8 that lives beside one of 0.002 is a double to the engine, and so would be every
  // shape and index made from it, at half the speed; rounding gives the small integer back.
  if (text === undefined) {
    return flag.kind === "integer" && flag.default !== undefined
      ? Math.floor(flag.default)
      : flag.default;
  }
  if (text === "") {
    throw new UsageError(
      `Expected a value after --${name} but got none: see \`${command} --help\``,
    );
  }
  switch (flag.kind) {
    case "text":
      return text;
    case "choice":
      if (flag.values.includes(text)) return text;
      throw new UsageError(`Expected --${name} ${flag.values.join("|")} but got ${text}`);
    case "integer":
    case "number": {
      const number = NUMBER.test(text) ? Number(text) : NaN;
      const fits = number >= flag.min && number <= flag.max;
      if (fits && (flag.kind === "number" || Number.isInteger(number))) return number;
      throw new UsageError(`Expected --${name} ${rangeOf(flag)} but got ${text}`);
    }
  }
}

const NUMBER = /^[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?$/i;

function rangeOf(flag: { kind: string; min: number; max: number }): string {
  const what = flag.kind === "integer" ? "an integer" : "a number";
  return flag.max >= Number.MAX_SAFE_INTEGER
    ? `to be ${what} of at least ${flag.min}`
    : `to be ${what} in ${flag.min}..${flag.max}`;
}

/** The help of a command: purpose, flags with defaults, examples. */
export function helpText(spec: CommandSpec<Readonly<Record<string, Flag>>>): string {
  const rows = Object.entries(spec.flags).map(([name, flag]): [string, string] => [
    `--${name}${placeholderOf(flag)}`,
    flag.help + choicesOf(flag) + ("default" in flag ? ` (default ${flag.default})` : ""),
  ]);
  rows.push(["-h, --help", "This text."]);
  const width = Math.max(...rows.map(([left]) => left.length));
  return [
    `${spec.name}: ${spec.summary}`,
    "",
    ...(spec.operands ? [`Usage: ${[spec.name, ...spec.operands].join(" ")} [FLAGS]`, ""] : []),
    "Flags:",
    ...rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`),
    "",
    "Examples:",
    ...spec.examples.flatMap(([line, what]) => [`  # ${what}`, `  ${line}`]),
  ].join("\n");
}

function choicesOf(flag: Flag): string {
  return flag.kind === "choice" ? ` One of ${flag.values.join(", ")}.` : "";
}

function placeholderOf(flag: Flag): string {
  switch (flag.kind) {
    case "switch":
      return "";
    case "choice":
      return " NAME";
    case "text":
      return ` ${flag.placeholder}`;
    case "integer":
      return " N";
    case "number":
      return " X";
  }
}
