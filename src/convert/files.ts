/**
 * Reading files of a folder that may not be there, with their paths in every message.
 *
 * @module
 */
import { ArgumentError } from "../math/errors.ts";
import { FormatError } from "../spec/format_error.ts";

/** The bytes of a file, or null if there is none. */
export async function readIfThere(path: string): Promise<Uint8Array<ArrayBuffer> | null> {
  try {
    return await Deno.readFile(path);
  } catch (error) {
    const absent = [Deno.errors.NotFound, Deno.errors.IsADirectory, Deno.errors.NotADirectory];
    if (absent.some((kind) => error instanceof kind)) return null;
    throw error;
  }
}

/** Whether there is anything at a path. */
export async function isThere(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    const absent = [Deno.errors.NotFound, Deno.errors.NotADirectory];
    if (absent.some((kind) => error instanceof kind)) return false;
    throw error;
  }
}

/** The bytes of a file. @throws {FormatError} if there is none. */
export async function readFile(path: string): Promise<Uint8Array<ArrayBuffer>> {
  return await readIfThere(path) ?? missing(path);
}

/** The value in a JSON file, or null if there is no file. @throws {FormatError} if it is no JSON. */
export async function readJsonIfThere(path: string): Promise<unknown> {
  const bytes = await readIfThere(path);
  if (bytes === null) return null;
  return naming(path, () => JSON.parse(strictJson(new TextDecoder().decode(bytes))));
}

/** The value in a JSON file. @throws {FormatError} if there is none, or it is no JSON. */
export async function readJson(path: string): Promise<unknown> {
  return await readJsonIfThere(path) ?? missing(path);
}

/** Python writes an infinite number as a bare word, which JSON lacks: it becomes a text. */
function strictJson(text: string): string {
  return text.replace(/(:\s*)(-?Infinity)(?=\s*[,}])/g, '$1"$2"');
}

/** What a function gives; what is wrong with a value is told with the file that it is from. */
export function naming<T>(path: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    const kinds = [ArgumentError, FormatError, SyntaxError];
    if (!(error instanceof Error) || !kinds.some((kind) => error instanceof kind)) throw error;
    throw new FormatError(`Expected a sound ${path}. ${error.message}`);
  }
}

function missing(path: string): never {
  throw new FormatError(`Expected a file ${path} but found none`);
}
