/**
 * Which options a request shows, so that vectors can be chosen until every option was shown.
 *
 * @module
 */
import { isObject } from "../fields.ts";

/** What a value says about the road an implementation takes: texts and switches in full, else its kind. */
function kindOf(value: unknown): string {
  if (typeof value === "string" || typeof value === "boolean" || value === null) {
    return JSON.stringify(value);
  }
  return Array.isArray(value) ? "a list" : typeof value;
}

/** The options of a request: its fields by path, each with its text, its switch or the kind of its value. */
export function optionsOf(request: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(request).flatMap(([name, value]) => {
    const own = `${name}=${kindOf(value)}`;
    return isObject(value) ? [own, ...optionsOf(value).map((inner) => `${name}.${inner}`)] : [own];
  });
}

/**
 * The first few of some requests, and after them each that shows an option which none before it did.
 *
 * @param least how many of the first are kept whatever they show.
 */
export function showingAll<R extends Readonly<Record<string, unknown>>>(
  requests: readonly R[],
  least: number,
): R[] {
  const shown = new Set<string>();
  return requests.filter((request, i) => {
    const fresh = optionsOf(request).filter((option) => !shown.has(option));
    fresh.forEach((option) => shown.add(option));
    return i < least || fresh.length > 0;
  });
}
