/**
 * The part of JSON Schema 2020-12 that `docs/protocol.schema.json` uses. A keyword outside of it is an
 * error: nothing in the schema goes unchecked.
 *
 * @module
 */

type Schema = boolean | { readonly [keyword: string]: unknown };

const ANNOTATIONS = ["$schema", "$id", "$defs", "title", "description", "default"];

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function hasType(type: unknown, value: unknown): boolean {
  const kind: string = typeof value;
  switch (type) {
    case "object":
      return isObject(value);
    case "array":
      return Array.isArray(value);
    case "integer":
      return Number.isInteger(value);
    case "null":
      return value === null;
    default:
      return kind === type;
  }
}

/** Checks values against the definitions of one schema document. */
export class Validator {
  readonly #root: Record<string, unknown>;

  constructor(root: Record<string, unknown>) {
    this.#root = root;
  }

  /** The first reason why `value` does not match what `reference` ("#/$defs/…") names, or null. */
  fault(reference: string, value: unknown): string | null {
    return this.#fault({ $ref: reference }, value, "$");
  }

  #resolve(reference: string): Schema {
    let found: unknown = this.#root;
    for (const part of reference.split("/").slice(1)) {
      if (!isObject(found) || !(part in found)) throw new Error(`The schema has no ${reference}`);
      found = found[part];
    }
    return found as Schema;
  }

  #fault(schema: Schema, value: unknown, at: string): string | null {
    if (typeof schema === "boolean") return schema ? null : `${at}: nothing is allowed`;
    for (const [keyword, argument] of Object.entries(schema)) {
      const fault = this.#keywordFault(keyword, argument, value, at);
      if (fault !== null) return fault;
    }
    return null;
  }

  #keywordFault(keyword: string, argument: unknown, value: unknown, at: string): string | null {
    const expect = (holds: boolean) =>
      holds ? null : `${at}: ${keyword} ${JSON.stringify(argument)} does not hold`;
    const number = typeof value === "number" ? value : null;
    const list = Array.isArray(value) ? value : null;
    const bound = Number(argument);
    switch (keyword) {
      case "$ref":
        return this.#fault(this.#resolve(String(argument)), value, at);
      case "type":
        return expect(hasType(argument, value));
      case "const":
        return expect(argument === value);
      case "enum":
        return expect((argument as unknown[]).includes(value));
      case "minimum":
        return expect(number === null || number >= bound);
      case "maximum":
        return expect(number === null || number <= bound);
      case "exclusiveMinimum":
        return expect(number === null || number > bound);
      case "exclusiveMaximum":
        return expect(number === null || number < bound);
      case "minItems":
        return expect(list === null || list.length >= bound);
      case "maxItems":
        return expect(list === null || list.length <= bound);
      case "required":
        return expect(
          !isObject(value) || (argument as string[]).every((k) => Object.hasOwn(value, k)),
        );
      case "items":
        return this.#first(list ?? [], (v, i) => this.#fault(argument as Schema, v, `${at}[${i}]`));
      case "properties":
        return this.#first(
          Object.entries(argument as Record<string, Schema>),
          ([k, s]) =>
            isObject(value) && Object.hasOwn(value, k)
              ? this.#fault(s, value[k], `${at}.${k}`)
              : null,
        );
      case "anyOf":
      case "oneOf": {
        const faults = (argument as Schema[]).map((s) => this.#fault(s, value, at));
        const matches = faults.filter((fault) => fault === null).length;
        if (keyword === "anyOf" ? matches > 0 : matches === 1) return null;
        return `${at}: ${matches} of ${keyword} match (${faults.filter((f) => f).join("; ")})`;
      }
      default:
        if (ANNOTATIONS.includes(keyword)) return null;
        throw new Error(`The schema uses ${keyword}, which this validator does not know`);
    }
  }

  #first<T>(values: readonly T[], fault: (value: T, i: number) => string | null): string | null {
    for (const [i, value] of values.entries()) {
      const found = fault(value, i);
      if (found !== null) return found;
    }
    return null;
  }
}

/** The validator of the protocol's schema. */
export function protocolValidator(): Validator {
  const url = new URL("../../docs/protocol.schema.json", import.meta.url);
  return new Validator(JSON.parse(Deno.readTextFileSync(url)));
}
